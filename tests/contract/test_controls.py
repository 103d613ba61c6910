# SPDX-License-Identifier: Apache-2.0
"""Cancel, pause and resume, from any process, on each kind of database."""

import time

import pytest

import glance_tasks as gt
from glance_tasks import boards
from glance_tasks import runner
from glance_tasks.persistence import controls
from glance_tasks.persistence import locks
from glance_tasks.persistence import models
from glance_tasks.testing.certification import processes
from tests.support import engines
from tests.support import task_types
from tests.support.conducting import conducting
from tests.support.conducting import ended
from tests.support.conducting import noted

ALPHA = gt.Requester("alpha", user_id="ann")


@pytest.fixture
def engine(tmp_path, clean_database_url):
    with engines.opened(
        tmp_path, database_url=clean_database_url, claim_ttl=3600.0
    ) as engine:
        yield engine


@pytest.fixture
def world(tmp_path):
    return task_types.World(tmp_path / "world")


def jobs(engine):
    return [row[1] for row in engines.dump(engine)["gt_jobs"]]


def kinds(engine, task):
    return [event.kind for event in engine.events(task.id)]


def cut_off(engine, world, **told):
    """Submit a task whose holder dies in its third step."""
    task = engine.submit("line", world.given(die_at="step-2", **told))
    engines.die(engine)
    return task


# --- nobody holds it ---------------------------------------------------------


def test_what_never_ran_ends_when_it_is_cancelled(engine, world):
    task = engine.submit(
        "line", world.given(takes=["image:1"]), requester=ALPHA
    )

    found = engine.cancel(task.id, ALPHA, reason="not wanted")

    assert (found.status, found.phase) == ("failure", "done")
    assert found.failure.code == "cancelled"
    assert found.message == (
        "cancelled by user ann: not wanted. Retry the task if it is wanted"
        " after all"
    )
    assert found.expires_at is not None
    rows = engines.dump(engine)
    assert (rows["gt_jobs"], rows["gt_locks"]) == ([], [])
    assert kinds(engine, task) == ["submitted", "cancel_requested", "failed"]
    assert world.journal() == []


def test_what_was_cut_off_is_undone_by_who_claims_it_next(engine, world):
    task = cut_off(engine, world)

    asked = engine.cancel(task.id)
    engines.run_all(engine)

    assert (asked.status, asked.phase) == ("processing", "cancelling")
    assert asked.control == "cancel"
    found = engine.get(task.id)
    assert (found.failure.code, found.control) == ("cancelled", None)
    assert found.failure.summary == "cancelled by the operator"
    assert world.left() == set()
    assert world.counts()["execute step-2"] == 1


def test_what_was_cancelled_goes_before_all_that_wait(engine, world, tmp_path):
    task = cut_off(engine, world)
    paused = engine.pause(task.id)
    urgent = task_types.World(tmp_path / "urgent")
    engine.submit("line", urgent.given(), priority=1_000_000)

    engine.cancel(paused.id)

    assert engines.claim(engine).task.id == task.id


def test_what_is_paused_is_on_no_board(engine, world):
    task = engine.submit("line", world.given(shares=["image:1"]))

    found = engine.pause(task.id, reason="disk")

    assert (found.status, found.phase) == ("pending", "paused")
    assert jobs(engine) == []
    assert len(engines.dump(engine)["gt_locks"]) == 1
    engines.run_all(engine)
    assert world.journal() == []
    assert kinds(engine, task) == ["submitted", "pause_requested", "paused"]


def test_what_was_given_back_is_paused_at_once(engine, world):
    task = engine.submit("line", world.given(stay_at="step-2"))
    with conducting(engine):
        noted(world, "execute step-2")

    assert engine.pause(task.id).phase == "paused"


def test_what_is_resumed_goes_on_where_it_was(engine, world):
    task = cut_off(engine, world)
    engine.pause(task.id)
    gt.Conductor(engine).run(until_idle=True)
    assert engine.get(task.id).phase == "paused"
    world.open_gate()

    found = engine.resume(task.id)
    engines.run_all(engine)

    assert (found.status, found.phase) == ("processing", "queued")
    assert engine.get(task.id).status == "success"
    assert world.counts()["execute step-1"] == 1
    assert world.counts()["execute step-2"] == 2


