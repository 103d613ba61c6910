# SPDX-License-Identifier: Apache-2.0
"""The engine: submitting, reading, retrying, and what becomes of a plan."""

import itertools
import threading
import types
import uuid

import pytest
from taskflow.patterns import linear_flow

import glance_tasks as gt
from glance_tasks import exceptions
from glance_tasks import reaper
from glance_tasks import task as tasks
from tests.support import engines
from tests.support import task_types


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def engine(home):
    with engines.opened(home, max_attempts=3) as engine:
        yield engine


@pytest.fixture
def world(tmp_path):
    return task_types.World(tmp_path / "world")


def reopened(engine, home, **chosen):
    """Give another life of the service, with other plugins or options."""
    return engines.opened(home, **{"max_attempts": 3, **chosen})


def until_ended(engine, task_id, lives=20):
    """Let a task die again and again until it has ended."""
    for _ in range(lives):
        if engine.get(task_id).ended:
            break
        engines.die(engine)
    return engine.get(task_id)


# --- submit ------------------------------------------------------------------


def test_a_task_is_durable_when_submit_returns(engine, home, world):
    task = engine.submit("line", world.given(), owner="demo")

    with engines.opened(home) as other:
        found = other.get(task.id)
    assert found == task
    assert (found.status, found.phase) == (gt.Status.PENDING, gt.Phase.QUEUED)
    assert (found.result, found.message, found.expires_at) == (
        None,
        None,
        None,
    )


def test_ids_of_task_and_image_are_chosen_at_submit(engine, world):
    task = engine.submit("line", world.given())

    assert uuid.UUID(task.id).version == 4
    assert uuid.UUID(task.image_id).version == 4
    assert task.plan["image_id"] == task.image_id


def test_the_requesters_project_owns_the_task(engine, world):
    who = gt.Requester("demo", "alice", request_id="req-1")

    task = engine.submit("line", world.given(), requester=who)

    assert (task.owner, task.user_id, task.request_id) == (
        *("demo", "alice", "req-1"),
    )


def deep(levels):
    value = "x"
    for _ in range(levels):
        value = [value]
    return value


BAD = {
    "no object": (["line", []], {}),
    "nothing": (["line", None], {}),
    "text": (["line", "x"], {}),
    "missing field": (["line", {}], {}),
    "unknown field": (["line", {"world": "x", "wrld": 1}], {}),
    "wrong kind": (["line", {"world": 7}], {}),
    "no json": (["line", {"world": object()}], {}),
    "bytes": (["line", {"world": b"x"}], {}),
    "not a number": (["line", {"world": "x", "fails": float("nan")}], {}),
    "too large": (["line", {"world": "x" * 300_000}], {}),
    "too deep": (["line", {"world": deep(100_000)}], {}),
    "unknown type": (["lime", {"world": "x"}], {}),
    "type with nul": (["li\0ne", {"world": "x"}], {}),
    "type with surrogate": (["li\ud800ne", {"world": "x"}], {}),
    "long owner": (["line", {"world": "x"}], {"owner": "o" * 256}),
    "owner with nul": (["line", {"world": "x"}], {"owner": "o\0"}),
    "owner with surrogate": (["line", {"world": "x"}], {"owner": "o\ud800"}),
    "priority": (["line", {"world": "x"}], {"priority": 1 << 31}),
    "low priority": (["line", {"world": "x"}], {"priority": -(1 << 31)}),
}


@pytest.mark.parametrize("bad", BAD)
def test_what_cannot_be_taken_on_changes_nothing(engine, bad):
    args, kwargs = BAD[bad]

    with pytest.raises((gt.InvalidInput, gt.TaskTypeNotFound)):
        engine.submit(*args, **kwargs)

    assert not any(engines.dump(engine).values())


def test_a_misfit_is_pointed_at(engine):
    with pytest.raises(gt.InvalidInput) as caught:
        engine.submit("line", {"wrld": "x"})

    assert dict(caught.value.errors) == {
        "/world": "is required",
        "/wrld": "is not known; did you mean 'world'?",
    }


