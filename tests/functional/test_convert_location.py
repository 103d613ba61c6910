# SPDX-License-Identifier: Apache-2.0
"""Converting into one more location of the image itself."""

import hashlib
import shutil
import subprocess

import pytest

import glance_tasks as gt
from glance_tasks import conductor
from glance_tasks import testing
from glance_tasks.testing import failing_store
from tests.support import placed

STORES = ["fast:directory", "cheap:directory"]


@pytest.fixture
def kit():
    with testing.EngineFixture(stores=STORES) as kit:
        yield kit


def submit(kit, image, target="qcow2", **more):
    given = {"image_id": image.id, "disk_format": target, "as": "location"}
    return kit.engine.submit("convert", {**given, **more}, owner="demo")


def delete(kit, image, **more):
    task = kit.engine.submit("delete", {"image_id": image.id, **more})
    return kit.run(task.id)


def shown(kit, image):
    found = kit.engine.catalogue.get(image.id, hidden=True)
    return [
        (one.store, one.disk_format, one.status) for one in found.locations
    ]


@pytest.mark.parametrize(
    ("more", "store"), [({}, "fast"), ({"store": "cheap"}, "cheap")]
)
def test_the_image_has_its_disk_in_another_format_too(kit, more, store):
    image = placed.image(kit, "fast")

    task = kit.run(submit(kit, image, **more).id)

    assert task.status == "success", task.message
    assert (task.result["image_id"], task.image_id) == (image.id, image.id)
    assert task.result["store"] == store
    found = kit.engine.catalogue.get(image.id)
    # The record is still that of the data it was made with.
    assert (found.disk_format, found.os_hash_value) == (
        *("raw", image.os_hash_value),
    )
    original, added = found.locations
    assert original == image.locations[0]
    assert (added.disk_format, added.virtual_size) == ("qcow2", image.size)
    assert added.content_digest == task.result["content_digest"]
    assert added.os_hash_value == task.result["os_hash_value"]
    assert added.key != image.id or store == "cheap"
    file = kit.home / "out.qcow2"
    with kit.engine.stores[store].open(added.key) as data:
        file.write_bytes(data.read())
    words = ["convert", "-f", "qcow2", "-O", "raw", file, kit.home / "raw"]
    subprocess.run(["qemu-img", *words], check=True)
    assert (kit.home / "raw").read_bytes() == placed.CONTENT
    assert len(kit.engine.catalogue.find(limit=10)) == 1
    assert testing.find_leftovers(kit.engine) == []


def test_where_stores_have_no_names_it_is_in_the_only_one():
    with testing.EngineFixture() as kit:
        image = placed.image(kit)
        task = kit.run(submit(kit, image).id)

        assert task.result["store"] == ""
        assert shown(kit, image)[1] == ("", "qcow2", "active")
        assert testing.find_leftovers(kit.engine) == []


def test_no_two_tasks_have_the_same_key(kit):
    # Else what the first has made would be the second's to undo.
    image = placed.image(kit, "fast")
    first = submit(kit, image)
    kit.run(first.id)
    delete(kit, image, disk_format="qcow2")
    second = submit(kit, image)

    assert first.plan["location"] != second.plan["location"]


def test_a_conversion_that_runs_again_may_give_other_bytes(kit, monkeypatch):
    # A vmdk has another id each time.
    image = placed.image(kit, "fast")
    task = submit(kit, image, "vmdk")
    put = kit.engine.stores["fast"].put

    def cut(*words, **named):
        put(*words, **named)
        raise gt.RunInterrupted("as a kill would")

    monkeypatch.setattr(kit.engine.stores["fast"], "put", cut)
    conductor.Conductor(kit.engine, max_tasks=1).run_one(task.id)
    monkeypatch.undo()
    shutil.rmtree(kit.home / "work" / task.id)

    task = kit.run(task.id)

    assert task.status == "success", task.message
    added = kit.engine.catalogue.get(image.id).locations[1]
    with kit.engine.stores["fast"].open(added.key) as data:
        digest = hashlib.sha512(data.read()).hexdigest()
    assert digest == added.os_hash_value == task.result["os_hash_value"]
    assert testing.find_leftovers(kit.engine) == []


