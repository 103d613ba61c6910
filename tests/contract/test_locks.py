# SPDX-License-Identifier: Apache-2.0
"""Locks keep tasks apart at any moment, on each kind of database."""

import concurrent.futures
import itertools
import random
import threading

import pytest
import sqlalchemy as sa

import glance_tasks as gt
from glance_tasks.persistence import models
from tests.support import engines
from tests.support import task_types

ROUNDS = 6
AT_ONCE = 6
SCHEDULES = 100


@pytest.fixture
def engine(tmp_path, clean_database_url):
    with engines.opened(tmp_path, database_url=clean_database_url) as engine:
        yield engine


@pytest.fixture
def submit(engine, tmp_path):
    numbers = itertools.count()

    def call(told, kind="line", **how):
        world = task_types.World(tmp_path / f"world-{next(numbers)}")
        return engine.submit(kind, world.given(**told), **how)

    return call


def held(engine):
    with engine.database.read() as connection:
        rows = connection.execute(sa.select(models.LOCKS)).all()
    return sorted((row.resource, row.task_id, row.exclusive) for row in rows)


# --- at the same moment ------------------------------------------------------


def together(calls):
    """Make calls at the same moment; give the tasks of those that got one."""
    barrier = threading.Barrier(len(calls))

    def one(call):
        barrier.wait()
        try:
            return call()
        except gt.TaskConflict:
            return None

    with concurrent.futures.ThreadPoolExecutor(len(calls)) as threads:
        return [made for made in threads.map(one, calls) if made]


def test_of_several_that_want_a_resource_alone_one_gets_it(engine, submit):
    for number in range(ROUNDS):
        told = {"takes": [f"image:{number}", f"image:{number + ROUNDS}"]}

        got = together([lambda told=told: submit(told)] * AT_ONCE)

        assert len(got) == 1
    assert len(held(engine)) == 2 * ROUNDS


def test_sharers_and_one_that_wants_it_alone_never_meet(engine, submit):
    for number in range(ROUNDS):
        name = f"image:{number}"
        wishes = [{"takes": [name]}, *[{"shares": [name]}] * (AT_ONCE - 1)]

        together([lambda told=told: submit(told) for told in wishes])

        rows = [row for row in held(engine) if row[0] == name]
        assert len(rows) == (1 if rows[0][2] else AT_ONCE - 1)


def test_those_that_take_several_in_any_order_never_stick(engine, submit):
    names = [f"image:{number}" for number in range(4)]
    orders = [names[n:] + names[:n] for n in range(4)] * 2

    got = together([lambda o=order: submit({"takes": o}) for order in orders])

    assert len(got) == 1
    assert [row[0] for row in held(engine)] == names


# --- any schedule ------------------------------------------------------------


def test_whatever_the_schedule_exactly_what_goes_together_is_taken(
    engine, submit
):
    chosen = random.Random(4)
    living = {}
    for _ in range(SCHEDULES):
        if living and chosen.random() < 0.4:
            ended = chosen.choice(sorted(living))
            engines.run(engine, engines.claim(engine, ended))
            del living[ended]
            continue
        kind = chosen.choice(["shares", "takes"])
        name = f"image:{chosen.randrange(2)}"
        others = [k for k, n in living.values() if n == name]
        goes = not others or (kind == "shares" and "takes" not in others)

        made = together([lambda k=kind, n=name: submit({k: [n]})])

        assert bool(made) is goes
        living |= {task.id: (kind, name) for task in made}
    assert len(held(engine)) == len(living)


# --- those that wait ---------------------------------------------------------


def running(engine):
    with engine.database.read() as connection:
        return set(connection.scalars(sa.select(models.JOBS.c.task_id)))


def finish(engine, task):
    engines.run(engine, engines.claim(engine, task.id))


def test_what_may_wait_gets_its_locks_from_who_lets_go(engine, submit):
    first = submit({"takes": ["image:1"]})

    second = submit({"takes": ["image:1"]}, kind="patient")
    seen = engine.get(second.id)
    finish(engine, first)

    assert (seen.status, seen.phase) == ("pending", "queued")
    assert seen.queue_reason.startswith(
        f"image 1 is in use by line, task {first.id}"
    )
    assert engine.get(second.id).queue_reason is None
    assert running(engine) == {second.id}
    assert held(engine) == [("image:1", second.id, True)]


def test_those_that_wait_go_in_their_order(engine, submit):
    first = submit({"takes": ["image:1"]})
    alone = submit({"takes": ["image:1"]}, kind="patient")
    sharers = [submit({"shares": ["image:1"]}, kind="patient") for _ in "ab"]

    finish(engine, first)
    one = running(engine)
    finish(engine, alone)

    assert one == {alone.id}
    assert running(engine) == {task.id for task in sharers}


def test_nobody_overtakes_one_that_waits(engine, submit):
    submit({"shares": ["image:1"]})
    waiting = submit({"takes": ["image:1"]}, kind="patient")

    with pytest.raises(gt.TaskConflict, match=waiting.id):
        submit({"shares": ["image:1"]})


def test_one_that_is_paused_while_it_waits_keeps_its_turn(engine, submit):
    first = submit({"takes": ["image:1"]})
    second = submit({"takes": ["image:1"]}, kind="patient")

    engine.pause(second.id)
    finish(engine, first)
    paused = running(engine)
    engine.resume(second.id)

    assert paused == set()
    assert running(engine) == {second.id}


def test_one_that_is_resumed_while_it_waits_goes_on_waiting(engine, submit):
    first = submit({"takes": ["image:1"]})
    second = submit({"takes": ["image:1"]}, kind="patient")
    engine.pause(second.id)

    engine.resume(second.id)

    assert running(engine) == {first.id}


def test_one_that_is_cancelled_while_it_waits_makes_way(engine, submit):
    submit({"shares": ["image:1"]})
    second = submit({"takes": ["image:1"]}, kind="patient")
    third = submit({"shares": ["image:1"]}, kind="patient")

    engine.cancel(second.id)

    assert third.id in running(engine)
    assert engine.get(second.id).failure.code == "cancelled"


def test_two_that_let_go_at_once_leave_nobody_waiting(engine, submit):
    for number in range(ROUNDS):
        names = [f"image:{number}", f"image:{number + ROUNDS}"]
        holders = [submit({"takes": [name]}) for name in names]
        waiting = submit({"takes": names}, kind="patient")
        claims = [engines.claim(engine, task.id) for task in holders]

        together(
            [
                lambda claim=claim: engines.run(engine, claim)
                for claim in claims
            ]
        )

        assert running(engine) == {waiting.id}
        finish(engine, waiting)


def test_those_that_wait_while_others_let_go_are_never_forgotten(
    engine, submit
):
    told = {"takes": ["image:1"]}
    for _ in range(ROUNDS):
        claim = engines.claim(engine, submit(told).id)

        together(
            [
                lambda claim=claim: engines.run(engine, claim),
                *[lambda: submit(told, kind="patient")] * 2,
            ]
        )

        for _ in range(2):
            (task_id,) = running(engine)
            engines.run(engine, engines.claim(engine, task_id))
        assert held(engine) == []
