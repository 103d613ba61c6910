# SPDX-License-Identifier: Apache-2.0
"""The conductor: inside a service and as a process."""

import logging
import subprocess
import sys
import threading

import pytest
from taskflow.patterns import linear_flow

import glance_tasks as gt
from tests.support import engines
from tests.support import task_types
from tests.support.conducting import conducting
from tests.support.conducting import ended
from tests.support.conducting import noted


@pytest.fixture
def engine(home):
    # A lease this long never lapses in a test: whatever goes on at once does
    # so for another reason.
    with engines.opened(home, claim_ttl=3600.0) as engine:
        yield engine


# --- inside a service --------------------------------------------------------


def test_a_started_conductor_runs_what_is_submitted(engine, world):
    with conducting(engine):
        task = engine.submit("line", world.given())

        assert ended(engine, task).status == "success"


def test_a_task_waits_for_a_conductor(engine, world):
    task = engine.submit("line", world.given())

    with conducting(engine):
        assert ended(engine, task).status == "success"


def test_no_more_tasks_run_at_a_time_than_are_allowed(engine, world, tmp_path):
    worlds = [task_types.World(tmp_path / str(n)) for n in range(5)]
    for each in worlds:
        engine.submit("line", each.given(wait_at="step-0"))

    with conducting(engine, max_tasks=2):
        engines.until(lambda: sum(bool(w.journal()) for w in worlds) == 2)
        running = engine.find(filters={"status": "processing"})
        waiting = engine.find(filters={"status": "pending"})
        for each in worlds:
            each.open_gate()
        engines.until(
            lambda: len(engine.find(filters={"status": "success"})) == 5
        )

    assert (len(running), len(waiting)) == (2, 3)


def test_parallel_tasks_share_the_threads_of_their_conductor(engine, tmp_path):
    worlds = [task_types.World(tmp_path / str(n)) for n in range(4)]
    with conducting(engine, max_tasks=2):
        tasks = [engine.submit("arms", each.given()) for each in worlds]

        assert [ended(engine, t).status for t in tasks] == ["success"] * 4
    assert all(w.left() == set(task_types.STEPS) for w in worlds)


def test_a_stopped_conductor_leaves_no_thread(engine, world):
    before = set(threading.enumerate())
    with conducting(engine):
        ended(engine, engine.submit("arms", world.given()))

    left = {t.name for t in set(threading.enumerate()) - before}
    assert not [name for name in left if name.startswith("glance-tasks")]


def test_progress_and_phase_are_seen_while_a_task_runs(engine, world):
    task = engine.submit("line", world.given(wait_at="step-1"))

    with conducting(engine):
        engines.until(
            lambda: engine.get(task.id).progress.get("step") == "step-1"
        )
        seen = engine.get(task.id)
        world.open_gate()
        ended(engine, task)

    assert (seen.status, seen.phase) == ("processing", "processing")


def test_a_broken_plugin_is_named_at_the_start(home, caplog):
    types = {**task_types.TYPES, "bad": task_types.World}

    with engines.opened(home, types=types) as engine, conducting(engine):
        pass

    errors = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert ["task_types:bad" in r.getMessage() for r in errors] == [True]


def test_one_task_can_be_run_in_the_callers_thread(engine, world):
    other = engine.submit("line", world.given())
    task = engine.submit("line", world.given())

    gt.Conductor(engine).run_one(task.id)

    assert engine.get(task.id).status == "success"
    assert engine.get(other.id).status == "pending"


def test_one_task_that_another_holds_is_left_alone(engine, world):
    task = engine.submit("line", world.given())
    engines.claim(engine)

    gt.Conductor(engine).run_one(task.id)

    assert engine.get(task.id).status == "processing"
    assert world.journal() == []


# --- until idle --------------------------------------------------------------


def test_until_idle_returns_when_everything_has_ended(engine, world):
    tasks = [engine.submit("line", world.given()) for _ in range(5)]

    gt.Conductor(engine).run(until_idle=True)

    assert {engine.get(t.id).status for t in tasks} == {"success"}


def test_until_idle_returns_at_once_where_nothing_is_queued(engine):
    gt.Conductor(engine).run(until_idle=True)


