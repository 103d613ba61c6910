# SPDX-License-Identifier: Apache-2.0
"""Locks keep tasks apart from submit to end, and say who holds them."""

import itertools

from oslo_db import exception as db_exc
import pytest
import sqlalchemy as sa

import glance_tasks as gt
from glance_tasks.persistence import models
from tests.support import engines
from tests.support import task_types

SHARED, EXCLUSIVE = {"shares": ["image:1"]}, {"takes": ["image:1"]}


@pytest.fixture
def engine(tmp_path):
    with engines.opened(tmp_path) as engine:
        yield engine


@pytest.fixture
def submit(engine, tmp_path):
    numbers = itertools.count()

    def call(told, **how):
        world = task_types.World(tmp_path / f"world-{next(numbers)}")
        return engine.submit("line", world.given(**told), **how)

    return call


def held(engine):
    with engine.database.read() as connection:
        rows = connection.execute(sa.select(models.LOCKS)).all()
    return sorted((row.resource, row.task_id, row.exclusive) for row in rows)


# --- pair by pair ------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "goes"),
    [
        (SHARED, SHARED, True),
        (SHARED, EXCLUSIVE, False),
        (EXCLUSIVE, SHARED, False),
        (EXCLUSIVE, EXCLUSIVE, False),
        (EXCLUSIVE, {"takes": ["image:2"]}, True),
        (EXCLUSIVE, {}, True),
        (SHARED, {"takes": ["image:2"], "shares": ["image:1"]}, True),
        (SHARED, {"takes": ["image:1", "image:1"]}, False),
        (SHARED, {"takes": ["image:1"], "shares": ["image:1"]}, False),
    ],
    ids=str,
)
def test_two_locks_go_together_or_not(engine, submit, first, second, goes):
    submit(first)
    before = engines.dump(engine)

    if goes:
        submit(second)
    else:
        with pytest.raises(gt.TaskConflict):
            submit(second)

    assert goes or engines.dump(engine) == before


def test_a_conflict_names_the_holder_and_since_when(submit):
    holder = submit(EXCLUSIVE)

    with pytest.raises(gt.TaskConflict) as caught:
        submit(SHARED)

    since = holder.created_at.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert str(caught.value) == (
        f"image 1 is in use by line, task {holder.id}, since {since};"
        " submit this when that has ended"
    )


@pytest.mark.parametrize(
    ("requester", "named"),
    [
        (None, True),
        (gt.Requester("alpha"), True),
        (gt.Requester("beta"), False),
    ],
)
def test_only_who_may_see_the_holder_learns_its_id(submit, requester, named):
    holder = submit(EXCLUSIVE, requester=gt.Requester("alpha"))

    with pytest.raises(gt.TaskConflict, match="image 1 is in use") as caught:
        submit(SHARED, requester=requester)

    assert (holder.id in str(caught.value)) is named


# --- for as long as the task lives -------------------------------------------


@pytest.mark.parametrize("told", [{}, {"fail_at": "step-3"}])
def test_a_task_that_has_ended_has_let_go(engine, submit, told):
    first = submit({**EXCLUSIVE, **told})
    assert held(engine) == [("image:1", first.id, True)]

    engines.run_all(engine)

    assert engine.get(first.id).ended
    assert held(engine) == []
    submit(EXCLUSIVE)


def test_a_task_that_was_cut_off_has_not(engine, submit):
    first = submit({**EXCLUSIVE, "die_at": "step-3"})

    engines.die(engine)

    assert held(engine) == [("image:1", first.id, True)]


def test_a_retry_takes_the_locks_again(engine, submit):
    failed = submit({**EXCLUSIVE, "fail_at": "step-3"})
    engines.run_all(engine)
    other = submit(SHARED)
    with pytest.raises(gt.TaskConflict, match=other.id):
        engine.retry(failed.id)
    engines.run_all(engine)

    again = engine.retry(failed.id)

    assert held(engine) == [("image:1", again.id, True)]


# --- types that say nonsense -------------------------------------------------


@pytest.mark.parametrize(
    "nonsense",
    [["image:1"], [gt.Lock("")], [gt.Lock("x" * 256)], None],
    ids=["no lock", "empty", "too long", "no list"],
)
def test_a_type_whose_locks_are_nonsense_is_named(tmp_path, nonsense):
    class Nonsense(task_types.LineTask):
        """A type that says nonsense."""

        def locks(self, ctx):
            """Say it."""
            return nonsense

    world = task_types.World(tmp_path / "world")
    with (
        engines.opened(tmp_path, types={"nonsense": Nonsense}) as engine,
        pytest.raises(gt.BrokenPlugin, match=r"locks\(\) of 'nonsense'"),
    ):
        engine.submit("nonsense", world.given())


# --- deadlocks ---------------------------------------------------------------


class Unlucky:
    """Work that the database ends in favour of others, some times."""

    def __init__(self, times):
        """Be ended so often."""
        self.left, self.tries = times, 0

    def __call__(self, connection):
        """Be ended, or not."""
        self.tries += 1
        if self.tries <= self.left:
            raise db_exc.DBDeadlock()


def test_what_met_a_deadlock_is_done_anew(engine):
    work = Unlucky(9)

    engine.database.transact(work)

    assert work.tries == 10


def test_what_meets_deadlocks_for_ever_is_given_up(engine):
    work = Unlucky(100)

    with pytest.raises(gt.DatabaseUnreachable):
        engine.database.transact(work)

    assert work.tries == 10