class PlannedTask(task_types.LineTask):
    """A type that plans whatever a test makes it."""

    def plan(self, ctx):
        """Give or raise."""
        return self.make(ctx)


def planned(make):
    return {
        "planned": type(
            "Planned", (PlannedTask,), {"make": staticmethod(make)}
        )
    }


def raising(error):
    def make(ctx):
        raise error

    return make


@pytest.mark.parametrize(
    "make",
    [
        *(raising(ValueError("x")), raising(SystemExit(2))),
        *(lambda ctx: {"a": object()}, lambda ctx: {"a": "x" * 1_000_000}),
        lambda ctx: 7,
    ],
    ids=["raises", "exits", "no json", "huge", "no object"],
)
def test_a_plan_that_cannot_be_made_is_the_plugins_fault(home, world, make):
    with engines.opened(home, types=planned(make)) as engine:
        with pytest.raises(gt.BrokenPlugin, match="planned"):
            engine.submit("planned", world.given())

        assert not any(engines.dump(engine).values())


def test_a_plan_may_find_fault_with_the_input(home, world):
    wrong = gt.InvalidInput([("/world", "is too small")])
    with engines.opened(home, types=planned(raising(wrong))) as engine:
        with pytest.raises(gt.InvalidInput, match="is too small"):
            engine.submit("planned", world.given())

        assert not any(engines.dump(engine).values())


def test_what_was_planned_is_stored_and_can_be_required_by_name(home, world):
    class TakeIt(gt.Atom):
        behaviour = "idempotent"
        default_provides = "taken"

        def execute(self, chosen, world):
            return {"chosen": chosen, "world": world}

    class TakingTask(PlannedTask):
        def make(self, ctx):
            return {"chosen": ("a", 1)}

        def build(self, ctx):
            return linear_flow.Flow("taking").add(TakeIt(ctx))

        def result(self, results):
            return results["taken"]

    with engines.opened(home, types={"taking": TakingTask}) as engine:
        task = engine.submit("taking", world.given())
        engines.run_all(engine)

        result = engine.get(task.id).result
    assert result == {"chosen": ["a", 1], "world": str(world.directory)}


def test_a_graph_that_cannot_be_built_becomes_no_task(home, world):
    class NeedyTask(task_types.LineTask):
        def build(self, ctx):
            return linear_flow.Flow("needy").add(task_types.Join(ctx))

    with engines.opened(home, types={"needy": NeedyTask}) as engine:
        with pytest.raises(
            gt.BrokenPlugin, match="needs first; expected it in"
        ):
            engine.submit("needy", world.given())

        assert not any(engines.dump(engine).values())


# --- reading -----------------------------------------------------------------


@pytest.mark.parametrize(
    "how",
    [
        {"filters": {"colour": "red"}},
        {"filters": {"type": "a\0"}},
        {"filters": {"type": "a\ud800"}},
        {"filters": {"type": 7}},
        {"limit": -1},
        {"sort_key": "input"},
        {"sort_key": ""},
    ],
    ids=str,
)
def test_a_list_that_cannot_be_made_is_refused(engine, how):
    with pytest.raises(gt.InvalidInput):
        engine.find(**how)


@pytest.mark.parametrize("marker", ["", "x", "a\0", "a\ud800", "x" * 500])
def test_a_marker_of_any_form_is_not_found(engine, marker):
    with pytest.raises(gt.TaskNotFound):
        engine.find(marker=marker)


def test_every_door_misses_a_foreign_task_like_an_absent_one(engine, world):
    task = engine.submit("line", world.given(fail_at="step-0"), owner="demo")
    engines.run_all(engine)
    other, absent = gt.Requester("other"), str(uuid.uuid4())
    doors = (
        lambda t: engine.get(t, other),
        lambda t: engine.events(t, other),
        lambda t: engine.wait(t, 0, other),
        lambda t: engine.retry(t, other),
        lambda t: engine.find(other, marker=t),
    )

    for door in doors:
        words = []
        for task_id in (task.id, absent):
            with pytest.raises(gt.TaskNotFound) as caught:
                door(task_id)
            words.append(str(caught.value).replace(task_id, "ID"))
        assert words[0] == words[1]
    assert len(engine.find()) == 1


