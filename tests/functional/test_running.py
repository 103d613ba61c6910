# SPDX-License-Identifier: Apache-2.0
"""What becomes of a task that runs: its outcome, also after crashes."""

import dataclasses
import itertools
import types

import pytest
from taskflow import retry
from taskflow.patterns import linear_flow

import glance_tasks as gt
from glance_tasks import exceptions
from glance_tasks import task as tasks
from tests.support import engines
from tests.support import task_types


def until_ended(engine, task_id, lives=20):
    """Let a task die again and again until it has ended."""
    for _ in range(lives):
        if engine.get(task_id).ended:
            break
        engines.die(engine)
    return engine.get(task_id)


# --- the outcome -------------------------------------------------------------


@pytest.mark.parametrize("kind", task_types.TYPES)
def test_a_task_runs_to_its_success(engine, world, kind):
    task = engine.submit(kind, world.given())

    engines.run_all(engine)

    found = engine.get(task.id)
    assert (found.status, found.phase) == ("success", "done")
    assert found.message is None and found.failure is None
    assert found.result is not None
    assert found.started_at <= found.finished_at < found.expires_at
    assert engines.dump(engine)["gt_jobs"] == []
    assert list(engine.area.task_ids()) == []


@pytest.mark.parametrize("step", task_types.STEPS)
@pytest.mark.parametrize("kind", ["line", "arms"])
def test_a_task_that_fails_undoes_what_it_did(engine, world, kind, step):
    task = engine.submit(kind, world.given(fail_at=step))

    engines.run_all(engine)

    found = engine.get(task.id)
    assert (found.status, found.phase) == ("failure", "done")
    assert (found.failure.code, found.failure.step) == ("check_refused", step)
    assert found.message.startswith(f"{step}: {step} was told so. ")
    assert found.result is None
    assert world.left() == set()
    assert list(engine.area.task_ids()) == []


def test_the_last_try_tells_why_not_one_that_was_undone(home, world):
    """TaskFlow keeps the failure of an atom that it undid to try it again."""

    class FailsAt(gt.Atom):
        behaviour = "idempotent"

        def __init__(self, ctx, name, tries):
            super().__init__(ctx, name=name)
            self.tries = tries

        def execute(self, attempt):
            if attempt == self.tries:
                raise gt.TaskError(f"{self.name} fails in try {attempt}")

    class TwiceTask(task_types.LineTask):
        optional_steps = ()

        def build(self, ctx):
            twice = retry.Times(2, name="twice", provides="attempt")
            return linear_flow.Flow("tries", retry=twice).add(
                FailsAt(ctx, "second", 2), FailsAt(ctx, "first", 1)
            )

    with engines.opened(home, types={"twice": TwiceTask}) as engine:
        task = engine.submit("twice", world.given())

        engines.run_all(engine)

        failure = engine.get(task.id).failure
    assert (failure.step, failure.summary) == (
        "second",
        "second fails in try 2",
    )


def test_what_is_tried_again_in_vain_is_undone_whole(engine, world):
    task = engine.submit("tries", world.given(fails=9))

    engines.run_all(engine)

    found = engine.get(task.id)
    assert (found.status, found.failure.step) == ("failure", "step-2")
    assert world.left() == set()
    assert world.counts()["execute step-2 3"] == 1
    assert "execute step-2 4" not in world.counts()


def test_a_failure_names_whatever_could_not_be_undone(engine, world):
    task = engine.submit(
        "line", world.given(fail_at="step-3", fail_undo="step-1")
    )

    engines.run_all(engine)

    failure = engine.get(task.id).failure
    left = {line.partition(":")[0] for line in failure.left_behind}
    assert failure.code == "check_refused"
    assert left == world.left() == {"step-0", "step-1"}
    assert "Could not be undone: step-1" in failure.message


