# SPDX-License-Identifier: Apache-2.0
"""Tasks as rows: the same on SQLite, PostgreSQL and MariaDB."""

import datetime
import threading
import uuid

import pytest
import sqlalchemy as sa

import glance_tasks as gt
from glance_tasks import exceptions
from glance_tasks.persistence import expiry
from glance_tasks.persistence import listing
from glance_tasks.persistence import models
from glance_tasks.persistence import repository
from tests.support import engines
from tests.support import task_types


@pytest.fixture
def engine(tmp_path, clean_database_url):
    with engines.opened(tmp_path, database_url=clean_database_url) as engine:
        yield engine


@pytest.fixture
def world(tmp_path):
    return task_types.World(tmp_path / "world")


@pytest.fixture
def queued(engine, world):
    return engine.submit("line", world.given(), owner="demo")


def change(engine, task_id, **values):
    with engine.database.write() as connection:
        connection.execute(
            sa.update(models.TASKS)
            .where(models.TASKS.c.id == task_id)
            .values(**values)
        )


# --- what the database itself refuses ----------------------------------------

ENDED = {"phase": "done", "finished_at": 1.0, "expires_at": 2.0}


@pytest.mark.parametrize(
    "values",
    [
        {"status": "waiting"},
        {"status": ""},
        {"phase": "sleeping"},
        {"result": "{}"},
        {"message": "bad"},
        {"failure": "{}"},
        {"status": "processing", "phase": "processing", "result": "{}"},
        {"status": "failure", "result": "{}", **ENDED},
        {"status": "success", "message": "bad", **ENDED},
        {"status": "success", "failure": "{}", **ENDED},
        {"expires_at": 1.0},
        {"finished_at": 1.0},
        {"phase": "done"},
        {"status": "success"},
        {"status": "success", **ENDED, "expires_at": None},
        {"status": "failure", **ENDED, "finished_at": None},
        {"status": "failure", **ENDED, "phase": "reverting"},
    ],
    ids=str,
)
def test_the_database_refuses_a_task_that_contradicts_itself(
    engine, queued, values
):
    before = engines.dump(engine)

    with pytest.raises(Exception, match=r"(?i)constraint"):
        change(engine, queued.id, **values)

    assert engines.dump(engine) == before


@pytest.mark.parametrize(
    "values",
    [
        {"status": "success", "result": "{}", **ENDED},
        {"status": "failure", "message": "x", "failure": "{}", **ENDED},
        {"status": "processing", "phase": "transferring"},
    ],
    ids=str,
)
def test_the_database_takes_a_task_that_does_not(engine, queued, values):
    change(engine, queued.id, **values)


def test_the_database_refuses_a_second_task_of_the_same_id(engine, queued):
    with (
        pytest.raises(Exception, match=r"(?i)unique|duplicate|exists") as e,
        engine.database.write() as connection,
    ):
        engine.tasks.add(connection, queued)

    assert "None" not in str(e.value)


# --- reading -----------------------------------------------------------------


def test_a_task_is_read_as_it_was_written(engine, world):
    requester = gt.Requester("demo", "user", request_id="req-1")

    task = engine.submit(
        "line", world.given(), requester=requester, priority=3
    )

    found = engine.tasks.get(task.id)
    assert found == task
    assert (found.owner, found.user_id) == ("demo", "user")
    assert (found.request_id, found.priority) == ("req-1", 3)
    assert (found.status, found.phase) == ("pending", "queued")
    assert found.input == world.given()
    assert (found.result, found.message, found.expires_at) == (None,) * 3
    assert str(uuid.UUID(found.id)) == found.id


def test_times_are_utc_by_the_databases_clock(engine, queued):
    now = datetime.datetime.now(datetime.UTC)

    assert queued.created_at.tzinfo is datetime.UTC
    assert abs(now - queued.created_at) < datetime.timedelta(minutes=1)


@pytest.mark.parametrize("owner", ["DEMO", "démo", "demo\u00a0x", "%", "dem_"])
def test_a_task_is_invisible_to_whoever_is_not_exactly_its_owner(
    engine, queued, owner
):
    requester = gt.Requester(owner)

    with pytest.raises(exceptions.TaskNotFound):
        engine.tasks.get(queued.id, requester)
    assert listing.find(engine.database, requester) == []
    with pytest.raises(exceptions.TaskNotFound):
        listing.find(engine.database, requester, marker=queued.id)


