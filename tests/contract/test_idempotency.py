# SPDX-License-Identifier: Apache-2.0
"""A task that is submitted again with its key is one task."""

import concurrent.futures
import threading

import pytest

import glance_tasks as gt
from tests.support import engines
from tests.support import secret_types
from tests.support import task_types

AT_ONCE = 6
ALPHA, BETA = gt.Requester("alpha"), gt.Requester("beta")


@pytest.fixture
def engine(tmp_path, clean_database_url):
    types = {**task_types.TYPES, "secret": secret_types.SecretTask}
    with engines.opened(
        tmp_path, database_url=clean_database_url, types=types
    ) as engine:
        yield engine


@pytest.fixture
def world(tmp_path):
    return task_types.World(tmp_path / "world")


def submit(engine, world, key="k", kind="line", requester=ALPHA, **told):
    return engine.submit(
        kind, world.given(**told), requester=requester, idempotency_key=key
    )


def test_the_same_again_is_the_task_there_is(engine, world):
    first = submit(engine, world, takes=["image:1"])
    before = engines.dump(engine)

    again = submit(engine, world, takes=["image:1"])

    assert again == first
    assert again.idempotency_key == "k"
    assert engines.dump(engine) == before


def test_it_is_given_when_it_has_ended_too(engine, world):
    first = submit(engine, world)
    engines.run_all(engine)

    again = submit(engine, world)

    assert (again.id, again.status) == (first.id, "success")


@pytest.mark.parametrize(
    ("kind", "told"), [("line", {"fails": 1}), ("arms", {})]
)
def test_anything_else_is_a_conflict(engine, world, kind, told):
    first = submit(engine, world)
    before = engines.dump(engine)

    with pytest.raises(
        gt.TaskConflict, match=f"'k' belongs to task {first.id}"
    ):
        submit(engine, world, kind=kind, **told)

    assert engines.dump(engine) == before


def test_each_project_has_its_own_keys(engine, world):
    tasks = [submit(engine, world, requester=who) for who in (ALPHA, BETA)]

    assert tasks[0].id != tasks[1].id


def test_without_a_key_each_is_one_of_its_own(engine, world):
    tasks = [submit(engine, world, key=None) for _ in range(2)]

    assert tasks[0].id != tasks[1].id


def test_a_retry_has_no_key(engine, world):
    failed = submit(engine, world, fail_at="step-1")
    engines.run_all(engine)

    again = engine.retry(failed.id)

    assert again.idempotency_key is None
    assert submit(engine, world, fail_at="step-1").id == failed.id


@pytest.mark.parametrize("told", [{}, {"takes": ["image:1"]}], ids=str)
def test_submitted_by_many_at_once_it_is_one_task(engine, world, told):
    barrier = threading.Barrier(AT_ONCE)

    def one(_):
        barrier.wait()
        return submit(engine, world, **told).id

    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as threads:
        ids = set(threads.map(one, range(AT_ONCE)))

    assert len(ids) == 1
    assert len(engine.find()) == 1


def test_of_secrets_only_the_names_count(engine, world):
    one = {"user": "ann", "password": "one password"}
    first = submit(engine, world, kind="secret", credentials=one)

    other = {**one, "password": "another password"}
    again = submit(engine, world, kind="secret", credentials=other)

    assert again.id == first.id
    with pytest.raises(gt.TaskConflict):
        submit(engine, world, kind="secret")


@pytest.mark.parametrize("key", ["", "x" * 256, "two\nlines", " k", 7])
def test_a_key_is_a_line(engine, world, key):
    with pytest.raises(gt.InvalidInput, match="idempotency_key"):
        submit(engine, world, key=key)
