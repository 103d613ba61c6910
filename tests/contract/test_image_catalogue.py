# SPDX-License-Identifier: Apache-2.0
"""What every image catalogue must do, on each kind of database."""

import concurrent.futures
import contextlib
import dataclasses
import datetime
import itertools
import threading
import uuid

from oslo_config import cfg
import pytest
import sqlalchemy as sa

from glance_tasks import exceptions
from glance_tasks import ports
from glance_tasks.adapters import sql_catalogue
from glance_tasks.persistence import database

IMAGE = ports.Image(
    id="5b1f0b0e-6f7c-4a57-8d0e-1f5d0b1c2a3b",
    owner="project",
    disk_format="raw",
    container_format="bare",
    size=1 << 45,
    virtual_size=1 << 46,
    checksum="0" * 32,
    os_hash_algo="sha512",
    os_hash_value="f" * 128,
    location="5b1f0b0e-6f7c-4a57-8d0e-1f5d0b1c2a3b",
)
ROUNDS = 20


@contextlib.contextmanager
def opened(url):
    """Give a catalogue as another process would open it."""
    used = database.Database(url)
    try:
        yield sql_catalogue.SqlCatalogue(cfg.ConfigOpts(), used.engine)
    finally:
        used.close()


@pytest.fixture
def catalogue(database_url):
    with opened(database_url) as opened_catalogue:
        yield opened_catalogue


def another(image=IMAGE, **changes):
    return dataclasses.replace(image, id=str(uuid.uuid4()), **changes)


def timeless(image):
    return dataclasses.replace(image, created_at=None, updated_at=None)


def together(*calls):
    """Make calls at the same moment; give what each returned or raised."""
    barrier = threading.Barrier(len(calls))

    def one(call):
        barrier.wait()
        try:
            return call()
        except exceptions.LeaseLost as error:
            return error

    with concurrent.futures.ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(one, calls))


# --- publishing --------------------------------------------------------------


def test_a_published_image_is_shown_with_all_that_was_said_of_it(catalogue):
    image = dataclasses.replace(
        IMAGE,
        name="Пингвин 🐧",
        visibility="private",
        min_disk=20,
        min_ram=(1 << 31) - 1,
        protected=True,
        tags=("b", "a", "Ä"),
        properties={"os_distro": "debian", "long": "x" * 65536, "": "é\0"},
    )
    before = datetime.datetime.now(datetime.UTC)

    catalogue.publish(image, 1)

    shown = catalogue.get(image.id)
    assert timeless(shown) == image
    assert before <= shown.created_at <= datetime.datetime.now(datetime.UTC)
    assert shown.created_at == shown.updated_at


def test_what_is_left_out_has_the_defaults_of_the_port(catalogue):
    catalogue.publish(IMAGE, 1)

    assert timeless(catalogue.get(IMAGE.id)) == IMAGE


def test_an_image_that_was_never_published_is_not_found(catalogue):
    with pytest.raises(exceptions.ImageNotFound, match="there is no image x"):
        catalogue.get("x")


def test_publishing_the_same_again_changes_nothing(catalogue):
    catalogue.publish(IMAGE, 1)
    first = catalogue.get(IMAGE.id)

    catalogue.publish(IMAGE, 1)

    assert catalogue.get(IMAGE.id) == first


def test_publishing_the_same_from_a_later_claim_changes_nothing(catalogue):
    catalogue.publish(IMAGE, 1)
    first = catalogue.get(IMAGE.id)

    catalogue.publish(IMAGE, 2)

    assert catalogue.get(IMAGE.id) == first


@pytest.mark.parametrize("fence", [3, 4])
def test_an_image_is_not_replaced_by_another_of_its_id(catalogue, fence):
    catalogue.publish(IMAGE, 3)
    other = dataclasses.replace(IMAGE, checksum="1" * 32)

    with pytest.raises(exceptions.CatalogueError, match="checksum") as caught:
        catalogue.publish(other, fence)

    assert caught.value.code == "image_exists"
    assert timeless(catalogue.get(IMAGE.id)) == IMAGE


