# SPDX-License-Identifier: Apache-2.0
"""Whatever a task leaves behind is found, and nothing that may stay."""

import pytest

import glance_tasks as gt
from glance_tasks import testing
from glance_tasks.persistence import models
from tests.support import engines
from tests.support import importing
from tests.support import task_types

TYPES = {**task_types.TYPES, **importing.TYPES}


@pytest.fixture
def kit():
    with testing.EngineFixture(types=TYPES) as kit:
        yield kit


@pytest.fixture
def failed(kit, world):
    submitted = kit.engine.submit("line", world.given(fail_at="step-2"))
    return kit.run(submitted.id)


def image(image_id, location=None):
    return gt.Image(
        *(image_id, "project", "raw", "bare", 8, 8),
        *("md5", "sha512", "aa", location or image_id),
    )


def put(kit, key):
    file = kit.home / "file"
    file.write_bytes(b"an image")
    kit.engine.store.put(
        key,
        file,
        stop=testing.NeverStop(),
        progress=testing.RecordingProgress(),
        fence=testing.OpenFence(),
    )


def test_of_an_import_that_succeeded_nothing_is_left(kit):
    with testing.HttpSource() as source:
        uri = source.put("/a", testing.Resource(importing.noise(1 << 16)))
        task = kit.engine.submit("import", importing.given(uri))

        kit.run(task.id)

    assert list(kit.engine.store.keys()) == [task.image_id]
    assert testing.find_leftovers(kit.engine) == []


def test_of_a_task_that_undid_everything_nothing_is_left(kit, failed):
    assert failed.status is gt.Status.FAILURE
    assert testing.find_leftovers(kit.engine) == []


@pytest.mark.parametrize("name", ["1/fetched", "1"])
def test_a_file_and_an_empty_directory_are_found(kit, failed, name):
    place = kit.home / "work" / failed.id / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.touch() if name == "1/fetched" else place.mkdir()

    found = testing.find_leftovers(kit.engine)

    assert found == [f"work directory: {failed.id}/{name}"]


def test_an_object_of_no_image_is_found(kit, failed):
    put(kit, failed.image_id)

    found = testing.find_leftovers(kit.engine)

    assert found == [f"store: the object {failed.image_id}, of no image"]


def test_an_object_of_an_image_may_stay(kit):
    put(kit, "elsewhere")
    kit.engine.catalogue.publish(image("one", "elsewhere"), 1)

    assert testing.find_leftovers(kit.engine) == []


def test_an_object_of_a_task_that_succeeded_may_stay(kit, world):
    ended = kit.run(kit.engine.submit("line", world.given()).id)

    put(kit, ended.image_id)

    assert testing.find_leftovers(kit.engine) == []


def test_half_of_an_object_is_found(kit, failed):
    half = kit.home / "store" / ".key.1.part"
    half.parent.mkdir()
    half.touch()

    found = testing.find_leftovers(kit.engine)

    assert found == ["store: the file .key.1.part, no object"]


def test_an_image_of_a_task_that_failed_is_found(kit, failed):
    kit.engine.catalogue.publish(image(failed.image_id), 1)

    (found,) = testing.find_leftovers(kit.engine)

    assert found.startswith(f"catalogue: the image {failed.image_id} of task")


def test_an_image_of_its_retry_may_stay(kit, failed):
    retry = kit.engine.retry(failed.id)
    engines.run_all(kit.engine)
    with kit.engine.database.write() as connection:
        connection.execute(
            models.TASKS.update()
            .where(models.TASKS.c.id == retry.id)
            .values(status="success", failure=None, message=None, result="{}")
        )

    kit.engine.catalogue.publish(image(failed.image_id), 1)

    assert testing.find_leftovers(kit.engine) == []


@pytest.mark.parametrize(
    ("table", "values"),
    [
        (models.JOBS, None),
        (models.LOCKS, {"resource": "image one", "exclusive": True}),
        (
            models.SECRETS,
            {"name": "a", "key_id": "k", "ciphertext": b"s"},
        ),
    ],
    ids=["job", "lock", "secret"],
)
def test_a_row_is_found(kit, world, failed, table, values):
    task_id = failed.id
    if values is None:
        task_id = kit.engine.submit("line", world.given()).id
    else:
        with kit.engine.database.write() as connection:
            connection.execute(
                table.insert().values(task_id=task_id, **values)
            )

    found = testing.find_leftovers(kit.engine)

    assert found == [f"{table.name}: 1 rows of task {task_id}"]


def test_more_tasks_and_images_than_a_page_has_are_looked_at(kit, monkeypatch):
    monkeypatch.setattr("glance_tasks.testing.leftovers._PAGE", 2)
    for number in range(5):
        kit.engine.catalogue.publish(image(f"i{number}", f"k{number}"), 1)
        put(kit, f"k{number}")

    put(kit, "stray")

    found = testing.find_leftovers(kit.engine)
    assert found == ["store: the object stray, of no image"]
