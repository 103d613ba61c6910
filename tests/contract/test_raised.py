# SPDX-License-Identifier: Apache-2.0
"""Whatever fails ends as a failure and is undone, on every database."""

import contextlib
import logging

import pytest
from taskflow import retry
from taskflow.patterns import linear_flow

import glance_tasks as gt
from tests.support import engines
from tests.support import task_types
from tests.support.errors import CANARY
from tests.support.errors import KINDS


@pytest.fixture(autouse=True)
def silence(caplog):
    """Keep TaskFlow's words from xdist: some of these are no UTF-8."""
    caplog.set_level(logging.CRITICAL + 1, "taskflow")


@pytest.fixture
def engine(tmp_path, clean_database_url):
    with engines.opened(tmp_path, database_url=clean_database_url) as engine:
        yield engine


@pytest.fixture
def world(tmp_path):
    return task_types.World(tmp_path / "world")


class Raise(gt.Atom):
    """Raise an exception of the kind that the input names, or give it.

    Reverting raises it too if so told.
    """

    behaviour = "idempotent"

    def execute(self, kind):
        """Raise it."""
        raise KINDS[kind]

    def revert(self, **kwargs):
        """Raise it again if told to."""
        if self.run.input.get("fail_undo"):
            raise KINDS[self.run.input["kind"]]


class RaiseTask(task_types.LineTask):
    """An atom that marks, then one that raises."""

    optional_steps = ()

    def build(self, ctx):
        """Build the two."""
        return linear_flow.Flow("raise").add(
            task_types.Mark(ctx, name="step-0"), Raise(ctx)
        )


class RaiseInPartTask(task_types.LineTask):
    """The same under a retry controller."""

    optional_steps = ()

    def build(self, ctx):
        """Build a part that is tried twice."""
        part = linear_flow.Flow("part", retry=retry.Times(2, name="twice"))
        return linear_flow.Flow("raise").add(
            task_types.Mark(ctx, name="step-0"), part.add(Raise(ctx))
        )


class RaiseInArmTask(RaiseTask):
    """The same in the parallel engine."""

    engine = "parallel"


RAISING = {
    "row": RaiseTask,
    "part": RaiseInPartTask,
    "arm": RaiseInArmTask,
}


@contextlib.contextmanager
def raised(tmp_path, database_url, where, **told):
    """Run a task for each kind; give the engine, tasks and worlds by kind."""
    with engines.opened(
        tmp_path, database_url=database_url, types=RAISING
    ) as engine:
        ended = {}
        for kind in KINDS:
            world = task_types.World(tmp_path / kind)
            task = engine.submit(where, world.given(kind=kind, **told))
            engines.run_all(engine)
            ended[kind] = engine.get(task.id), world
        yield engine, ended


@pytest.mark.parametrize("where", RAISING)
def test_whatever_is_raised_ends_as_a_failure_and_is_undone(
    tmp_path, clean_database_url, where
):
    with raised(tmp_path, clean_database_url, where) as (engine, ended):
        seen = {
            kind: (task.status, task.failure.step, world.left())
            for kind, (task, world) in ended.items()
        }

        assert seen == dict.fromkeys(KINDS, ("failure", "Raise", set()))
        assert not any(t.failure.left_behind for t, _ in ended.values())
        assert CANARY not in repr(engines.dump(engine))


def test_whatever_an_undoing_raises_is_named_as_left_behind(
    tmp_path, clean_database_url
):
    told = {"fail_undo": "Raise"}

    with raised(tmp_path, clean_database_url, "row", **told) as (
        engine,
        ended,
    ):
        seen = {
            kind: (
                [left.partition(":")[0] for left in task.failure.left_behind],
                world.left(),
            )
            for kind, (task, world) in ended.items()
        }

        assert seen == dict.fromkeys(KINDS, (["Raise", "step-0"], {"step-0"}))
        assert CANARY not in repr(engines.dump(engine))


def test_the_support_id_leads_to_the_traceback(tmp_path, world):
    with engines.opened(tmp_path, types=RAISING) as engine:
        task = engine.submit("row", world.given(kind="plain"))
        engines.run_all(engine)

        failure = engine.get(task.id).failure

        (event,) = [
            e
            for e in engine.events(task.id)
            if e.detail and e.detail.get("support_id") == failure.support_id
        ]
        assert failure.support_id in failure.message
        assert "ValueError: plain" in event.detail["traceback"]


class GiveTask(task_types.LineTask):
    """An atom that gives what cannot be kept."""

    optional_steps = ()
    given = None

    def build(self, ctx):
        """Build an atom that marks and one that gives."""
        return linear_flow.Flow("give").add(
            task_types.Mark(ctx, name="step-0"), Give(ctx, provides="it")
        )


class Give(gt.Atom):
    """Give what the kind names."""

    behaviour = "idempotent"

    def execute(self, kind):
        """Give it."""
        return {
            "bytes": b"x",
            "object": object(),
            "huge": "x" * 1_000_000,
            "failure": ValueError("x"),
        }[kind]


@pytest.mark.parametrize("kind", ["bytes", "object", "huge", "failure"])
def test_a_result_that_cannot_be_kept_is_a_failure_and_undone(
    tmp_path, clean_database_url, world, kind
):
    with engines.opened(
        tmp_path, database_url=clean_database_url, types={"give": GiveTask}
    ) as engine:
        task = engine.submit("give", world.given(kind=kind))

        engines.run_all(engine)

        assert engine.get(task.id).failure.code == "result_invalid"
        assert world.left() == set()


class ObjectsTask(task_types.LineTask):
    """A retry controller whose values are no JSON."""

    optional_steps = ()

    def build(self, ctx):
        """Build a part that is tried with each of two sets."""
        values = retry.ForEach([{1}, {2}], name="each", provides="value")
        part = linear_flow.Flow("part", retry=values)
        return linear_flow.Flow("objects").add(
            task_types.Mark(ctx, name="step-0"),
            part.add(task_types.Mark(ctx, name="step-1")),
        )


def test_a_retry_controllers_value_that_is_no_json_wedges_nothing(
    tmp_path, world
):
    with engines.opened(tmp_path, types={"objects": ObjectsTask}) as engine:
        try:
            task = engine.submit("objects", world.given())
        except gt.BrokenPlugin:
            return  # to refuse it at once is as good

        for _ in range(20):
            if engine.get(task.id).ended:
                break
            with contextlib.suppress(Exception):
                engines.run_all(engine)
            engines.lapse(engine)

        assert engine.get(task.id).status == "success"
        assert world.left() == {"step-0", "step-1"}