def test_a_resumed_task_fences_off_whoever_had_it(engine, world):
    task = cut_off(engine, world)
    first = engine.get(task.id).fence
    engine.pause(task.id)
    gt.Conductor(engine).run(until_idle=True)
    engine.resume(task.id)

    held = engines.claim(engine)

    assert held.task.fence > first
    rows = engines.dump(engine)
    fences = {row[-1] for row in rows["gt_atoms"] + rows["gt_flows"]}
    assert fences == {held.task.fence}


def test_what_is_paused_can_be_cancelled(engine, world):
    never = engine.submit("line", world.given())
    engine.pause(never.id)
    begun = cut_off(engine, world)
    engine.pause(begun.id)
    gt.Conductor(engine).run(until_idle=True)

    found = [engine.cancel(task.id) for task in (never, begun)]
    engines.run_all(engine)

    assert [task.phase for task in found] == ["done", "cancelling"]
    for task in (never, begun):
        assert engine.get(task.id).failure.code == "cancelled"
    assert world.left() == set()


# --- somebody holds it -------------------------------------------------------


def test_a_call_shortens_the_lease_of_who_does_not_answer(engine, world):
    task = engine.submit("line", world.given())
    held = engines.claim(engine)

    engine.cancel(task.id)

    (row,) = rows_of(engine, models.JOBS)
    with engine.database.read() as connection:
        now = connection.scalar(models.now())
    assert now < row["lease_until"] <= now + boards.CALL_S
    assert engine.board.renew([held], 600.0) == []
    (row,) = rows_of(engine, models.JOBS)
    assert row["lease_until"] > now + 500


def rows_of(engine, table):
    with engine.database.read() as connection:
        return connection.execute(table.select()).mappings().all()


def test_what_runs_is_cancelled_where_it_is(engine, world):
    task = engine.submit("line", world.given(stay_at="step-2"))
    with conducting(engine):
        noted(world, "execute step-2")

        engine.cancel(task.id, reason="why not")
        found = ended(engine, task)

    assert found.failure.code == "cancelled"
    assert found.failure.step == "step-2"
    assert found.failure.summary == "cancelled by the operator: why not"
    assert world.left() == set()
    assert found.failure.left_behind == ()


def test_what_runs_is_paused_where_it_is(engine, world):
    task = engine.submit("line", world.given(wait_at="step-2"))
    with conducting(engine) as conductor:
        noted(world, "execute step-2")

        asked = engine.pause(task.id)
        engines.until(lambda: engine.get(task.id).phase == "paused")
        engines.until(lambda: not conductor._runs)
        world.open_gate()
        engine.resume(task.id)
        found = ended(engine, task)

    assert (asked.phase, asked.control) == ("pausing", "pause")
    assert (found.status, found.attempts) == ("success", 0)
    assert world.counts()["execute step-1"] == 1
    assert not [line for line in world.journal() if "revert" in line]
    assert kinds(engine, task).count("paused") == 1


def test_a_paused_task_leaves_its_place_to_another(engine, world, tmp_path):
    task = engine.submit("line", world.given(stay_at="step-2"))
    other = task_types.World(tmp_path / "other")
    with conducting(engine, max_tasks=1):
        noted(world, "execute step-2")
        second = engine.submit("line", other.given())

        engine.pause(task.id)

        assert ended(engine, second).status == "success"


def test_a_pause_is_taken_back_before_it_was_heard(engine, world):
    task = engine.submit("line", world.given())
    held = engines.claim(engine)
    engine.pause(task.id)

    found = engine.resume(task.id)
    left = engine.services().controls.leave(held)

    assert (found.phase, found.control) == ("processing", None)
    assert left == "given back"
    engines.run_all(engine)
    assert engine.get(task.id).status == "success"


def test_what_ends_before_it_hears_ends_as_it_would_have(engine, world):
    task = engine.submit("line", world.given())
    held = engines.claim(engine)
    engine.pause(task.id)

    engines.run(engine, held)

    found = engine.get(task.id)
    assert (found.status, found.phase, found.control) == (
        "success",
        "done",
        None,
    )


