# SPDX-License-Identifier: Apache-2.0
"""Standstills and deadlines: told apart, shown, and dealt with."""

import datetime

import pytest
from taskflow.patterns import linear_flow

import glance_tasks as gt
from glance_tasks.persistence import controls
from glance_tasks.testing import clock
from tests.support import engines
from tests.support import task_types
from tests.support.conducting import conducting
from tests.support.conducting import ended
from tests.support.conducting import noted

# Seconds that an atom of these tests may stand still.
STILL = 0.4


class FailingTask(task_types.LineTask):
    """A type whose tasks fail when they stall."""

    on_stall = "fail"


class RestartingTask(task_types.LineTask):
    """A type whose tasks are restarted when they stall."""

    on_stall = "restart"


class Hasty(task_types.Mark):
    """Take no longer than a moment."""

    time_limit = STILL


class HastyTask(gt.TaskType):
    """One atom that may take a moment."""

    input_schema = task_types.INPUT
    result_schema = {"type": "object"}

    def build(self, ctx):
        """Build it."""
        return linear_flow.Flow("hasty").add(Hasty(ctx, name="step-0"))


class BriefTask(task_types.LineTask):
    """A type whose tasks may take a second."""

    time_limit = 1


class Sending(task_types.Mark):
    """Move bytes, or not."""

    phase = gt.Phase.TRANSFERRING


class SendingTask(HastyTask):
    """One atom that moves bytes."""

    def build(self, ctx):
        """Build it."""
        return linear_flow.Flow("sending").add(Sending(ctx, name="step-0"))


TYPES = {
    **task_types.TYPES,
    "failing": FailingTask,
    "restarting": RestartingTask,
    "hasty": HastyTask,
    "brief": BriefTask,
    "sending": SendingTask,
}


@pytest.fixture
def engine(home):
    with engines.opened(
        home, types=TYPES, claim_ttl=3600.0, stall_after=STILL
    ) as engine:
        yield engine


def kinds(engine, task):
    return [event.kind for event in engine.events(task.id)]


# --- standstills -------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("line", "no_progress"), ("sending", "far_end_silent")],
)
def test_a_standstill_is_shown_until_it_ends(engine, world, kind, reason):
    task = engine.submit(kind, world.given(wait_at="step-0"))
    with conducting(engine):
        noted(world, "execute step-0")
        began = engine.get(task.id)
        engines.until(lambda: engine.get(task.id).stall_reason)

        seen = engine.get(task.id)
        world.open_gate()
        found = ended(engine, task)

    assert (began.stalled_since, began.stall_reason) == (None, None)
    assert (seen.status, seen.stall_reason) == ("processing", reason)
    moved = seen.stalled_since - began.started_at
    assert datetime.timedelta(0) <= moved < datetime.timedelta(seconds=20)
    assert found.status == "success"
    assert (found.stalled_since, found.stall_reason) == (None, None)
    assert "stalled" in kinds(engine, task)


class Trickle(task_types.Mark):
    """Move a byte now and then, once the gate is open."""

    def execute(self):
        """Move forty."""
        while self.told("wait_at") and not self.world.gate_open:
            self.run.stop.wait(0.02)
        for done in range(40):
            self.run.progress.bytes(done, 40)
            self.run.stop.wait(STILL / 8)


class TrickleTask(HastyTask):
    """One atom that is slow."""

    def build(self, ctx):
        """Build it."""
        return linear_flow.Flow("trickle").add(Trickle(ctx, name="step-0"))


@pytest.mark.parametrize(
    ("told", "shown"),
    [({}, []), ({"wait_at": "step-0"}, ["stalled", "moving"])],
    ids=["never still", "still at first"],
)
def test_what_moves_bytes_does_not_stand_still(home, world, told, shown):
    with (
        engines.opened(
            home, types={"trickle": TrickleTask}, stall_after=STILL
        ) as engine,
        conducting(engine),
    ):
        task = engine.submit("trickle", world.given(**told))
        if told:
            engines.until(lambda: engine.get(task.id).stall_reason)
        world.open_gate()

        assert ended(engine, task).status == "success"
        seen = [k for k in kinds(engine, task) if k in ("stalled", "moving")]
    assert seen == shown


def test_a_type_may_fail_what_stalls(engine, world):
    task = engine.submit("failing", world.given(stay_at="step-2"))
    with conducting(engine):
        found = ended(engine, task)

    assert (found.failure.code, found.failure.step) == ("stalled", "step-2")
    assert found.failure.retryable
    assert world.left() == set()


def test_a_type_may_restart_what_stalls(engine, world):
    task = engine.submit("restarting", world.given(wait_at="step-2"))
    with conducting(engine):
        noted(world, "execute step-2", times=2)
        world.open_gate()
        found = ended(engine, task)

    assert found.status == "success"
    assert world.counts()["execute step-1"] == 1


def test_a_restart_is_an_attempt(home, world):
    with (
        engines.opened(
            home, types=TYPES, stall_after=STILL, max_attempts=2
        ) as engine,
        conducting(engine),
    ):
        task = engine.submit("restarting", world.given(stay_at="step-0"))
        found = ended(engine, task)
        failed = engine.events(task.id)

    assert found.failure.code == "gave_up"
    assert "died 2 times in a row in step-0" in found.failure.summary
    details = [e.detail for e in failed if e.kind == "atom_failed"]
    for claim in ("claim 1", "claim 2"):
        assert claim in str(details[0]["detail"]["attempts"])
    assert world.left() == set()