@pytest.mark.parametrize(
    ("filters", "number"),
    [
        ({"status": "success"}, 1),
        ({"status": "failure"}, 1),
        ({"status": "pending"}, 0),
        ({"type": "line"}, 2),
        ({"type": "line", "owner": "demo"}, 1),
        ({"owner": "nobody"}, 0),
    ],
    ids=str,
)
def test_a_filter_gives_what_it_names(engine, world, filters, number):
    engine.submit("line", world.given(), owner="demo")
    engine.submit("line", world.given(fail_at="step-0"), owner="other")
    engines.run_all(engine)

    assert len(engine.find(filters=filters)) == number


def test_the_timeline_tells_what_happened_in_order(engine, world):
    task = engine.submit("line", world.given(fail_at="step-1"))
    engines.run_all(engine)

    events = engine.events(task.id)

    assert [(event.kind, event.atom) for event in events] == [
        ("submitted", None),
        ("claimed", None),
        ("atom_started", "step-0"),
        ("atom_finished", "step-0"),
        ("atom_started", "step-1"),
        ("atom_failed", "step-1"),
        ("atom_reverted", "step-1"),
        ("atom_reverted", "step-0"),
        ("failed", None),
    ]


def test_the_details_of_a_timeline_are_the_operators(engine, world):
    task = engine.submit("line", world.given(fail_at="step-0"), owner="demo")
    engines.run_all(engine)

    seen = engine.events(task.id, gt.Requester("demo"))

    assert len(seen) == len(engine.events(task.id))
    assert [event.detail for event in seen] == [None] * len(seen)
    assert any(event.detail for event in engine.events(task.id))


def test_to_wait_gives_the_task_when_it_has_ended(engine, world):
    task = engine.submit("line", world.given())
    thread = threading.Thread(target=engines.run_all, args=(engine,))

    thread.start()
    found = engine.wait(task.id, 60)
    thread.join()

    assert found.status is gt.Status.SUCCESS


def test_to_wait_in_vain_says_where_the_task_is(engine, world):
    task = engine.submit("line", world.given())

    with pytest.raises(TimeoutError, match=r"is still queued after 0\.1 s"):
        engine.wait(task.id, 0.1)


def test_drawing_submits_nothing(engine):
    drawn = engine.draw("line")

    assert [node.name for node in drawn.nodes] == [
        *task_types.STEPS,
        "CheckResult",
    ]
    assert not any(engines.dump(engine).values())


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


# --- retry -------------------------------------------------------------------


@pytest.fixture
def failed(engine, world):
    told = world.given(fail_at="step-1")
    task = engine.submit("line", told, owner="demo", priority=4)
    engines.run_all(engine)
    return engine.get(task.id)


def test_a_retry_is_a_new_task_for_the_same_image(engine, failed):
    again = engine.retry(failed.id)

    assert again.id != failed.id
    assert (again.retry_of, again.image_id) == (failed.id, failed.image_id)
    assert (again.owner, again.type, again.priority) == ("demo", "line", 4)
    assert again.input == failed.input
    assert again.status is gt.Status.PENDING
    assert engine.get(failed.id) == failed


def test_a_retrys_fence_is_larger_than_any_before(engine, failed):
    engine.retry(failed.id)

    assert engines.claim(engine).task.fence > failed.fence


def test_a_task_is_retried_once_and_its_retry_again(engine, failed):
    again = engine.retry(failed.id)

    with pytest.raises(gt.TaskConflict, match="was retried already"):
        engine.retry(failed.id)
    engines.run_all(engine)
    assert engine.retry(again.id).retry_of == again.id
    assert len(engine.find()) == 3