def test_a_task_is_visible_to_its_owner_and_to_the_operator(engine, queued):
    for requester in (gt.Requester("demo"), None):
        assert engine.tasks.get(queued.id, requester).id == queued.id
        assert [t.id for t in listing.find(engine.database, requester)] == [
            queued.id
        ]


def test_a_foreign_task_is_missed_in_the_same_words(engine, queued):
    missing = str(uuid.uuid4())

    with pytest.raises(exceptions.TaskNotFound) as foreign:
        engine.tasks.get(queued.id, gt.Requester("other"))
    with pytest.raises(exceptions.TaskNotFound) as absent:
        engine.tasks.get(missing, gt.Requester("other"))

    assert str(foreign.value).replace(queued.id, "ID") == str(
        absent.value
    ).replace(missing, "ID")


@pytest.mark.parametrize(
    "task_id", ["", "x", "x" * 5000, "a\0b", "a\ud800b", "%", "' OR 1=1 --"]
)
def test_an_id_of_any_form_is_not_found(engine, queued, task_id):
    with pytest.raises(exceptions.TaskNotFound):
        engine.tasks.get(task_id)


def test_an_id_in_capitals_is_another(engine, queued):
    with pytest.raises(exceptions.TaskNotFound):
        engine.tasks.get(queued.id.upper())


# --- lists -------------------------------------------------------------------


@pytest.fixture
def many(engine, world):
    """Submit 23 tasks, many of them alike in all that is sorted by."""
    tasks = [
        engine.submit(
            "line" if n % 3 else "arms", world.given(), owner=f"o{n % 2}"
        )
        for n in range(23)
    ]
    with engine.database.write() as connection:
        connection.execute(
            sa.update(models.TASKS)
            .where(models.TASKS.c.id.in_([t.id for t in tasks[:9]]))
            .values(created_at=1.5, updated_at=2.5)
        )
    return [t.id for t in tasks]


def pages(engine, size, **how):
    found, marker = [], None
    while page := engine.find(limit=size, marker=marker, **how):
        found += page
        marker = page[-1].id
    return found


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("sort_key", listing.SORT_KEYS)
def test_pages_give_every_task_once_in_order(
    engine, many, sort_key, descending
):
    how = {"sort_key": sort_key, "descending": descending}

    found = pages(engine, 4, **how)

    assert sorted(task.id for task in found) == sorted(many)
    keys = [getattr(task, sort_key) for task in found]
    assert keys == sorted(keys, reverse=descending)
    assert found == engine.find(limit=1000, **how)


def test_a_list_has_the_newest_first(engine, many):
    found = engine.find()

    created = [task.created_at for task in found]
    assert created == sorted(created, reverse=True)


def test_a_filter_and_a_requester_hold_on_every_page(engine, many):
    found = pages(
        engine, 2, requester=gt.Requester("o1"), filters={"type": "arms"}
    )

    expected = [n for n in range(23) if n % 3 == 0 and n % 2]
    assert sorted(t.id for t in found) == sorted(many[n] for n in expected)
    assert {(t.owner, t.type) for t in found} == {("o1", "arms")}


@pytest.mark.parametrize("limit", [0, 1, 7])
def test_a_limit_is_kept(engine, many, limit):
    assert len(engine.find(limit=limit)) == limit


def test_no_page_is_longer_than_the_longest(engine, many, monkeypatch):
    monkeypatch.setattr(listing, "MAX_LIMIT", 5)

    assert len(engine.find(limit=10**6)) == 5


def test_a_list_leaves_out_what_is_heavy(engine, queued):
    (stub,) = engine.find()

    assert stub.id == queued.id
    assert stub.input == {} and stub.plan == {}
    assert stub.result is None and stub.message is None


# --- the outcome -------------------------------------------------------------

FAILURE = gt.Failure("source_cut", "it ended", "Retry", True)


@pytest.fixture
def held(engine, queued):
    return engines.claim(engine).task


def end(engine, held, **how):
    return engine.tasks.end(
        held.id, held.fence, repository.Ending(time_to_live=60.0, **how)
    )


