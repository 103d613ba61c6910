# SPDX-License-Identifier: Apache-2.0
"""Where images' data is, in the catalogue, on each kind of database."""

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
from glance_tasks import locations
from glance_tasks import ports
from glance_tasks.adapters import sql_catalogue
from glance_tasks.persistence import database
from glance_tasks.testing import doubles
from tests.support import stores

WHEN = datetime.datetime(2026, 11, 22, tzinfo=datetime.UTC)
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


def made(**changes):
    image_id = str(uuid.uuid4())
    return ports.Image(
        **{
            "id": image_id,
            "owner": "project",
            "disk_format": "raw",
            "container_format": "bare",
            "size": 1 << 45,
            "virtual_size": 1 << 46,
            "checksum": "0" * 32,
            "os_hash_algo": "sha512",
            "os_hash_value": "f" * 128,
            "location": image_id,
            **changes,
        }
    )


@pytest.fixture
def image(catalogue):
    published = made()
    catalogue.publish(published, 3)
    return published


def copy_in(store, key="copy"):
    return locations.Location(key, store, disk_format="qcow2", size=7)


def adding(new):
    return lambda held: locations.add(held, new)


def deleting(held):
    for one in locations.mark(held, WHEN):
        held = locations.mark(held, WHEN)
        held = locations.begin_deletion(held, one.place)
        held = locations.move(
            held, one.place, locations.LocationStatus.DELETED
        )
    return held


def ids(found):
    return {one.id for one in found}


# --- reading -----------------------------------------------------------------


def test_an_image_has_one_location_in_the_default_store(catalogue, image):
    shown = catalogue.get(image.id)

    assert shown.locations == (image.located(),)
    assert shown.locations[0].place == ("", image.location)
    assert shown.locations[0].size == image.size


def test_an_image_is_published_with_all_its_locations(catalogue):
    image = made(location="b")
    held = (
        dataclasses.replace(copy_in("cheap", "a"), status="failed"),
        copy_in("fast", "b"),
    )
    image = dataclasses.replace(image, locations=held)

    catalogue.publish(image, 1)

    assert catalogue.get(image.id).locations == held
    assert catalogue.get(image.id).location == "b"


def test_what_is_published_again_is_where_the_last_says(catalogue):
    image = made()
    elsewhere = dataclasses.replace(image, locations=(copy_in("cheap"),))
    catalogue.publish(elsewhere, 1)
    catalogue.withdraw(image.id, 1)

    catalogue.publish(image, 2)

    assert catalogue.get(image.id).locations == image.locations


def test_a_database_of_yesterday_shows_its_images_and_takes_locations(
    tmp_path,
):
    used = database.Database(f"sqlite:///{tmp_path / 'old.sqlite'}")
    image = made()
    with used.write() as connection:
        connection.execute(
            sa.text(
                "CREATE TABLE gt_images (id VARCHAR(36) NOT NULL PRIMARY KEY,"
                " fence BIGINT NOT NULL, status VARCHAR(16) NOT NULL,"
                " created_at DOUBLE NOT NULL, updated_at DOUBLE NOT NULL,"
                " owner VARCHAR(255), disk_format VARCHAR(32),"
                " container_format VARCHAR(32), size BIGINT,"
                " virtual_size BIGINT, checksum VARCHAR(255),"
                " os_hash_algo VARCHAR(64), os_hash_value VARCHAR(255),"
                " location TEXT, name VARCHAR(255), visibility VARCHAR(16),"
                " min_disk INTEGER, min_ram INTEGER, protected BOOLEAN,"
                " tags TEXT, properties TEXT,"
                " CONSTRAINT gt_images_newest UNIQUE (status, created_at, id))"
            )
        )
        values = {
            **sql_catalogue.tables.content_of(image),
            **{"id": image.id, "fence": 7, "status": "active"},
            **{"created_at": 1.0, "updated_at": 1.0},
        }
        connection.execute(
            sa.text(
                f"INSERT INTO gt_images ({', '.join(values)})"  # noqa: S608
                f" VALUES ({', '.join(':' + name for name in values)})"
            ),
            values,
        )
    catalogue = sql_catalogue.SqlCatalogue(cfg.ConfigOpts(), used.engine)

    before = catalogue.get(image.id)
    catalogue.change_locations(image.id, adding(copy_in("fast")))

    assert before.locations == (image.located(),)
    assert ids(catalogue.find()) == {image.id}
    assert catalogue.get(image.id).locations == (
        *before.locations,
        copy_in("fast"),
    )
    used.close()


# --- changing ----------------------------------------------------------------


def test_a_location_that_was_added_is_shown(catalogue, image):
    changed = catalogue.change_locations(image.id, adding(copy_in("fast")))

    assert changed == catalogue.get(image.id)
    assert changed.locations == (*image.locations, copy_in("fast"))
    assert changed.location == image.location


def test_what_the_change_refuses_changes_nothing(catalogue, image):
    before = catalogue.get(image.id)

    with pytest.raises(exceptions.CatalogueError, match="not there"):
        catalogue.change_locations(
            image.id, lambda held: locations.move(held, ("x", "y"), "deleted")
        )

    assert catalogue.get(image.id) == before