def test_only_what_failed_is_retried(engine, world):
    task = engine.submit("line", world.given())

    with pytest.raises(gt.TaskConflict, match="is pending; only a failed"):
        engine.retry(task.id)
    engines.run_all(engine)
    with pytest.raises(gt.TaskConflict, match="is success; only a failed"):
        engine.retry(task.id)


def test_an_owner_retries_only_its_own(engine, failed):
    again = engine.retry(failed.id, gt.Requester("demo", "bob"))

    assert (again.owner, again.user_id) == ("demo", "bob")
    with pytest.raises(gt.TaskNotFound):
        engine.retry(again.id, gt.Requester("other"))


# --- what configuration changes, and what it does not ------------------------


def ran(world):
    return {
        line.partition(" ")[2]
        for line in world.journal()
        if line.startswith("execute")
    }


def test_an_optional_step_that_is_left_out_does_not_run(home, world):
    with engines.opened(home, skip_steps=["line:step-2"]) as engine:
        engine.submit("line", world.given())
        engines.run_all(engine)

    assert ran(world) == set(task_types.STEPS) - {"step-2"}


@pytest.mark.parametrize("before", [[], ["line:step-2"]])
def test_a_changed_configuration_does_not_change_a_submitted_task(
    home, world, before
):
    after = ["line:step-4"]
    with engines.opened(home, skip_steps=before) as engine:
        task = engine.submit("line", world.given())
    with engines.opened(
        home, skip_steps=after, checks=["line:refuse"]
    ) as engine:
        engines.run_all(engine)

        assert engine.get(task.id).status == "success"
    skipped = {pair.partition(":")[2] for pair in before}
    assert ran(world) == set(task_types.STEPS) - skipped


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"skip_steps": ["line:step-9"]}, "skip_steps names step-9"),
        ({"skip_steps": ["arms:step-1"]}, "optional are: none"),
        ({"skip_steps": ["step-1"]}, "not of the form TYPE:NAME"),
        ({"checks": ["line:absent"]}, "absent"),
        ({"checks": ["line:"]}, "not of the form TYPE:NAME"),
    ],
    ids=str,
)
def test_an_option_that_names_what_there_is_not_is_refused(
    home, world, options, words
):
    with engines.opened(home, **options) as engine:
        with pytest.raises(gt.ConfigurationError, match=words):
            for kind in ("line", "arms"):
                engine.submit(kind, world.given())

        assert engine.find(filters={"type": "arms"}) == []


def test_a_third_partys_check_vetoes(home, world):
    with engines.opened(home, checks=["line:refuse"]) as engine:
        task = engine.submit("line", world.given())
        engines.run_all(engine)

        failure = engine.get(task.id).failure
    assert (failure.code, failure.step) == ("check_refused", "Check-refuse")
    assert failure.summary == "step-0 is not liked"
    assert world.left() == set()


def test_two_engines_of_one_process_do_not_share_anything(tmp_path):
    worlds = [task_types.World(tmp_path / f"world-{n}") for n in range(2)]
    with (
        engines.opened(tmp_path / "a", max_attempts=2) as first,
        engines.opened(
            tmp_path / "b",
            types={"other": task_types.LineTask},
            skip_steps=["other:step-0"],
        ) as second,
    ):
        task = first.submit("line", worlds[0].given())
        other = second.submit("other", worlds[1].given())

        with pytest.raises(gt.TaskNotFound):
            second.get(task.id)
        with pytest.raises(gt.TaskTypeNotFound):
            second.submit("line", worlds[1].given())
        engines.run_all(first)
        assert second.get(other.id).status == "pending"
        engines.run_all(second)
        assert second.get(other.id).status == "success"
    assert ran(worlds[0]) == set(task_types.STEPS)
    assert ran(worlds[1]) == set(task_types.STEPS) - {"step-0"}


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


# --- a release that changes under a task -------------------------------------


class RenamedTask(task_types.LineTask):
    """The same with one atom renamed."""

    def build(self, ctx):
        """Build the row with another name in it."""
        flow = linear_flow.Flow("line")
        for name in (*task_types.STEPS[:3], "renamed", *task_types.STEPS[4:]):
            flow.add(task_types.Mark(ctx, name=name))
        return flow


