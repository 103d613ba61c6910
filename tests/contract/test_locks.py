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

    def call(told, **how):
        world = task_types.World(tmp_path / f"world-{next(numbers)}")
        return engine.submit("line", world.given(**told), **how)

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
