# SPDX-License-Identifier: Apache-2.0
"""With whom images are shared, on each kind of database."""

import concurrent.futures
import contextlib
import itertools
import threading
import uuid

from oslo_config import cfg
import pytest

from glance_tasks import exceptions
from glance_tasks import ports
from glance_tasks.adapters import sql_catalogue
from glance_tasks.persistence import database
from glance_tasks.testing import doubles
from tests.support import stores

AT_ONCE = 6


@contextlib.contextmanager
def opened(url):
    """Give a catalogue as another process would open it."""
    used = database.Database(url)
    try:
        yield sql_catalogue.SqlCatalogue(cfg.ConfigOpts(), used.engine)
    finally:
        used.close()


@pytest.fixture
def catalogue(synced_database_url):
    with opened(synced_database_url) as opened_catalogue:
        yield opened_catalogue


@pytest.fixture
def image(catalogue):
    image_id = str(uuid.uuid4())
    published = ports.Image(
        *(image_id, "project", "raw", "bare", 8, 8),
        *("md5", "sha512", "aa", image_id),
    )
    catalogue.publish(published, 1)
    return published


def adding(*projects):
    return lambda held: {**held, **dict.fromkeys(projects, "pending")}


def test_an_image_is_shared_with_nobody_at_first(catalogue, image):
    assert catalogue.members(image.id) == {}


def test_members_come_and_go(catalogue, image):
    catalogue.change_members(image.id, adding("one", "two"))
    given = catalogue.change_members(image.id, lambda _: {"two": "accepted"})

    assert given == catalogue.members(image.id) == {"two": "accepted"}


def test_an_image_there_is_not_has_no_members(catalogue):
    assert catalogue.members("nobody") == {}
    with pytest.raises(exceptions.ImageNotFound):
        catalogue.change_members("nobody", adding("one"))


def test_changes_at_the_same_moment_are_all_kept(catalogue, image):
    barrier = threading.Barrier(AT_ONCE)

    def change(number):
        barrier.wait()
        catalogue.change_members(image.id, adding(str(number)))

    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(change, range(AT_ONCE)))

    assert set(catalogue.members(image.id)) == set(map(str, range(AT_ONCE)))


def test_what_a_successor_touched_a_frozen_run_does_not_change(
    catalogue, image
):
    claims = itertools.count(1)

    def freeze():
        if next(claims) > 1:
            raise exceptions.LeaseLost("claim 2 came after claim 1")
        # It finds nothing that it would have to undo.
        catalogue.change_members(
            image.id, lambda held: held, fence=doubles.OpenFence(2)
        )

    with pytest.raises(exceptions.LeaseLost):
        catalogue.change_members(
            image.id, adding("one"), fence=stores.Claim(1, freeze)
        )

    assert catalogue.members(image.id) == {}