class BrokenTask(task_types.LineTask):
    """A release that cannot be loaded."""

    api = 99


class UnbuildableTask(task_types.LineTask):
    """A release that builds nothing."""

    def build(self, ctx):
        """Raise."""
        raise RuntimeError("not today")


class LeavingTask(task_types.LineTask):
    """A release that ends the process that builds it."""

    def build(self, ctx):
        """Leave."""
        raise SystemExit(2)


OTHERS = {
    "renamed": {"line": RenamedTask},
    "broken": {"line": BrokenTask},
    "unbuildable": {"line": UnbuildableTask},
    "leaving": {"line": LeavingTask},
    "missing": {"arms": task_types.ArmsTask},
}


@pytest.mark.parametrize("other", OTHERS)
def test_a_begun_task_waits_for_the_release_that_knows_its_graph(
    engine, home, world, other
):
    task = engine.submit("line", world.given(die_at="step-2"))
    engines.die(engine)
    world.open_gate()
    before = world.journal()

    with reopened(engine, home, types=OTHERS[other]) as changed:
        engines.run_all(changed)
        waiting = changed.get(task.id)
    assert not waiting.ended
    assert waiting.queue_reason
    assert world.journal() == before

    engine.board.wake(0)
    engines.run_all(engine)
    found = engine.get(task.id)
    assert (found.status, found.queue_reason) == ("success", None)
    assert world.counts()["execute step-0"] == 1


def test_a_task_whose_type_is_not_installed_waits_unbegun(engine, home, world):
    task = engine.submit("line", world.given())

    with reopened(engine, home, types=OTHERS["missing"]) as changed:
        engines.run_all(changed)
        waiting = changed.get(task.id)
    assert not waiting.ended
    assert "there is no task type 'line'" in waiting.queue_reason

    engine.board.wake(0)
    engines.run_all(engine)
    assert engine.get(task.id).status == "success"


@pytest.mark.parametrize("other", ["broken", "unbuildable", "leaving"])
def test_an_unbegun_task_whose_plugin_broke_fails_in_words(
    engine, home, world, other
):
    task = engine.submit("line", world.given())

    with reopened(engine, home, types=OTHERS[other]) as changed:
        engines.run_all(changed)

        assert changed.get(task.id).failure.code == "plugin_failed"


def test_waiting_for_a_release_does_not_fill_the_timeline(engine, home, world):
    task = engine.submit("line", world.given(die_at="step-2"))
    engines.die(engine)

    with reopened(engine, home, types=OTHERS["missing"]) as changed:
        engines.run_all(changed)
        once = len(changed.events(task.id))
        for _ in range(50):
            changed.board.wake(0)
            engines.run_all(changed)

        # A task may wait for weeks, and is looked at every minute.
        assert len(changed.events(task.id)) <= once + 5


def test_a_graph_may_change_for_tasks_that_come_later(engine, home, world):
    engine.submit("line", world.given())
    engines.run_all(engine)

    with reopened(engine, home, types=OTHERS["renamed"]) as changed:
        task = changed.submit("line", world.given())
        engines.run_all(changed)

        assert changed.get(task.id).status == "success"


# --- expiry ------------------------------------------------------------------


def alive_for(task):
    return (task.expires_at - task.finished_at).total_seconds() / 3600


@pytest.mark.parametrize(
    ("options", "success", "failure"),
    [
        ({}, 48, 48),
        ({"task_time_to_live": 1.0}, 1, 1),
        ({"task_time_to_live": 1.0, "failure_time_to_live": 5.0}, 1, 5),
        ({"task_time_to_live": 4.0, "failure_time_to_live": 2.0}, 4, 4),
        ({"task_time_to_live": 0.0}, 0, 0),
    ],
    ids=str,
)
def test_a_failure_is_kept_no_shorter_than_a_success(
    home, world, options, success, failure
):
    with engines.opened(home, **options) as engine:
        good = engine.submit("line", world.given())
        bad = engine.submit("line", world.given(fail_at="step-0"))
        engines.run_all(engine)

        assert abs(alive_for(engine.get(good.id)) - success) < 0.01
        assert abs(alive_for(engine.get(bad.id)) - failure) < 0.01