# --- withdrawing -------------------------------------------------------------


def test_a_withdrawn_image_is_not_shown(catalogue):
    other = another()
    catalogue.publish(IMAGE, 1)
    catalogue.publish(other, 1)

    catalogue.withdraw(IMAGE.id, 1)

    assert [image.id for image in catalogue.find()] == [other.id]
    with pytest.raises(exceptions.ImageNotFound):
        catalogue.get(IMAGE.id)


def test_withdrawing_twice_or_what_is_not_there_is_no_error(catalogue):
    catalogue.withdraw(IMAGE.id, 1)
    catalogue.withdraw(IMAGE.id, 1)
    catalogue.withdraw(IMAGE.id, 2)

    assert catalogue.find() == []


def test_a_retry_may_publish_what_its_predecessor_withdrew(catalogue):
    catalogue.publish(IMAGE, 1)
    catalogue.withdraw(IMAGE.id, 1)
    retried = dataclasses.replace(IMAGE, checksum="1" * 32)

    catalogue.publish(retried, 2)

    assert timeless(catalogue.get(IMAGE.id)) == retried


# --- frozen predecessors -----------------------------------------------------


def test_a_stale_publish_after_the_successors_withdrawal_is_refused(
    catalogue,
):
    catalogue.publish(IMAGE, 1)
    catalogue.withdraw(IMAGE.id, 2)

    with pytest.raises(exceptions.LeaseLost, match="claim 2; this is claim 1"):
        catalogue.publish(IMAGE, 1)

    assert catalogue.find() == []


def test_a_stale_publish_is_refused_though_nothing_was_published(catalogue):
    catalogue.withdraw(IMAGE.id, 2)

    with pytest.raises(exceptions.LeaseLost):
        catalogue.publish(IMAGE, 1)

    assert catalogue.find() == []


def test_a_stale_withdrawal_after_the_successors_publish_is_refused(
    catalogue,
):
    catalogue.publish(IMAGE, 1)
    catalogue.publish(IMAGE, 2)

    with pytest.raises(exceptions.LeaseLost):
        catalogue.withdraw(IMAGE.id, 1)

    assert timeless(catalogue.get(IMAGE.id)) == IMAGE


def test_a_stale_withdrawal_after_the_retrys_publish_is_refused(catalogue):
    catalogue.withdraw(IMAGE.id, 1)
    catalogue.publish(IMAGE, 2)

    with pytest.raises(exceptions.LeaseLost):
        catalogue.withdraw(IMAGE.id, 1)

    assert timeless(catalogue.get(IMAGE.id)) == IMAGE


@pytest.mark.parametrize("published_before", [False, True])
def test_a_run_frozen_before_its_write_publishes_nothing_after_it(
    database_url, published_before
):
    with opened(database_url) as frozen, opened(database_url) as successor:
        if published_before:
            frozen.publish(IMAGE, 1)
            frozen.withdraw(IMAGE.id, 1)
        frozen.find()
        connects = itertools.count(1)

        def freeze_before_the_write(_connection):
            # The first connection reads the row, the second writes it.
            if next(connects) == 2:
                successor.withdraw(IMAGE.id, 2)

        sa.event.listen(
            frozen._engine, "engine_connect", freeze_before_the_write
        )

        with pytest.raises(exceptions.LeaseLost):
            frozen.publish(IMAGE, 1)

        assert successor.find() == []


def test_several_that_publish_the_same_at_once_make_one_image(catalogue):
    images = [another() for _ in range(ROUNDS)]

    for image in images:
        together(*[lambda image=image: catalogue.publish(image, 1)] * 3)

    shown = [timeless(found) for found in catalogue.find(limit=ROUNDS + 1)]
    assert shown == images[::-1]