def test_the_word_cancelling_stays_while_the_atom_reports(engine, world):
    task = engine.submit("line", world.given())
    held = engines.claim(engine)
    engine.cancel(task.id)

    kept = engine.tasks.note(
        task.id,
        held.task.fence,
        phase=gt.Phase.TRANSFERRING,
        progress={},
        advanced=False,
    )

    assert kept
    assert engine.get(task.id).phase == "cancelling"


def test_a_frozen_holder_is_not_waited_for(
    engine, world, tmp_path, clean_database_url
):
    task = engine.submit("line", world.given(stay_at="step-2"))
    options = {"connection": clean_database_url, "claim_ttl": 3600.0}
    with engines.processes(tmp_path, **options) as start:
        frozen = start()
        noted(world, "execute step-2")
        processes.freeze(frozen)

        engine.cancel(task.id)
        with conducting(engine):
            found = ended(engine, task)

    assert found.failure.code == "cancelled"
    assert world.left() == set()


# --- what cannot be asked ----------------------------------------------------


@pytest.fixture
def asks(engine):
    return (engine.cancel, engine.pause, engine.resume)


def test_nothing_is_asked_of_what_has_ended(engine, world, asks):
    task = engine.submit("line", world.given())
    engines.run_all(engine)
    before = engines.dump(engine)

    for ask in asks:
        with pytest.raises(gt.TaskConflict, match="ended already, as success"):
            ask(task.id)

    assert engines.dump(engine) == before


def test_nothing_is_asked_of_what_another_project_has(engine, world, asks):
    task = engine.submit("line", world.given(), requester=ALPHA)
    before = engines.dump(engine)

    for ask in asks:
        with pytest.raises(gt.TaskNotFound):
            ask(task.id, gt.Requester("beta"))

    assert engines.dump(engine) == before


def test_only_what_is_paused_is_resumed(engine, world):
    task = engine.submit("line", world.given())

    with pytest.raises(gt.TaskConflict, match="is queued; only a paused"):
        engine.resume(task.id)


def test_what_is_being_undone_is_not_paused(engine, world):
    task = cut_off(engine, world)
    engine.cancel(task.id)

    with pytest.raises(gt.TaskConflict, match="is being undone"):
        engine.pause(task.id)


@pytest.mark.parametrize("verb", ["cancel", "pause"])
def test_to_ask_again_changes_nothing(engine, world, verb):
    cut_off(engine, world)
    (task,) = engine.find()
    getattr(engine, verb)(task.id)
    before = engines.dump(engine)

    getattr(engine, verb)(task.id, reason="again")

    assert engines.dump(engine) == before


@pytest.mark.parametrize("reason", ["x" * 256, "two\nlines", 7])
def test_a_reason_is_a_line(engine, world, reason):
    task = engine.submit("line", world.given())

    with pytest.raises(gt.InvalidInput, match="reason"):
        engine.cancel(task.id, reason=reason)


def test_a_reason_shows_no_password(engine, world):
    task = engine.submit("line", world.given())

    found = engine.cancel(task.id, reason="http://me:hunter2@host/ is wrong")

    assert "hunter2" not in repr(engines.dump(engine))
    assert "host/ is wrong" in found.message


# --- what is read and what is written cross ----------------------------------


def write(engine, statement):
    with engine.database.write() as connection:
        connection.exec_driver_sql(statement)


def test_a_pause_that_came_too_late_does_not_hold_up_the_undoing(
    engine, world
):
    task = cut_off(engine, world)
    write(
        engine,
        "UPDATE gt_tasks SET phase = 'reverting', control = 'pause'",
    )
    write(engine, "UPDATE gt_atoms SET intention = 'REVERT'")
    world.open_gate()

    engines.run_all(engine)

    assert engine.get(task.id).ended


def test_what_is_undone_and_tried_again_is_paused_then(engine, world):
    task = engine.submit("line", world.given())
    held = engines.claim(engine)
    engine.pause(task.id)
    write(engine, "UPDATE gt_tasks SET phase = 'processing'")

    left = engine.services().controls.leave(held)

    assert (left, engine.get(task.id).phase) == ("paused", "paused")


