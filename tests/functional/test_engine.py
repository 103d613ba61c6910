# SPDX-License-Identifier: Apache-2.0
"""The engine: submitting, reading and retrying tasks."""

import threading
import uuid

import pytest
from taskflow.patterns import linear_flow

import glance_tasks as gt
from glance_tasks import exceptions
from tests.support import engines
from tests.support import task_types

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


def test_nobody_submits_in_the_name_of_another_project(engine, world):
    who = gt.Requester("demo")

    with pytest.raises(gt.InvalidInput, match="owner"):
        engine.submit("line", world.given(), owner="other", requester=who)
    own = engine.submit("line", world.given(), owner="demo", requester=who)

    assert [task.id for task in engine.find()] == [own.id]


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