def test_a_withdrawal_beside_a_stale_publish_always_wins(catalogue):
    images = [another() for _ in range(ROUNDS)]

    for image in images:
        together(
            lambda image=image: catalogue.publish(image, 1),
            lambda image=image: catalogue.withdraw(image.id, 2),
        )

    assert catalogue.find() == []
    for image in images:
        with pytest.raises(exceptions.LeaseLost):
            catalogue.publish(image, 1)


# --- lists -------------------------------------------------------------------


def paged(catalogue, limit):
    marker, pages = None, []
    while page := catalogue.find(limit=limit, marker=marker):
        pages.append([image.id for image in page])
        marker = page[-1].id
    return pages


def test_a_list_gives_the_newest_first_and_every_image_once(catalogue):
    images = [another() for _ in range(7)]
    for image in images:
        catalogue.publish(image, 1)

    pages = paged(catalogue, 3)

    newest_first = [image.id for image in reversed(images)]
    assert pages == [newest_first[:3], newest_first[3:6], newest_first[6:]]


def test_images_of_one_moment_are_listed_once_each(catalogue, monkeypatch):
    monkeypatch.setattr(sql_catalogue.time, "time", lambda: 1795262400.125)
    images = [another() for _ in range(7)]
    for image in images:
        catalogue.publish(image, 1)

    pages = paged(catalogue, 2)

    listed = [image_id for page in pages for image_id in page]
    assert sorted(listed) == sorted(image.id for image in images)


def test_a_list_of_no_images_is_empty(catalogue):
    catalogue.publish(IMAGE, 1)

    assert catalogue.find(limit=0) == []


@pytest.mark.parametrize("withdrawn", [False, True])
def test_a_list_after_what_is_no_image_is_refused(catalogue, withdrawn):
    if withdrawn:
        catalogue.withdraw(IMAGE.id, 1)

    with pytest.raises(exceptions.ImageNotFound):
        catalogue.find(marker=IMAGE.id)


# --- the database ------------------------------------------------------------


def test_many_that_meet_an_empty_database_at_once_all_come_to_work(
    database_url,
):
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(opened(database_url)) for _ in range(6)]
        images = [another() for _ in found]

        together(
            *[
                lambda one=one, image=image: one.publish(image, 1)
                for one, image in zip(found, images, strict=True)
            ]
        )

        assert len(found[0].find()) == len(images)


@pytest.fixture(params=["sqlite", "postgresql", "mysql"])
def broken_url(request, tmp_path):
    damaged = tmp_path / "secret-place" / "damaged.sqlite"
    damaged.parent.mkdir()
    damaged.write_text("this is no database" * 100)
    return {
        "sqlite": f"sqlite:///{damaged}",
        # Port 1 is nobody's.
        "postgresql": "postgresql+psycopg2://me:secret@127.0.0.1:1/images",
        "mysql": "mysql+pymysql://me:secret@127.0.0.1:1/images",
    }[request.param]


@pytest.mark.parametrize(
    "call",
    [
        lambda broken: broken.publish(IMAGE, 1),
        lambda broken: broken.withdraw(IMAGE.id, 1),
        lambda broken: broken.get(IMAGE.id),
        lambda broken: broken.find(),
    ],
    ids=["publish", "withdraw", "get", "find"],
)
def test_a_database_that_fails_is_named_without_where_it_is(broken_url, call):
    with (
        opened(broken_url) as broken,
        pytest.raises(exceptions.CatalogueError) as caught,
    ):
        call(broken)

    assert caught.value.code == "catalogue_unavailable"
    assert caught.value.retryable
    assert caught.value.detail["cause"]
    for private in ("secret", "127.0.0.1", "://", "me@"):
        assert private not in str(caught.value)


def test_what_comes_back_after_an_outage_is_used_again(tmp_path):
    place = tmp_path / "database.sqlite"
    place.write_text("this is no database" * 100)
    with opened(f"sqlite:///{place}") as broken:
        with pytest.raises(exceptions.CatalogueError):
            broken.publish(IMAGE, 1)
        place.unlink()

        broken.publish(IMAGE, 1)

        assert timeless(broken.get(IMAGE.id)) == IMAGE