@pytest.mark.parametrize(
    "result", [{"steps": "many"}, {}, {"steps": [], "more": 1}, 7, None, "x"]
)
def test_a_result_that_its_type_does_not_allow_undoes_everything(
    home, world, result
):
    class StrictTask(task_types.LineTask):
        result_schema = types.MappingProxyType(
            {
                "type": "object",
                "required": ["steps"],
                "additionalProperties": False,
                "properties": {"steps": {"type": "array"}},
            }
        )

        def result(self, results):
            return result

    StrictTask.result_schema = dict(StrictTask.result_schema)
    with engines.opened(home, types={"strict": StrictTask}) as engine:
        task = engine.submit("strict", world.given())

        engines.run_all(engine)

        assert engine.get(task.id).failure.code == "result_invalid"
        assert world.left() == set()


def test_a_result_is_an_object_whatever_the_schema_allows(home, world):
    class LooseTask(task_types.LineTask):
        result_schema = {}

        def result(self, results):
            return 7

    with engines.opened(home, types={"loose": LooseTask}) as engine:
        task = engine.submit("loose", world.given())

        engines.run_all(engine)

        assert engine.get(task.id).failure.code == "result_invalid"


def test_every_phase_a_task_shows_was_declared(home, world, monkeypatch):
    engine = engines.make_engine(home)
    seen = {}
    note, claim, end = engine.tasks.note, engine.board.claim, engine.tasks.end

    def saw(task_id):
        seen.setdefault(task_id, []).append(engine.get(task_id).phase)

    def noted(task_id, *args, **kwargs):
        done = note(task_id, *args, **kwargs)
        saw(task_id)
        return done

    def ended(task_id, *args, **kwargs):
        done = end(task_id, *args, **kwargs)
        saw(task_id)
        return done

    def claimed(*args):
        found = claim(*args)
        if found:
            saw(found.task.id)
        return found

    def flushed(self, *args, **kwargs):
        step(self, *args, **kwargs)
        self.flush()

    step = engines.runner.reporting.Report.step
    monkeypatch.setattr(engines.runner.reporting.Report, "step", flushed)
    monkeypatch.setattr(engine.tasks, "note", noted)
    monkeypatch.setattr(engine.tasks, "end", ended)
    monkeypatch.setattr(engine.board, "claim", claimed)
    monkeypatch.setattr(task_types.Mark, "phase", gt.Phase.TRANSFERRING)
    for kind in task_types.TYPES:
        for told in ({}, {"fail_at": "step-1"}, {"fails": 9}):
            task = engine.submit(kind, world.given(**told))
            saw(task.id)
            engines.run_all(engine)
    died = engine.submit("line", world.given(die_at="step-3"))
    engines.die(engine)
    world.open_gate()
    engines.run_all(engine)

    moves = {
        pair for phases in seen.values() for pair in itertools.pairwise(phases)
    }
    engine.close()

    assert died.id in seen
    assert (gt.Phase.TRANSFERRING, gt.Phase.REVERTING) in moves
    assert (gt.Phase.REVERTING, gt.Phase.TRANSFERRING) in moves
    assert [m for m in moves if not tasks.may_move(*m)] == []


# --- crashes -----------------------------------------------------------------


@pytest.mark.parametrize("step", task_types.STEPS)
def test_a_task_whose_process_died_goes_on_where_it_was(engine, world, step):
    task = engine.submit("line", world.given(die_at=step))
    engines.die(engine)
    world.open_gate()

    engines.run_all(engine)

    assert engine.get(task.id).status == "success"
    counts = world.counts()
    assert {n: counts[f"execute {n}"] for n in task_types.STEPS} == {
        n: 2 if n == step else 1 for n in task_types.STEPS
    }
    assert not [line for line in counts if line.startswith("revert")]


def test_a_run_that_was_frozen_right_behind_its_claim_does_nothing(
    engine, world
):
    """Its lease is as old as its claim, however late it hears of it."""
    task = engine.submit("line", world.given())
    frozen = engines.claim(engine)
    engines.lapse(engine)
    engines.run(engine, engines.claim(engine))
    before = engines.dump(engine)
    long_ago = frozen.since - engine.conf.glance_tasks.claim_ttl - 1

    with pytest.raises(exceptions.LeaseLost):
        engines.run(engine, dataclasses.replace(frozen, since=long_ago))

    assert engines.dump(engine) == before
    assert world.counts()["execute step-0"] == 1
    assert list(engine.area.task_ids()) == []
    assert engine.get(task.id).status == "success"


