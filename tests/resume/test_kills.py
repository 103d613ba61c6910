# SPDX-License-Identifier: Apache-2.0
"""Conductors killed at random moments; another takes over each time.

Their leases have an hour to go, so whoever goes on at once knows of the death
by other means.
"""

import itertools
import random

import pytest

from tests.support import cutting
from tests.support import engines
from tests.support import task_types

KILLS = 3
# Seconds an atom takes, or its undoing.
PACE = 0.1


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def engine(home):
    with engines.opened(home) as engine:
        yield engine


@pytest.fixture
def start(home, engine):
    """Give a way to start conductors in processes of their own.

    They never give up: of random kills several in a row come before anything
    has moved.
    """
    with engines.processes(home, claim_ttl=3600, max_attempts=1000) as start:
        yield start


@pytest.fixture
def start_impatient(home, engine):
    """Give a way to start conductors that give up soon."""
    with engines.processes(home, claim_ttl=3600, max_attempts=3) as start:
        yield start


@pytest.fixture
def world(tmp_path):
    return task_types.World(tmp_path / "world")


def kill_again_and_again(engine, start, world, task, kills):
    """Kill each conductor after some more lines; give how many were."""
    chooser = random.Random(cutting.seed())
    conductor = start()
    for number in range(kills):
        target = len(world.journal()) + chooser.randrange(1, 5)
        engines.until(
            lambda target=target: (
                len(world.journal()) >= target or engine.get(task.id).ended
            )
        )
        if engine.get(task.id).ended:
            return number
        threading_pause(chooser.uniform(0, PACE))
        conductor.kill()
        conductor.wait()
        conductor = start()
    return kills


def threading_pause(seconds):
    """Let time pass, to strike anywhere between two lines."""
    begun = engines.time.monotonic()
    engines.until(lambda: engines.time.monotonic() - begun >= seconds)


def extra(world, once):
    """Count what ran more often than once."""
    counts = world.counts()
    return sum(counts[line] - 1 for line in once)


STEPS = [f"execute {name}" for name in task_types.STEPS]
UNDOINGS = [f"revert {name}" for name in task_types.STEPS]


@pytest.mark.parametrize(
    "kills",
    [KILLS, pytest.param(25, marks=pytest.mark.soak)],
)
@pytest.mark.parametrize("kind", ["line", "arms"])
def test_a_task_outlives_its_conductors(engine, start, world, kind, kills):
    task = engine.submit(kind, world.given(pace=PACE))

    killed = kill_again_and_again(engine, start, world, task, kills)

    found = engine.wait(task.id, 120)
    assert found.status == "success"
    assert world.left() == set(task_types.STEPS)
    assert not [line for line in world.journal() if "revert" in line]
    # One atom for each kill; at once there are at most two at work.
    assert extra(world, STEPS) <= killed * (2 if kind == "arms" else 1)
    assert list(engine.area.task_ids()) == []
    assert found.fence <= killed + 1


def test_an_undoing_outlives_its_conductors(engine, start, world):
    task = engine.submit("line", world.given(pace=PACE, fail_at="step-5"))

    killed = kill_again_and_again(engine, start, world, task, KILLS)

    failure = engine.wait(task.id, 120).failure
    assert (failure.step, failure.left_behind) == ("step-5", ())
    assert world.left() == set()
    assert extra(world, STEPS) + extra(world, UNDOINGS) <= killed


def test_a_task_that_kills_its_conductors_is_given_up(
    engine, start_impatient, world
):
    task = engine.submit("line", world.given(kill_at="step-1"))

    for _life in itertools.count():
        conductor = start_impatient()
        engines.until(
            lambda conductor=conductor: (
                conductor.poll() is not None or engine.get(task.id).ended
            )
        )
        if engine.get(task.id).ended:
            break

    assert engine.get(task.id).failure.code == "gave_up"
    assert world.left() == set()
    assert world.counts()["execute step-1"] == 4


def test_a_power_cut_of_everybody_loses_nothing(engine, start, tmp_path):
    worlds = [task_types.World(tmp_path / f"world-{n}") for n in range(4)]
    tasks = [engine.submit("line", w.given(pace=PACE)) for w in worlds]
    conductors = [start(), start()]
    engines.until(lambda: all(w.journal() for w in worlds))

    for conductor in conductors:
        conductor.kill()
    for conductor in conductors:
        conductor.wait()
    start()

    assert {engine.wait(t.id, 60).status for t in tasks} == {"success"}
    assert [w.left() for w in worlds] == [set(task_types.STEPS)] * 4
    assert sum(extra(w, STEPS) for w in worlds) <= 4