def test_until_idle_does_not_wait_for_what_was_set_aside(engine, home, world):
    task = engine.submit("line", world.given())
    with engines.opened(home, types={"arms": task_types.ArmsTask}) as other:
        gt.Conductor(other).run(until_idle=True)

    assert engine.get(task.id).queue_reason


# --- draining ----------------------------------------------------------------


def rows_of(engine, table):
    return engines.dump(engine)[table]


@pytest.mark.parametrize("kind", ["line", "arms"])
def test_a_drained_task_is_given_back_as_it_was(engine, world, kind):
    task = engine.submit(kind, world.given(stay_at="step-2"))
    with conducting(engine):
        noted(world, "execute step-2")

    found = engine.get(task.id)
    assert (found.status, found.attempts) == ("processing", 0)
    (job,) = rows_of(engine, "gt_jobs")
    assert job[1] == "ready"
    assert "SUCCESS" not in repr(
        [row for row in rows_of(engine, "gt_atoms") if row[4] == "step-2"]
    )
    assert not [line for line in world.journal() if "revert" in line]


def test_a_drained_task_goes_on_where_it_was(engine, world):
    task = engine.submit("line", world.given(wait_at="step-2"))
    with conducting(engine):
        noted(world, "execute step-2")
    world.open_gate()

    with conducting(engine):
        assert ended(engine, task).status == "success"

    counts = world.counts()
    assert counts["execute step-1"] == 1
    assert counts["execute step-2"] == 2
    assert engine.get(task.id).attempts == 0


@pytest.mark.parametrize("kind", ["line", "arms", "tries"])
def test_an_atom_that_hears_nothing_is_not_recorded_when_drained(
    engine, world, kind
):
    task = engine.submit(kind, world.given(deaf_at="step-1"))
    conductor = gt.Conductor(engine)
    conductor.start()
    noted(world, "execute step-1")
    draining = threading.Thread(target=conductor.stop)

    draining.start()
    draining.join(0.3)
    world.open_gate()
    draining.join(60)

    # It has finished, and its lease was not lost: it was given back.
    (job,) = rows_of(engine, "gt_jobs")
    assert job[1] == "ready"
    assert engine.get(task.id).attempts == 0
    with conducting(engine):
        assert ended(engine, task).status == "success"


def test_an_atom_that_undoes_leaves_too_and_undoes_again(home, world):
    class SlowUndo(task_types.Mark):
        def revert(self, **kwargs):
            self.world.note(f"revert {self.name}")
            while not self.world.gate_open:
                self.run.stop.wait(0.02)
            super().revert(**kwargs)

    class UndoneTask(task_types.LineTask):
        def build(self, ctx):
            return linear_flow.Flow("undone").add(
                task_types.Mark(ctx, name="step-0"),
                SlowUndo(ctx, name="step-1"),
                task_types.Mark(ctx, name="step-2"),
            )

    with engines.opened(home, types={"u": UndoneTask}) as engine:
        task = engine.submit("u", world.given(fail_at="step-2"))
        with conducting(engine):
            noted(world, "revert step-1")
        seen = engine.get(task.id)
        world.open_gate()
        with conducting(engine):
            assert ended(engine, task).failure.step == "step-2"

    assert (seen.status, seen.phase) == ("processing", "reverting")
    assert world.counts()["execute step-2"] == 1
    assert world.left() == set()


DRAIN_ANYWHERE = """
import pathlib, signal, sys, threading
import glance_tasks as gt
from tests.support import engines

def is_of(frame, *names):
    return frame.f_code.co_filename.rpartition("/")[2] in names

def interrupt_at(number):
    seen = 0
    def trace(frame, event, argument):
        nonlocal seen
        if is_of(frame, "conductor.py"):
            return trace
        if not is_of(frame, "threading.py"):
            return None
        if not is_of(frame.f_back, "conductor.py", "threading.py"):
            return None
        if event == "line":
            seen += 1
            if seen == number:
                signal.raise_signal(signal.SIGTERM)
        return trace
    return trace

engine = engines.make_engine(pathlib.Path(sys.argv[1]))
for number in range(1, 16):
    conductor = gt.Conductor(engine)
    signal.signal(signal.SIGTERM, lambda *_: conductor.drain())
    begin = conductor._claim_all
    def claim_all(until_idle):
        sys.settrace(interrupt_at(number))
        try:
            begin(until_idle)
        finally:
            sys.settrace(None)
    conductor._claim_all = claim_all
    print(number, flush=True)
    conductor.run()
"""