@pytest.mark.parametrize(
    ("verb", "phase"), [("cancel", "cancelling"), ("resume", "processing")]
)
def test_what_a_run_has_read_is_not_written_over_what_was_asked(
    engine, world, verb, phase
):
    task = engine.submit("line", world.given())
    engines.claim(engine)
    engine.pause(task.id)
    engines.lapse(engine)
    run = runner.Run(engine.services(), engines.claim(engine))
    getattr(engine, verb)(task.id)

    with pytest.raises(gt.RunInterrupted):
        run.execute()
    run.flush()
    left = engine.services().controls.leave(run.claim)

    assert left == "given back"
    assert engine.get(task.id).phase == phase


def test_a_late_report_does_not_wake_a_paused_task(engine, world):
    task = engine.submit("line", world.given())
    held = engines.claim(engine)
    engine.pause(task.id)
    engine.services().controls.leave(held)

    for phase in (gt.Phase.PROCESSING, gt.Phase.REVERTING):
        engine.tasks.note(
            *(task.id, held.task.fence),
            phase=phase,
            progress={},
            advanced=False,
        )

    assert engine.get(task.id).phase == "paused"


def test_what_is_cancelled_while_it_is_set_aside_is_not_put_to_sleep(
    engine, world
):
    task = engine.submit("line", world.given())
    held = engines.claim(engine)
    engine.cancel(task.id)

    left = engine.services().controls.leave(held, aside=True)

    assert left == "given back"
    assert jobs(engine) == ["ready"]


def test_what_no_release_can_undo_ends_and_says_so(
    engine, world, tmp_path, clean_database_url
):
    task = cut_off(engine, world)
    engine.cancel(task.id)

    with of_another_release(tmp_path, clean_database_url) as other:
        engines.run_all(other)
        assert engine.get(task.id).phase == "cancelling"
        other.board.wake(0)
        engines.run_all(other)

    found = engine.get(task.id)
    assert found.failure.code == "cancelled"
    assert found.failure.left_behind == ("what the task had done so far",)


def test_a_release_that_can_undo_it_is_given_the_time(
    engine, world, tmp_path, clean_database_url
):
    task = cut_off(engine, world)
    engine.cancel(task.id)
    with of_another_release(tmp_path, clean_database_url) as other:
        engines.run_all(other)

    engine.board.wake(0)
    engines.run_all(engine)

    found = engine.get(task.id)
    assert found.failure.code == "cancelled"
    assert found.failure.left_behind == ()
    assert world.left() == set()


def test_what_waited_before_it_was_cancelled_is_given_the_time_too(
    engine, world, tmp_path, clean_database_url
):
    task = cut_off(engine, world)
    with of_another_release(tmp_path, clean_database_url) as other:
        engines.run_all(other)
        assert other.get(task.id).queue_reason
        engine.cancel(task.id)
        engines.run_all(other)

    engine.board.wake(0)
    engines.run_all(engine)

    assert engine.get(task.id).failure.left_behind == ()
    assert world.left() == set()


def of_another_release(home, url):
    """Give an engine that knows other types."""
    types = {"arms": task_types.ArmsTask}
    return engines.opened(home, database_url=url, types=types)


def test_a_call_is_answered_though_nothing_is_asked_any_more(engine, world):
    task = engine.submit("line", world.given())
    run = runner.Run(engine.services(), engines.claim(engine))
    engine.pause(task.id)
    engine.resume(task.id)

    asked = controls.asked(engine.database, [task.id])
    answers = [run.hear(asked[task.id], time.monotonic())]
    engine.board.renew([run.claim], 3600.0)
    asked = controls.asked(engine.database, [task.id])
    answers.append(run.hear(asked[task.id], time.monotonic()))

    assert answers == [3600.0, None]


def test_who_waits_and_is_paused_at_that_moment_is_not_run(
    engine, world, tmp_path, monkeypatch
):
    if engine.database.embedded:
        pytest.skip("SQLite has one writer at a time")
    first = engine.submit("line", world.given(takes=["image:1"]))
    other = task_types.World(tmp_path / "other")
    second = engine.submit("patient", other.given(takes=["image:1"]))
    waiters = locks._waiters

    def meanwhile(connection, resources):
        found = waiters(connection, resources)
        engine.pause(second.id)
        return found

    monkeypatch.setattr(locks, "_waiters", meanwhile)
    engines.run(engine, engines.claim(engine, first.id))
    paused = jobs(engine)
    engine.resume(second.id)

    assert (paused, jobs(engine)) == ([], ["ready"])