def test_the_record_names_the_data_that_it_tells_of(kit):
    image = placed.image(kit, "fast")
    kit.run(submit(kit, image).id)
    copy = {"image_id": image.id, "stores": ["cheap"]}
    kit.run(kit.engine.submit("copy", copy, owner="demo").id)
    delete(kit, image, store="fast", disk_format="raw")

    found = kit.engine.catalogue.get(image.id)
    with kit.engine.stores["cheap"].open(found.location) as data:
        assert data.read() == placed.CONTENT


def test_a_store_that_has_another_format_may_get_a_copy(kit):
    image = placed.image(kit, "fast")
    kit.run(submit(kit, image, store="cheap").id)
    copy = {"image_id": image.id, "stores": ["cheap"]}

    task = kit.run(kit.engine.submit("copy", copy, owner="demo").id)

    assert task.status == "success", task.message


def test_others_are_still_made_of_the_data_it_was_made_with(kit):
    image = placed.image(kit, "fast")
    kit.run(submit(kit, image).id)

    clone = kit.engine.submit("clone", {"image_id": image.id}, owner="demo")

    result = kit.run(clone.id).result
    assert result["os_hash_value"] == image.os_hash_value


def test_the_added_one_is_deleted_by_its_format_and_the_last_is_kept(kit):
    image = placed.image(kit, "fast")
    kit.run(submit(kit, image).id)

    with pytest.raises(gt.InvalidInput, match="of format raw is the last one"):
        delete(kit, image, disk_format="raw")
    with pytest.raises(gt.InvalidInput, match="'fast' is the last one"):
        delete(kit, image, store="fast")
    with pytest.raises(gt.InvalidInput, match="no copy of format vdi"):
        delete(kit, image, disk_format="vdi")
    task = delete(kit, image, disk_format="qcow2")

    assert task.result["image"] == "active"
    assert shown(kit, image)[0] == ("fast", "raw", "active")
    assert placed.keys(kit)["fast"] == [image.id]
    assert testing.find_leftovers(kit.engine) == []
    # Its key is never used again.
    task = kit.run(submit(kit, image).id)
    assert task.status == "success"
    assert len({one.key for one in _all(kit, image)}) == 3


def _all(kit, image):
    return kit.engine.catalogue.get(image.id, hidden=True).locations


def test_all_of_it_goes_with_the_image(kit):
    image = placed.image(kit, "fast")
    kit.run(submit(kit, image, store="cheap").id)

    assert delete(kit, image).result["locations"] == 2
    assert placed.keys(kit) == {"fast": [], "cheap": []}


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"target": "raw"}, "/disk_format: is that of the image"),
        ({"store": "far"}, "/store: is no store: 'far'; expected one of"),
        ({"name": "x"}, "/name: is that of a new image"),
        ({"as": "image", "store": "fast"}, "/store: is that of a location"),
    ],
)
def test_what_cannot_be_is_refused(kit, given, fault):
    image = placed.image(kit, "fast")
    with pytest.raises(gt.InvalidInput, match=fault):
        submit(kit, image, **given)


def test_one_that_is_there_is_not_made_again(kit):
    image = placed.image(kit, "fast")
    kit.run(submit(kit, image).id)
    with pytest.raises(gt.InvalidInput, match="a copy there, which is active"):
        submit(kit, image)


def test_the_image_of_another_project_is_not_there(kit):
    image = placed.image(kit, "fast", visibility="public")
    given = {"image_id": image.id, "disk_format": "qcow2", "as": "location"}
    with pytest.raises(gt.InvalidInput, match="there is no image"):
        kit.engine.submit("convert", given, owner="other")


def test_a_store_that_fails_leaves_the_image_as_it_was():
    with testing.EngineFixture(
        wrap_store=lambda inner: failing_store.FailingStore(
            inner, call=2, of=("put",)
        )
    ) as kit:
        image = placed.image(kit)

        task = kit.run(submit(kit, image).id)

        assert task.failure.code == "store_unavailable"
        assert kit.engine.catalogue.get(image.id).locations == image.locations
        assert testing.find_leftovers(kit.engine) == []