@pytest.mark.parametrize("kind", ["line", "arms", "tries"])
def test_a_task_that_always_kills_is_given_up_and_undone(engine, world, kind):
    task = engine.submit(kind, world.given(die_at="step-1"))

    ended = until_ended(engine, task.id)

    assert (ended.status, ended.failure.code) == ("failure", "gave_up")
    assert ended.failure.left_behind == ()
    assert world.left() == set()
    # In the parallel engine lives in which others finished do not count.
    assert world.counts()["execute step-1"] <= (9 if kind == "arms" else 4)


def test_an_atom_made_without_a_context_is_given_up_too(home, world):
    class Deadly(gt.Atom):
        behaviour = "idempotent"

        def execute(self):
            raise task_types.Died(self.name)

    class BareTask(task_types.LineTask):
        def build(self, ctx):
            return linear_flow.Flow("bare").add(
                task_types.Mark(ctx, name="step-0"), Deadly()
            )

    with engines.opened(
        home, types={"bare": BareTask}, max_attempts=2
    ) as engine:
        task = engine.submit("bare", world.given())

        ended = until_ended(engine, task.id)

    assert ended.failure.code == "gave_up"
    assert world.left() == set()


def test_an_undoing_that_always_kills_ends_all_the_same(home, world):
    class DeadlyUndo(task_types.Mark):
        def revert(self, **kwargs):
            raise task_types.Died(self.name)

    class UndoneTask(task_types.LineTask):
        def build(self, ctx):
            return linear_flow.Flow("undone").add(
                task_types.Mark(ctx, name="step-0"),
                DeadlyUndo(ctx, name="step-1"),
            )

    with engines.opened(
        home, types={"u": UndoneTask}, max_attempts=2
    ) as engine:
        task = engine.submit("u", world.given(fail_at="step-1"))

        ended = until_ended(engine, task.id)

    assert ended.status == "failure"
    assert ended.failure.left_behind


def test_what_a_finished_atom_left_is_looked_for_when_it_is_needed(
    engine, world
):
    task = engine.submit(
        "handed", world.given(die_at="step-1", unhold="step-0")
    )
    engines.die(engine)
    (world.effects / "step-0").unlink()
    world.open_gate()

    engines.run_all(engine)

    assert engine.get(task.id).status == "success"
    assert world.counts()["execute step-0"] == 2
    assert world.left() == {"step-0", "step-1"}
    assert "artifact_lost" in [e.kind for e in engine.events(task.id)]


def test_what_a_finished_atom_left_is_not_made_again_while_it_is_there(
    engine, world
):
    engine.submit("handed", world.given(die_at="step-1", unhold="step-0"))
    engines.die(engine)
    world.open_gate()

    engines.run_all(engine)

    assert world.counts()["execute step-0"] == 1


def test_a_look_that_raises_is_no_reason_to_give_up(home, world):
    class Blind(task_types.Mark):
        def holds(self, result):
            raise OSError("cannot look")

    class BlindTask(task_types.LineTask):
        def build(self, ctx):
            return linear_flow.Flow("blind").add(
                Blind(ctx, name="step-0", provides="first"),
                task_types.Join(ctx, name="step-1"),
            )

    with engines.opened(home, types={"blind": BlindTask}) as engine:
        task = engine.submit("blind", world.given(die_at="step-1"))
        engines.die(engine)
        world.open_gate()

        engines.run_all(engine)

        assert engine.get(task.id).status == "success"


def test_a_task_is_run_in_the_callers_own_thread(tmp_path, world):
    with engines.opened(tmp_path) as engine:
        task = engine.submit("line", world.given())

        ended = engine.run(task.id)

        assert (ended.id, ended.status) == (task.id, "success")
        assert engine.run(task.id) == ended
