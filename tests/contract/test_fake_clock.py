# SPDX-License-Identifier: Apache-2.0
"""Time passes for everything that a database judges, on each of them."""

import threading

import pytest
import sqlalchemy as sa

import glance_tasks as gt
from glance_tasks import reaper
from glance_tasks import testing
from glance_tasks.persistence import models
from glance_tasks.testing import clock
from tests.support import conducting
from tests.support import engines
from tests.support import task_types

HOUR = 3600.0


@pytest.fixture
def world(tmp_path):
    return task_types.World(tmp_path / "world")


@pytest.fixture
def kit(clean_database_url):
    with testing.EngineFixture(
        types=task_types.TYPES, connection=clean_database_url, claim_ttl=HOUR
    ) as kit:
        yield kit


def stored(kit):
    """Give every moment that is stored, by table and column."""
    with kit.engine.database.read() as connection:
        return {
            (table, column): connection.scalars(
                sa.select(sa.column(column)).select_from(sa.table(table))
            ).all()
            for table, columns in clock.moments(connection).items()
            for column in columns
        }


def test_every_moment_of_the_models_is_moved(kit):
    with kit.engine.database.read() as connection:
        found = clock.moments(connection)

    assert {
        (table.name, column.name)
        for table in models.METADATA.sorted_tables
        for column in table.c
        if column.type is models.WHEN
    } <= {(table, name) for table, names in found.items() for name in names}


def test_every_double_of_our_tables_is_a_moment():
    doubles = {
        column
        for table in models.METADATA.sorted_tables
        for column in table.c
        if isinstance(column.type, sa.Float)
    }

    # A double that is no moment must not be moved: have the clock know it.
    assert {column.type for column in doubles} == {models.WHEN}


def test_all_that_is_stored_moves_by_the_same_time(kit, world):
    done = kit.engine.submit("line", world.given())
    kit.run(done.id)
    kit.engine.catalogue.publish(
        gt.Image(
            *("one", "project", "raw", "bare", 8, 8),
            *("md5", "sha512", "aa", "one"),
        ),
        1,
    )
    kit.engine.submit("line", world.given())
    assert engines.claim(kit.engine) is not None
    before = stored(kit)

    kit.clock.advance(90.5)

    after = stored(kit)
    shifts = {
        round(was - now, 3)
        for place, moments in before.items()
        for was, now in zip(
            sorted(filter(None, moments)),
            sorted(filter(None, after[place])),
            strict=True,
        )
    }
    assert shifts == {90.5}
    assert ("gt_images", "created_at") in before
    assert before[("gt_tasks", "expires_at")].count(None) == 1
    assert after[("gt_tasks", "expires_at")].count(None) == 1


def test_a_lease_lapses_when_its_time_has_passed(kit, world):
    kit.engine.submit("line", world.given())
    first = engines.claim(kit.engine, holder="first")
    kit.clock.advance(599)
    early = engines.claim(kit.engine, holder="second")

    kit.clock.advance(2)

    second = engines.claim(kit.engine, holder="second")
    assert early is None
    assert second.task.id == first.task.id
    assert second.lapsed == "first"
    assert second.contested


def test_a_delayed_task_can_be_taken_when_its_time_has_come(kit, world):
    kit.engine.submit("line", world.given())
    held = engines.claim(kit.engine)
    kit.engine.board.give_back(held, delay=HOUR)
    early = engines.claim(kit.engine)

    kit.clock.advance(HOUR)

    assert early is None
    assert engines.claim(kit.engine) is not None


def reap(engine):
    return reaper.reap(
        engine.database,
        (engine.area, engine.staging),
        engine.vault,
        engine.store,
    )


def test_what_has_expired_is_reaped(kit, world):
    ended = kit.run(kit.engine.submit("line", world.given()).id)
    kit.clock.advance(47 * HOUR)
    early = reap(kit.engine)

    kit.clock.advance(HOUR)

    late = reap(kit.engine)
    assert (early.tasks, late.tasks) == (0, 1)
    with pytest.raises(gt.TaskNotFound):
        kit.engine.get(ended.id)


def test_tasks_stay_in_their_order(kit, world):
    old = kit.engine.submit("line", world.given())

    kit.clock.advance(HOUR)

    new = kit.engine.submit("line", world.given())
    assert [t.id for t in kit.engine.find()] == [new.id, old.id]
    older = kit.engine.get(old.id).created_at
    assert (new.created_at - older).total_seconds() >= HOUR


def test_time_passes_while_a_conductor_works(kit, world):
    tasks = [kit.engine.submit("line", world.given()) for _ in range(5)]
    stop = threading.Event()

    def hurry():
        while not stop.wait(0.02):
            kit.clock.advance(1)

    hurrying = threading.Thread(target=hurry)
    hurrying.start()
    try:
        with conducting.conducting(kit.engine):
            ended = [conducting.ended(kit.engine, task) for task in tasks]
    finally:
        stop.set()
        hurrying.join()

    assert {task.status for task in ended} == {gt.Status.SUCCESS}


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_time_goes_forward_only(kit, seconds):
    with pytest.raises(ValueError, match="expected more than 0"):
        kit.clock.advance(seconds)