def test_a_changed_time_to_live_is_for_tasks_that_end_later(home, world):
    with engines.opened(home, task_time_to_live=1.0) as engine:
        first = engine.submit("line", world.given())
        engines.run_all(engine)
        begun = engine.submit("line", world.given())

    with engines.opened(home, task_time_to_live=9.0) as engine:
        engines.run_all(engine)

        assert abs(alive_for(engine.get(first.id)) - 1) < 0.01
        assert abs(alive_for(engine.get(begun.id)) - 9) < 0.01


@pytest.fixture
def expired(home, world):
    """Give an engine with five tasks that expired and two that did not."""
    with engines.opened(home, task_time_to_live=0.0) as engine:
        for _ in range(5):
            engine.submit("line", world.given())
        engines.run_all(engine)
        engines.until(lambda: reap(engine, dry_run=True).tasks == 5)
        engine.submit("line", world.given())
        claim = engines.claim(engine)
        engine.area.take(claim.task.id, claim.task.fence)
        engine.submit("line", world.given())
        yield engine


def reap(engine, **how):
    return reaper.reap(engine.database, engine.area, **how)


def test_the_reaper_takes_what_expired_and_leaves_the_rest(expired, world):
    assert reap(expired).tasks == 5

    rows = engines.dump(expired)
    assert len(expired.find()) == 2
    assert {row[1] for row in rows["gt_atoms"]} == set()
    assert len(rows["gt_jobs"]) == 2
    # What the tasks made stays.
    assert world.left() == set(task_types.STEPS)


def test_the_reaper_goes_through_every_batch(expired, monkeypatch):
    monkeypatch.setattr(reaper, "_BATCH", 2)

    assert reap(expired).tasks == 5
    assert reap(expired).tasks == 0


def test_a_dry_run_of_the_reaper_changes_nothing(expired):
    before = engines.dump(expired)

    reap(expired, dry_run=True)

    assert engines.dump(expired) == before


def test_the_reaper_sweeps_directories_of_tasks_that_ended_only(engine, world):
    engine.submit("line", world.given())
    engines.run_all(engine)
    (ended,) = engine.find()
    engine.submit("line", world.given())
    living = engines.claim(engine).task
    unknown = str(uuid.uuid4())
    for task_id in (ended.id, living.id, unknown):
        (engine.area.take(task_id, 1) / "image").write_text("x")

    seen = reap(engine, dry_run=True)
    done = reap(engine)

    assert seen.work_dirs == done.work_dirs == 1
    assert set(engine.area.task_ids()) == {living.id, unknown}


# --- what the engine is made of ----------------------------------------------


def test_an_adapter_that_is_not_installed_is_named(home):
    with pytest.raises(
        exceptions.ConfigurationError, match="store = 'absent'"
    ):
        gt.TaskEngine(engines.configuration(home, store="absent"))


def test_a_database_url_that_cannot_be_understood_is_refused(home):
    conf = engines.configuration(home, connection="nonsense://x:secret@y/z")

    with pytest.raises(exceptions.ConfigurationError) as caught:
        gt.TaskEngine(conf)
    assert "secret" not in str(caught.value)


def test_a_database_that_was_not_synced_is_refused(home, postgresql_url):
    conf = engines.configuration(home, connection=postgresql_url)

    with pytest.raises(exceptions.SchemaBehind, match="glance-tasks db sync"):
        gt.TaskEngine(conf)


def test_a_database_that_is_away_is_said_to_be(home, postgresql_url):
    conf = engines.configuration(
        home, connection="postgresql+psycopg2://u:s3cret@/x?host=/nowhere"
    )

    with pytest.raises(exceptions.DatabaseUnreachable) as caught:
        gt.TaskEngine(conf)
    assert "s3cret" not in str(caught.value)