def test_a_signal_drains_wherever_it_strikes(home):
    # Event.set() in a handler waits for ever when the signal strikes the very
    # thread that is about to wait for the event, or clears it.
    done = subprocess.run(
        [sys.executable, "-c", DRAIN_ANYWHERE, str(home)],
        env=engines.environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (done.returncode, done.stdout.split()[-1:]) == (0, ["15"]), (
        done.stderr
    )


# --- a process of its own ----------------------------------------------------


@pytest.fixture
def start(home):
    """Give a way to start conductors, whose leases outlast any test."""
    with engines.processes(home, claim_ttl=3600) as start:
        yield start


def test_a_process_runs_tasks_until_it_is_told_to_stop(engine, world, start):
    conductor = start()
    task = engine.submit("line", world.given())

    assert ended(engine, task).status == "success"
    conductor.terminate()
    assert conductor.wait(60) == 0


def test_sigterm_leaves_a_task_to_the_next_process(engine, world, start):
    task = engine.submit("line", world.given(wait_at="step-3"))
    first = start()
    noted(world, "execute step-3")

    first.terminate()
    assert first.wait(60) == 0
    world.open_gate()
    start()

    found = ended(engine, task)
    assert (found.status, found.attempts, found.fence) == ("success", 0, 2)
    assert world.counts()["execute step-2"] == 1


def test_what_a_killed_process_held_is_taken_over_at_once(
    engine, world, start
):
    # Its lease has an hour to go.
    task = engine.submit("line", world.given(wait_at="step-3"))
    first = start()
    noted(world, "execute step-3")

    first.kill()
    first.wait()
    world.open_gate()
    start()

    found = ended(engine, task)
    assert (found.status, found.fence) == ("success", 2)
    assert world.counts()["execute step-2"] == 1
    (taken,) = [
        e.text for e in engine.events(task.id) if " was lost" in e.text
    ]
    assert taken.startswith("by ")


def test_a_process_that_idles_ends(engine, world, start):
    task = engine.submit("line", world.given())

    assert start(until_idle=True).wait(60) == 0

    assert engine.get(task.id).status == "success"


# --- leases ------------------------------------------------------------------


def test_a_lease_is_kept_as_long_as_the_task_runs(home, world):
    with engines.opened(home, claim_ttl=1.0) as engine:
        task = engine.submit("line", world.given(wait_at="step-1"))
        with conducting(engine), conducting(engine):
            noted(world, "execute step-1")
            expiry = rows_of(engine, "gt_jobs")[0][6]
            # By the database's clock the first lease is long over.
            engines.until(
                lambda: rows_of(engine, "gt_jobs")[0][6] > expiry + 2.0
            )
            world.open_gate()
            found = ended(engine, task)

    assert (found.status, found.fence) == ("success", 1)


def test_a_run_whose_lease_was_taken_stops_and_writes_nothing(home, world):
    with engines.opened(home, claim_ttl=1.0) as engine:
        engine.submit("line", world.given(wait_at="step-1"))
        conductor = gt.Conductor(engine)
        conductor.start()
        noted(world, "execute step-1")
        # Nothing in between: the pulse would renew it.
        with engine.database.write() as connection:
            connection.exec_driver_sql("UPDATE gt_jobs SET lease_until = 0")
            connection.exec_driver_sql("UPDATE gt_tasks SET fence = 7")
            connection.exec_driver_sql("UPDATE gt_atoms SET fence = 7")
            connection.exec_driver_sql("UPDATE gt_flows SET fence = 7")
            connection.exec_driver_sql(
                "UPDATE gt_jobs SET fence = 7, holder = 'successor',"
                " lease_until = 1e12"
            )
        before = engines.dump(engine)

        engines.until(lambda: not conductor._runs, "the run's end")
        conductor.stop()

        assert engines.dump(engine) == before
