# SPDX-License-Identifier: Apache-2.0
"""Nova's words over our tasks: which task stands for what."""

import pytest

import glance_tasks as gt
from glance_tasks.views import nova
from tests.support import engines
from tests.support import task_types

IMAGE = "5b1f0b0e-6f7c-4a57-8d0e-1f5d0b1c2a3b"
ALPHA, BETA = gt.Requester("alpha"), gt.Requester("beta")


class AboutTask(task_types.LineTask):
    """A type whose tasks are about one image."""

    def plan(self, ctx):
        """Say so."""
        return {"image_id": IMAGE}


class OtherTask(AboutTask):
    """Another one."""


@pytest.fixture
def engine(home):
    types = {"about": AboutTask, "other": OtherTask, "line": AboutTask}
    types["elsewhere"] = task_types.LineTask
    with engines.opened(home, types=types) as engine:
        yield engine


@pytest.fixture
def view(engine):
    return nova.NovaView(engine)


@pytest.fixture
def submit(engine, tmp_path):
    worlds = iter(range(100))

    def call(kind="about", request=None, who="alpha", parent=None, **told):
        world = task_types.World(tmp_path / f"world-{next(worlds)}")
        requester = gt.Requester(who, user_id="ann", request_id=request)
        return engine.submit(
            kind, world.given(**told), requester=requester, parent_id=parent
        )

    return call


def end(engine, task):
    engines.run(engine, engines.claim(engine, task.id))
    return engine.get(task.id)


# --- actions -----------------------------------------------------------------


def test_an_action_has_novas_fields(engine, view, submit):
    task = end(engine, submit(request="req-1"))

    (action,) = view.actions(IMAGE)

    assert action == nova.Action(
        action="about",
        image_id=IMAGE,
        request_id="req-1",
        user_id="ann",
        project_id="alpha",
        start_time=task.created_at,
        finish_time=task.finished_at,
        updated_at=task.updated_at,
        result="Success",
        message=None,
        task_id=task.id,
    )


def test_of_one_request_the_oldest_without_a_parent_stands_for_it(
    view, submit
):
    root = submit(request="req-1")
    child = submit("other", request="req-1", parent=root.id)
    later = submit("other", request="req-1")
    alone = submit()
    also = submit()

    actions = view.actions(IMAGE)

    assert child.parent_id == root.id
    assert [a.task_id for a in actions] == [also.id, alone.id, root.id]
    assert later.id not in {a.task_id for a in actions}


def test_a_child_stands_for_a_request_without_a_root(view, submit):
    root = submit("elsewhere", request="req-1")
    child = submit(request="req-1", parent=root.id)

    assert [a.task_id for a in view.actions(IMAGE)] == [child.id]


def test_a_failed_action_says_why_and_one_at_work_nothing(
    engine, view, submit
):
    failed = end(engine, submit(fail_at="step-1"))
    submit()

    working, error = view.actions(IMAGE)

    assert (working.result, working.message) == (None, None)
    assert (error.result, error.message) == ("Error", failed.message)


def test_actions_are_those_of_the_requesters_project(view, submit):
    task = submit(who="alpha")

    assert [a.task_id for a in view.actions(IMAGE, ALPHA)] == [task.id]
    assert view.actions(IMAGE, BETA) == []


def test_the_parts_of_a_task_can_be_listed(engine, submit):
    root = submit()
    parts = {submit("other", parent=root.id).id for _ in range(2)}

    found = engine.find(filters={"parent_id": root.id})

    assert {task.id for task in found} == parts


def test_a_parent_must_be_one_that_the_requester_may_see(submit):
    root = submit(who="alpha")

    with pytest.raises(gt.TaskNotFound):
        submit(who="beta", parent=root.id)


# --- faults ------------------------------------------------------------------


def test_the_latest_fault_has_novas_fields(engine, view, submit):
    failed = end(engine, submit(fail_at="step-1"))

    assert view.latest_fault(IMAGE) == nova.Fault(
        code="check_refused",
        created=failed.finished_at,
        message="step-1 was told so",
        details=failed.failure.advice,
        task_id=failed.id,
    )


def test_a_later_success_of_the_same_type_makes_it_good(engine, view, submit):
    end(engine, submit(fail_at="step-1"))
    end(engine, submit("other"))
    before = view.latest_fault(IMAGE)

    end(engine, submit())

    assert before is not None
    assert view.latest_fault(IMAGE) is None


def test_an_earlier_success_does_not(engine, view, submit):
    end(engine, submit())
    failed = end(engine, submit(fail_at="step-1"))

    assert view.latest_fault(IMAGE).task_id == failed.id


def test_the_last_of_several_is_the_latest(engine, view, submit):
    end(engine, submit(fail_at="step-1"))
    last = end(engine, submit("other", fail_at="step-2"))

    assert view.latest_fault(IMAGE).task_id == last.id


def test_what_was_cancelled_is_no_fault(engine, view, submit):
    failed = end(engine, submit(fail_at="step-1"))
    engine.cancel(submit("other").id)

    assert view.latest_fault(IMAGE).task_id == failed.id


def test_there_is_none_of_another_project(engine, view, submit):
    end(engine, submit(fail_at="step-1"))

    assert view.latest_fault(IMAGE, BETA) is None


# --- states ------------------------------------------------------------------


def test_the_state_is_the_type_of_the_oldest_that_works(engine, view, submit):
    seen = [view.task_state(IMAGE)]
    first = submit("other")
    submit()
    seen.append(view.task_state(IMAGE))
    end(engine, first)
    seen.append(view.task_state(IMAGE))

    assert seen == [None, "other", "about"]


def test_one_that_only_holds_the_image_counts_too(engine, view, submit):
    task = submit("elsewhere", shares=[f"image:{IMAGE}"])
    held = view.task_state(IMAGE)
    end(engine, task)

    assert held == "elsewhere"
    assert view.task_state(IMAGE) is None


# --- events ------------------------------------------------------------------


def test_events_are_the_steps_with_their_ends(engine, view, submit):
    task = end(engine, submit(fail_at="step-1"))

    events = {event.event: event for event in view.events(task.id)}

    assert events["step-0"].result == "Success"
    assert events["step-0"].finish_time >= events["step-0"].start_time
    failed = events["step-1"]
    assert (failed.result, failed.message) == ("Error", "step-1 was told so")
    assert "TaskError" in failed.traceback
    assert events["submitted"].result is None


def test_a_step_at_work_has_no_end(engine, view, submit):
    task = submit(die_at="step-1")
    engines.die(engine)

    events = {event.event: event for event in view.events(task.id)}

    assert "step-1" not in events or events["step-1"].finish_time is None