def test_what_does_not_leave_is_taken_over(engine, home, world):
    task = engine.submit("restarting", world.given(deaf_at="step-2"))
    options = {"claim_ttl": 3600.0, "stall_after": 0.0}
    with conducting(engine, max_tasks=1) as first:
        noted(world, "execute step-2")
        (stuck,) = first._runs.values()
        with (
            engines.opened(home, types=TYPES, **options) as other,
            conducting(other),
        ):
            noted(world, "execute step-2", times=2)
            # Its first conductor has looked again, and found it lost.
            engines.until(lambda: stuck._signal.interrupted)
            taken = engine.get(task.id)
            lease = lease_left(engine, task)
            world.open_gate()
            found = ended(engine, task)

    assert taken.fence == 2
    assert lease > 60
    assert found.status == "success"


def lease_left(engine, task):
    return controls.asked(engine.database, [task.id])[task.id].lease_left


def test_a_conductor_that_claims_its_own_stuck_task_keeps_both_in_mind(
    engine, world
):
    task = engine.submit("restarting", world.given(deaf_at="step-2"))
    with conducting(engine, max_tasks=2) as conductor:
        noted(world, "execute step-2", times=2)
        held = sorted(number for _, number in conductor._runs)
        world.open_gate()
        ended(engine, task)
        engines.until(lambda: not conductor._runs, "the end of both")

    assert held == [1, 2]


# --- whoever holds it --------------------------------------------------------


def test_a_lost_conductor_is_shown(engine, world):
    task = engine.submit("line", world.given())
    engines.claim(engine)
    before = engine.get(task.id)
    engines.lapse(engine)

    (listed,) = engine.find()
    for seen in (engine.get(task.id), listed):
        assert seen.stall_reason == "conductor_lost"
        assert seen.stalled_since < seen.created_at
    assert before.stall_reason is None


# --- deadlines ---------------------------------------------------------------


def test_a_task_that_takes_too_long_is_undone(engine, world):
    task = engine.submit("brief", world.given(stay_at="step-2"))
    with conducting(engine):
        found = ended(engine, task)

    assert found.failure.code == "deadline_passed"
    assert "longer than the 1 s that it may" in found.message
    assert world.left() == set()


def test_the_operator_says_how_long_tasks_may_take(home, world):
    options = {"time_limit": ["line:7", "brief:0"]}
    with engines.opened(home, types=TYPES, **options) as engine:
        limits = {
            kind: engine.submit(kind, world.given()).time_limit
            for kind in ("line", "brief", "arms")
        }

    assert limits == {"line": 7, "brief": None, "arms": None}


@pytest.mark.parametrize("pair", ["line", "line:", "line:soon", "line:-1"])
def test_a_limit_that_is_none_is_refused(home, world, pair):
    with (
        engines.opened(home, time_limit=[pair]) as engine,
        pytest.raises(gt.ConfigurationError, match="expected TYPE:NUMBER"),
    ):
        engine.submit("line", world.given())


def test_the_clock_runs_from_the_first_claim(engine, world):
    task = engine.submit("brief", world.given(die_at="step-1"))
    queued = engine.get(task.id)
    engines.die(engine)
    first = engine.get(task.id)
    engines.claim(engine)

    assert queued.deadline_at is None
    assert first.deadline_at - first.started_at == datetime.timedelta(
        seconds=1
    )
    assert engine.get(task.id).deadline_at == first.deadline_at


def test_the_clock_stands_still_during_a_pause(engine, world):
    task = engine.submit("brief", world.given(wait_at="step-2"))
    with conducting(engine):
        noted(world, "execute step-2")
    before = engine.pause(task.id).deadline_at
    clock.FakeClock(engine).advance(3600)

    after = engine.resume(task.id).deadline_at

    moved = after - before
    assert datetime.timedelta(0) <= moved < datetime.timedelta(seconds=60)


def test_what_is_claimed_past_its_deadline_is_undone(engine, world):
    task = engine.submit(
        "brief", world.given(die_at="step-1", stay_at="step-1")
    )
    engines.die(engine)
    clock.FakeClock(engine).advance(3600)
    world.open_gate()

    with conducting(engine):
        found = ended(engine, task)

    assert found.failure.code == "deadline_passed"


def test_a_run_that_is_over_at_once_has_a_deadline_too(engine, world):
    task = engine.submit("brief", world.given(die_at="step-1"))
    engines.die(engine)
    clock.FakeClock(engine).advance(3600)
    world.open_gate()

    engines.run_all(engine)

    assert engine.get(task.id).failure.code == "deadline_passed"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("time_limit", "60"),
        ("time_limit", 0),
        ("time_limit", 0.5),
        ("on_stall", "Restart"),
    ],
)
def test_a_type_whose_patience_is_nonsense_is_named(home, world, name, value):
    nonsense = type("Nonsense", (task_types.LineTask,), {name: value})
    with (
        engines.opened(home, types={"line": nonsense}) as engine,
        pytest.raises(gt.BrokenPlugin, match=f"its {name} is"),
    ):
        engine.submit("line", world.given())


@pytest.mark.parametrize("name", ["time_limit", "stall_after"])
@pytest.mark.parametrize("value", ["60", -1])
def test_an_atom_whose_patience_is_nonsense_is_named(
    home, world, monkeypatch, name, value
):
    monkeypatch.setattr(task_types.Mark, name, value)
    with (
        engines.opened(home) as engine,
        pytest.raises(gt.BrokenPlugin, match=f"step-0 has {name} = "),
    ):
        engine.submit("line", world.given())


def test_an_atom_has_a_deadline_of_its_own(engine, world):
    task = engine.submit("hasty", world.given(stay_at="step-0"))
    with conducting(engine):
        found = ended(engine, task)

    assert found.failure.code == "step_deadline_passed"
    assert "step-0 took longer than the 0.4 s" in found.message
