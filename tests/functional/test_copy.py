# SPDX-License-Identifier: Apache-2.0
"""Copying an image to further stores, from the copy that is read best."""

import dataclasses
import hashlib

import pytest

import glance_tasks as gt
from glance_tasks import locations
from glance_tasks import testing
from tests.support import engines
from tests.support import placed

STORES = ["fast:directory", "cheap:directory", "far:directory"]


@pytest.fixture
def kit():
    with testing.EngineFixture(stores=STORES) as kit:
        yield kit


def submit(kit, image, *stores, **how):
    given = {"image_id": image.id, "stores": list(stores)}
    return kit.engine.submit("copy", given, **how)


def content(kit, store, image):
    found = kit.engine.catalogue.get(image.id).locations
    (key,) = [o.key for o in found if (o.store, o.status) == (store, "active")]
    with kit.engine.stores[store].open(key) as file:
        return file.read()


def spoil(kit, store, image):
    path = kit.home / f"store-{store}" / image.id
    path.unlink()
    path.write_bytes(placed.CONTENT[::-1])


def test_an_image_gets_a_copy_in_each_store(kit):
    image = placed.image(kit, "fast")

    task = kit.run(submit(kit, image, "far", "cheap").id)

    assert task.result == {
        "image_id": image.id,
        "stores": ["cheap", "far"],
        "size": len(placed.CONTENT),
    }
    found = kit.engine.catalogue.get(image.id)
    assert [(one.store, one.status) for one in found.locations] == [
        *(("fast", "active"), ("cheap", "active"), ("far", "active")),
    ]
    assert {one.os_hash_value for one in found.locations} == {
        hashlib.sha512(placed.CONTENT).hexdigest()
    }
    for store in ("cheap", "far"):
        assert content(kit, store, image) == placed.CONTENT
    assert testing.find_leftovers(kit.engine) == []


def test_a_copy_that_is_spoilt_is_not_copied_but_another_one(kit):
    image = placed.image(kit, "fast", "cheap")
    spoil(kit, "fast", image)

    task = kit.run(submit(kit, image, "far").id)

    assert task.status == "success"
    assert content(kit, "far", image) == placed.CONTENT


def test_an_image_of_which_no_copy_is_whole_is_not_copied(kit):
    image = placed.image(kit, "fast")
    spoil(kit, "fast", image)

    task = kit.run(submit(kit, image, "far").id)

    assert task.failure.code == "image_damaged"
    assert placed.keys(kit)["far"] == []
    assert kit.engine.catalogue.get(image.id).locations == image.locations


def test_the_copy_that_was_read_fastest_is_read(kit):
    image = placed.image(kit, "fast", "cheap")
    speeds = kit.engine._shared.speeds
    speeds._chance = lambda: 1.0
    for store, rate in ("fast", 1e12), ("cheap", 1.0):
        speeds.note(store, latency=0.0, rate=rate)
    before = speeds.speed("cheap")

    kit.run(submit(kit, image, "far").id)

    assert speeds.speed("cheap") == before
    assert speeds.speed("fast").rate < 1e12


def test_what_a_node_knows_of_stores_is_kept_where_it_is_told(tmp_path):
    path = tmp_path / "speeds.json"
    with testing.EngineFixture(stores=STORES, speed_file=str(path)) as kit:
        image = placed.image(kit, "fast")
        kit.run(submit(kit, image, "far").id)

        again = kit.restart()

        assert again._shared.speeds.speed("fast").rate > 0


def test_a_store_that_refuses_leaves_no_copy_anywhere(kit):
    image = placed.image(kit, "fast")
    stores = kit.engine.stores
    stores["far"] = testing.FailingStore(stores["far"], of=["put"])

    task = kit.run(submit(kit, image, "cheap", "far").id)

    assert task.failure.code == "store_unavailable"
    assert kit.engine.catalogue.get(image.id).locations == image.locations
    assert placed.keys(kit) == {"fast": [image.id], "cheap": [], "far": []}
    assert testing.find_leftovers(kit.engine) == []


def test_a_store_whose_copy_was_deleted_gets_one_under_another_key(kit):
    image = placed.image(kit, "fast", "cheap")
    gone = {"image_id": image.id, "store": "cheap"}
    kit.run(kit.engine.submit("delete", gone).id)

    task = kit.run(submit(kit, image, "cheap").id)

    assert placed.keys(kit)["cheap"] == [f"{image.id}.{task.id}"]
    found = kit.engine.catalogue.get(image.id)
    assert [one.status for one in found.locations] == [
        *("active", "deleted", "active"),
    ]


@pytest.mark.parametrize(
    ("stores", "wrong"),
    [
        (["gone"], "/stores/0: is no store: 'gone'; expected one of: fast"),
        (["far", "fast"], "/stores/1: has a copy of this image already"),
        ([], "/stores"),
    ],
)
def test_stores_that_cannot_get_a_copy_are_named(kit, stores, wrong):
    image = placed.image(kit, "fast")

    with pytest.raises(gt.InvalidInput, match=wrong):
        submit(kit, image, *stores)


def test_an_image_of_before_stores_had_names_is_in_the_first(kit):
    image = placed.image(kit)

    with pytest.raises(gt.InvalidInput, match="has a copy"):
        submit(kit, image, "fast")

    assert kit.run(submit(kit, image, "far").id).status == "success"


def test_an_image_of_another_project_is_not_copied(kit):
    image = placed.image(kit, "fast")

    with pytest.raises(gt.InvalidInput, match="there is no image"):
        submit(kit, image, "far", requester=gt.Requester("other"))


def test_copies_may_be_made_at_once_but_an_image_in_use_is_not_deleted(kit):
    image = placed.image(kit, "fast")
    first = submit(kit, image, "cheap")

    second = submit(kit, image, "far")
    with pytest.raises(gt.TaskConflict, match=f"image {image.id} is in use"):
        kit.engine.submit("delete", {"image_id": image.id})
    with pytest.raises(gt.TaskConflict, match=r"copy .* in cheap is in use"):
        submit(kit, image, "cheap")
    engines.run_all(kit.engine)

    assert {kit.engine.get(t.id).status for t in (first, second)} == {
        "success"
    }
    assert len(kit.engine.catalogue.get(image.id).locations) == 3
    kit.run(kit.engine.submit("delete", {"image_id": image.id}).id)
    assert placed.keys(kit) == {"fast": [], "cheap": [], "far": []}


def test_an_image_that_went_meanwhile_is_said_to_be_gone(kit):
    image = placed.image(kit, "fast")
    task = submit(kit, image, "far")
    kit.engine.catalogue.withdraw(image.id, 2)

    ended = kit.run(task.id)

    assert ended.failure.code == "image_not_found"


def test_a_copy_in_another_format_is_not_taken_for_the_image(kit):
    image = placed.image(kit, "fast")
    other = dataclasses.replace(
        image.located("cheap"), disk_format="qcow2", os_hash_value="00"
    )
    kit.engine.catalogue.change_locations(
        image.id, lambda held: locations.add((), other)
    )

    ended = kit.run(submit(kit, image, "far").id)

    assert ended.failure.code == "store_unavailable"
    assert "no copy that is as the image says" in ended.message
