# SPDX-License-Identifier: Apache-2.0
"""Deleting: announced at once, undone until it begins, then for good."""

import pytest

import glance_tasks as gt
from glance_tasks import locations
from glance_tasks import testing
from tests.support import engines
from tests.support import placed

STORES = ["fast:directory", "cheap:directory"]


@pytest.fixture
def kit():
    with testing.EngineFixture(stores=STORES) as kit:
        yield kit


def submit(kit, image, **told):
    return kit.engine.submit("delete", {"image_id": image.id, **told})


def attempt(kit, task):
    """Run a task for as long as there is something to do now."""
    held = engines.claim(kit.engine, task.id)
    try:
        engines.run(kit.engine, held)
    except gt.TryLater as later:
        return str(later)
    finally:
        engines.lapse(kit.engine)
    return None


def shown(kit, image):
    return kit.engine.catalogue.get(image.id, hidden=True)


# --- an image ----------------------------------------------------------------


def test_an_image_is_deleted_with_all_its_copies(kit):
    image = placed.image(kit, "fast", "cheap")
    other = placed.image(kit, "cheap")

    task = kit.run(submit(kit, image).id)

    assert task.result == {
        "image_id": image.id,
        "image": "deleted",
        "locations": 2,
    }
    assert task.image_id == image.id
    assert placed.keys(kit) == {"fast": [], "cheap": [other.id]}
    with pytest.raises(gt.ImageNotFound):
        shown(kit, image)
    assert testing.find_leftovers(kit.engine) == []


def test_an_image_that_is_to_go_later_is_hidden_at_once(kit):
    image = placed.image(kit, "fast", "cheap")
    task = submit(kit, image, delay=3600)

    reason = attempt(kit, task)

    assert reason.startswith("the data is deleted at 20")
    with pytest.raises(gt.ImageNotFound):
        kit.engine.catalogue.get(image.id)
    hidden = shown(kit, image)
    assert hidden.status == "pending_delete"
    assert all(one.may_be_restored for one in hidden.locations)
    assert placed.keys(kit) == {"fast": [image.id], "cheap": [image.id]}


def test_a_conductor_lets_go_of_a_task_that_waits(kit):
    image = placed.image(kit)
    task = submit(kit, image, delay=3600)

    gt.Conductor(kit.engine, max_tasks=1).run_one(task.id)

    waiting = kit.engine.get(task.id)
    assert "the data is deleted at" in waiting.queue_reason
    assert kit.engine.board.claim("other", 600.0) is None


def test_the_operator_may_give_everybody_time_to_think_again():
    settings = {"glance_tasks_delete": {"delay": 3600.0}}
    with testing.EngineFixture(settings=settings) as kit:
        image = placed.image(kit)

        reason = attempt(kit, submit(kit, image, delay=1))

        assert reason is not None
        assert shown(kit, image).status == "pending_delete"


def test_an_image_whose_deletion_is_undone_stays_as_it_was(kit):
    image = placed.image(kit, "fast", "cheap")
    task = submit(kit, image, delay=3600)
    attempt(kit, task)

    kit.engine.catalogue.change_locations(image.id, locations.undelete)
    ended = kit.run(task.id)

    assert (ended.status, ended.failure.code) == ("failure", "deletion_undone")
    assert kit.engine.catalogue.get(image.id).locations == image.locations
    assert testing.find_leftovers(kit.engine) == []


def test_a_deletion_that_has_begun_cannot_be_undone(kit):
    image = placed.image(kit, "fast")
    kit.engine.stores["fast"].delete = unwilling
    task = kit.run(submit(kit, image).id)

    with pytest.raises(gt.CatalogueError, match="no deletion of this image"):
        kit.engine.catalogue.change_locations(image.id, locations.undelete)

    assert task.failure.code == "store_unavailable"


def unwilling(key, fence):
    raise gt.StoreError("the image store cannot be written to: it is away")


def test_what_a_store_does_not_give_up_stays_announced_for_a_retry(
    kit, monkeypatch
):
    image = placed.image(kit, "fast", "cheap")
    with monkeypatch.context() as patch:
        patch.setattr(kit.engine.stores["cheap"], "delete", unwilling)
        failed = kit.run(submit(kit, image).id)

    assert failed.failure.code == "store_unavailable"
    assert [one.status for one in shown(kit, image).locations] == [
        *("deleted", "pending_delete"),
    ]
    assert placed.keys(kit) == {"fast": [], "cheap": [image.id]}

    again = kit.run(kit.engine.retry(failed.id).id)

    assert again.result["image"] == "deleted"
    assert placed.keys(kit) == {"fast": [], "cheap": []}


# --- one copy ----------------------------------------------------------------


def test_one_copy_is_deleted_and_the_image_stays(kit):
    image = placed.image(kit, "fast", "cheap")

    task = kit.run(submit(kit, image, store="fast").id)

    assert task.result["image"] == "active"
    assert placed.keys(kit) == {"fast": [], "cheap": [image.id]}
    found = kit.engine.catalogue.get(image.id)
    assert [one.status for one in found.locations] == ["deleted", "active"]
    assert testing.find_leftovers(kit.engine) == []


@pytest.mark.parametrize(
    ("store", "wrong"),
    [
        ("cheap", "has no copy in the store 'cheap'"),
        ("fast", "the last one of image"),
    ],
)
def test_a_copy_that_is_not_there_or_the_last_is_not_deleted(
    kit, store, wrong
):
    image = placed.image(kit, "fast")

    with pytest.raises(gt.InvalidInput, match=wrong):
        submit(kit, image, store=store)


# --- what must stay ----------------------------------------------------------


def test_a_protected_image_is_not_deleted(kit):
    image = placed.image(kit, protected=True)

    with pytest.raises(gt.InvalidInput, match="is protected"):
        submit(kit, image)

    assert kit.engine.catalogue.get(image.id).status == "active"


def test_an_image_of_another_project_is_not_there(kit):
    image = placed.image(kit)
    given = {"image_id": image.id}

    with pytest.raises(gt.InvalidInput) as foreign:
        kit.engine.submit("delete", given, requester=gt.Requester("other"))
    with pytest.raises(gt.InvalidInput) as missing:
        submit(kit, gt.Image(*("x" * 8, *("",) * 3, 0, 0, *("",) * 4)))

    assert str(foreign.value) == f"/image_id: there is no image {image.id}"
    assert missing.value.errors[0][0] == "/image_id"
    assert kit.run(
        kit.engine.submit("delete", given, requester=gt.Requester("demo")).id
    ).result


def test_two_deletions_of_one_image_do_not_meet(kit):
    image = placed.image(kit)
    first = submit(kit, image, delay=3600)

    with pytest.raises(gt.TaskConflict, match=f"in use by delete.*{first.id}"):
        submit(kit, image)