def test_a_success_is_written_whole(engine, held):
    assert end(engine, held, result={"a": [1]})

    found = engine.get(held.id)
    assert (found.status, found.phase) == ("success", "done")
    assert (found.result, found.message, found.failure) == (
        {"a": [1]},
        None,
        None,
    )
    alive = found.expires_at - found.finished_at
    assert abs(alive.total_seconds() - 60) < 1


def test_a_failure_is_written_whole(engine, held):
    assert end(engine, held, failure=FAILURE)

    found = engine.get(held.id)
    assert (found.status, found.phase) == ("failure", "done")
    assert (found.result, found.failure) == (None, FAILURE)
    assert found.message == "it ended. Retry"


def test_an_outcome_takes_job_locks_and_secrets_with_it(engine, held):
    with engine.database.write() as connection:
        connection.execute(
            sa.insert(models.LOCKS).values(
                resource="image", task_id=held.id, exclusive=True
            )
        )
        connection.execute(
            sa.insert(models.SECRETS).values(
                task_id=held.id, name="n", key_id="k", ciphertext=b"\x00\xff"
            )
        )

    end(engine, held, result={})

    rows = engines.dump(engine)
    assert rows["gt_jobs"] == rows["gt_locks"] == rows["gt_secrets"] == []


def test_an_outcome_is_final(engine, held):
    end(engine, held, result={})
    before = engines.dump(engine)

    assert not end(engine, held, failure=FAILURE)

    assert engines.dump(engine) == before


def test_an_outcome_of_a_lost_claim_changes_nothing(engine, held):
    engines.lapse(engine)
    engines.claim(engine, holder="successor")
    before = engines.dump(engine)

    assert not end(engine, held, result={})

    assert engines.dump(engine) == before


def test_a_claim_is_held_until_the_next(engine, held):
    assert engine.tasks.holds(held.id, held.fence)
    engines.lapse(engine)
    engines.claim(engine, holder="successor")

    assert not engine.tasks.holds(held.id, held.fence)


# --- a retry -----------------------------------------------------------------


def test_of_retries_at_once_one_wins(engine, held):
    end(engine, held, failure=FAILURE)
    won, lost, other = [], [], []

    def retry():
        try:
            won.append(engine.retry(held.id))
        except exceptions.TaskConflict as error:
            lost.append(error)
        except Exception as error:  # noqa: BLE001 - shown by the assertion
            other.append(error)

    threads = [threading.Thread(target=retry) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert other == []
    assert (len(won), len(lost)) == (1, 7)
    assert len(engine.find()) == 2


# --- expiry ------------------------------------------------------------------


def expire(engine, held, seconds_ago):
    change(
        engine,
        held.id,
        **{"status": "success", **ENDED},
    )
    change(engine, held.id, expires_at=models.now() - seconds_ago)


def delete_expired(engine, limit):
    found = expiry.expired(engine.database, limit=limit)
    expiry.delete(engine.database, found.keys())
    return len(found)


def test_a_task_is_deleted_after_its_expiry_with_all_its_rows(engine, world):
    engine.submit("line", world.given())
    engines.run_all(engine)
    (task,) = engine.find()
    change(engine, task.id, expires_at=models.now() - 1)
    with engine.database.write() as connection:
        for table, values in (
            (models.LOCKS, {"resource": "i", "exclusive": True}),
            (models.SECRETS, {"name": "n", "key_id": "k", "ciphertext": b"x"}),
        ):
            connection.execute(
                sa.insert(table).values(task_id=task.id, **values)
            )

    assert delete_expired(engine, 9) == 1

    assert not any(engines.dump(engine).values())


def test_a_task_is_never_deleted_before_its_expiry(engine, held, queued):
    expire(engine, held, seconds_ago=-30)

    assert expiry.count_expired(engine.database) == 0
    assert delete_expired(engine, 9) == 0
    assert engine.get(held.id)


def test_a_living_task_never_expires(engine, queued):
    assert delete_expired(engine, 9) == 0
    assert engine.get(queued.id)


def test_a_batch_takes_those_first_that_expired_first(engine, many):
    for age, task_id in enumerate(many[:5]):
        change(engine, task_id, status="success", **ENDED)
        change(engine, task_id, expires_at=models.now() - 100 - age)

    assert delete_expired(engine, 2) == 2

    left = {task.id for task in engine.find(limit=100)}
    assert set(many) - left == {many[3], many[4]}