def test_an_image_whose_only_data_is_to_go_is_hidden_until_it_is_restored(
    catalogue, image
):
    catalogue.change_locations(
        image.id, lambda held: locations.mark(held, WHEN)
    )

    with pytest.raises(exceptions.ImageNotFound):
        catalogue.get(image.id)
    with pytest.raises(exceptions.ImageNotFound):
        catalogue.find(marker=image.id)
    hidden = catalogue.get(image.id, hidden=True)
    assert (hidden.status, hidden.locations[0].deletes_at) == (
        *("pending_delete", WHEN),
    )
    assert image.id not in ids(catalogue.find(limit=1000))
    assert image.id in ids(catalogue.find(limit=1000, hidden=True))

    catalogue.change_locations(image.id, locations.restore)

    assert catalogue.get(image.id).locations == image.locations


def test_an_image_with_one_more_copy_stays_when_the_first_is_to_go(
    catalogue, image
):
    catalogue.change_locations(image.id, adding(copy_in("fast")))

    catalogue.change_locations(
        image.id,
        lambda held: locations.mark(held, WHEN, [held[0].place]),
    )

    assert catalogue.get(image.id).location == "copy"


@pytest.mark.parametrize("touched_before", [False, True])
def test_an_image_all_of_whose_data_is_deleted_is_gone_for_good(
    catalogue, image, touched_before
):
    if touched_before:
        catalogue.change_locations(image.id, lambda held: held)

    catalogue.change_locations(image.id, deleting)

    for hidden in (False, True):
        with pytest.raises(exceptions.ImageNotFound):
            catalogue.get(image.id, hidden=hidden)
        assert image.id not in ids(catalogue.find(limit=1000, hidden=hidden))
    with pytest.raises(exceptions.ImageNotFound):
        catalogue.change_locations(image.id, locations.restore)
    with catalogue._engine.begin() as connection:
        row = connection.execute(
            sa.text(
                "SELECT status, name, owner FROM gt_images WHERE id = :id"
            ),
            {"id": image.id},
        ).one()
    assert tuple(row) == ("deleted", None, None)


def test_there_is_nothing_to_change_where_there_is_no_image(catalogue):
    with pytest.raises(exceptions.ImageNotFound, match="no image nobody"):
        catalogue.change_locations("nobody", lambda held: held)


# --- frozen predecessors, and others at the same time ------------------------


def test_a_run_that_has_lost_its_task_changes_nothing(catalogue, image):
    with pytest.raises(exceptions.LeaseLost):
        catalogue.change_locations(
            image.id, adding(copy_in("fast")), fence=doubles.LostFence()
        )

    assert catalogue.get(image.id).locations == image.locations


@pytest.mark.parametrize("touched_before", [False, True])
def test_what_a_successor_touched_a_frozen_run_does_not_change(
    synced_database_url, touched_before
):
    image = made()
    claims = itertools.count(1)
    with (
        opened(synced_database_url) as frozen,
        opened(synced_database_url) as successor,
    ):
        frozen.publish(image, 1)
        if touched_before:
            frozen.change_locations(image.id, lambda held: held)

        def freeze():
            if next(claims) > 1:
                raise exceptions.LeaseLost("claim 2 came after claim 1")
            # It finds nothing that it would have to undo.
            successor.change_locations(
                image.id, lambda held: held, fence=doubles.OpenFence(2)
            )

        with pytest.raises(exceptions.LeaseLost):
            frozen.change_locations(
                image.id,
                adding(copy_in("fast")),
                fence=stores.Claim(1, freeze),
            )

        assert successor.get(image.id).locations == image.locations


def test_a_publisher_that_was_frozen_leaves_later_locations_alone(
    synced_database_url,
):
    image = made()
    named = dataclasses.replace(image, locations=(copy_in("fast"),))
    with (
        opened(synced_database_url) as frozen,
        opened(synced_database_url) as successor,
    ):
        frozen.find()
        connects = itertools.count(1)

        def freeze_before_the_write(_connection):
            # The first connection reads, the second writes.
            if next(connects) == 2:
                successor.publish(named, 2)
                successor.change_locations(image.id, adding(copy_in("cheap")))

        sa.event.listen(
            frozen._engine, "engine_connect", freeze_before_the_write
        )

        with pytest.raises(exceptions.LeaseLost):
            frozen.publish(named, 1)

        assert len(successor.get(image.id).locations) == 2


def test_changes_at_the_same_moment_are_all_kept(catalogue, image):
    barrier = threading.Barrier(AT_ONCE)

    def change(number):
        barrier.wait()
        catalogue.change_locations(
            image.id,
            adding(copy_in(f"store-{number}")),
            fence=doubles.OpenFence(),
        )

    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(change, range(AT_ONCE)))

    found = {one.store for one in catalogue.get(image.id).locations}
    assert found == {"", *(f"store-{number}" for number in range(AT_ONCE))}


# --- the database ------------------------------------------------------------


def test_a_database_that_fails_is_named_without_where_it_is():
    with (
        opened("postgresql+psycopg2://me:secret@127.0.0.1:1/images") as broken,
        pytest.raises(exceptions.CatalogueError) as caught,
    ):
        broken.change_locations("x", lambda held: held)

    assert caught.value.code == "catalogue_unavailable"
    assert "secret" not in str(caught.value)
