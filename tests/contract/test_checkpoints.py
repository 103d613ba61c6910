# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: one statement each, fenced, on every database."""

import contextlib
import json

import pytest
import sqlalchemy as sa
from taskflow import retry
from taskflow import states
from taskflow.patterns import linear_flow
from taskflow.persistence import models as taskflow_models

import glance_tasks as gt
from glance_tasks import exceptions
from glance_tasks.persistence import checkpoints
from glance_tasks.persistence import models
from tests.support import cutting
from tests.support import engines
from tests.support import task_types
from tests.support.errors import CANARY
from tests.support.errors import KINDS
from tests.support.holding import Held
from tests.support.holding import in_thread


@pytest.fixture
def engine(tmp_path, clean_database_url):
    with engines.opened(tmp_path, database_url=clean_database_url) as engine:
        yield engine


@pytest.fixture
def world(tmp_path):
    return task_types.World(tmp_path / "world")


@contextlib.contextmanager
def statements(engine):
    """Give a list to which every statement is added that is executed."""
    seen = []

    def executing(conn, cursor, statement, parameters, context, many):
        seen.append((statement, parameters))

    sa.event.listen(engine.database.engine, "before_cursor_execute", executing)
    try:
        yield seen
    finally:
        sa.event.remove(
            engine.database.engine, "before_cursor_execute", executing
        )


def of_table(seen, verb, table):
    return [s for s, _ in seen if s.startswith(verb) and f" {table}" in s]


# --- what is written ---------------------------------------------------------


def test_a_run_writes_one_row_by_one_statement_for_each_atom(engine, world):
    engine.submit("line", world.given())
    claim = engines.claim(engine)
    cutter = cutting.Cutter()

    with statements(engine) as seen, cutter.watching(engine.database.engine):
        engines.run(engine, claim)

    # Six atoms and the check of the result; besides, the rows and the end.
    assert len(of_table(seen, "UPDATE", "gt_atoms")) == 7
    assert len(of_table(seen, "INSERT", "gt_atoms")) == 1
    assert cutter.writes == 1 + 7 + 1


def test_a_serial_run_never_writes_that_an_atom_runs(engine, world):
    engine.submit("line", world.given())

    with statements(engine) as seen:
        engines.run_all(engine)

    assert states.RUNNING not in repr(seen)


def test_a_parallel_run_writes_that_an_atom_runs(engine, world):
    engine.submit("arms", world.given())

    with statements(engine) as seen:
        engines.run_all(engine)

    assert states.RUNNING in repr(seen)


def test_progress_is_no_checkpoint(engine, world, monkeypatch):
    def execute(self):
        self.update_progress(0.5)
        for done in range(1000):
            self.run.progress.bytes(done, 1000)

    monkeypatch.setattr(task_types.Mark, "execute", execute)
    engine.submit("line", world.given())

    with statements(engine) as seen:
        engines.run_all(engine)

    assert len(of_table(seen, "UPDATE", "gt_atoms")) == 7


# --- one backend -------------------------------------------------------------


def backend_of(engine, task):
    return checkpoints.CheckpointBackend(
        engine.database,
        task.id,
        task.fence,
        fingerprint="f" * 64,
        type_version="1.0",
        keep_running=True,
    )


@pytest.fixture
def held(engine, world):
    """Submit a task and claim it."""
    engine.submit("line", world.given())
    return engines.claim(engine).task


@pytest.fixture
def backend(engine, held):
    """Give the backend of a run whose flow of one atom has its rows."""
    backend = backend_of(engine, held)
    flow = backend.load("flow")
    flow.add(taskflow_models.TaskDetail("atom", "a" * 32))
    backend.save_flow(flow)
    with contextlib.closing(backend):
        yield backend


def atom_of(backend, state=states.SUCCESS, results=None):
    atom = next(iter(backend.load("flow")))
    atom.state = state
    atom.results = {"a": 1} if results is None else results
    return atom


def test_a_checkpoint_comes_back(engine, held, backend):
    backend.save_atom(atom_of(backend))

    (found,) = backend_of(engine, held).load("flow")

    assert (found.name, found.state) == ("atom", states.SUCCESS)
    assert found.results == {"a": 1}


def test_what_has_not_changed_is_not_written(engine, backend):
    atom = atom_of(backend)
    backend.save_atom(atom)

    with statements(engine) as seen:
        backend.save_atom(atom)
        backend.save_atom(atom.copy())
        backend.save_atom(atom_of(backend))

    assert of_table(seen, "UPDATE", "gt_atoms") == []


@pytest.mark.parametrize(
    "change",
    [
        {"state": states.REVERTED},
        {"intention": states.REVERT},
        {"results": {"a": 2}},
        {"revert_results": 1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_a_restart_needs_is_written(engine, held, backend, change):
    atom = atom_of(backend)
    backend.save_atom(atom)
    for name, value in change.items():
        setattr(atom, name, value)

    backend.save_atom(atom)

    (found,) = backend_of(engine, held).load("flow")
    for name, value in change.items():
        assert getattr(found, name) == value


def end_of(backend):
    flow = backend.load("flow")
    flow.state = states.REVERTED
    return flow


def rows_of_another(backend):
    flow = taskflow_models.FlowDetail("flow", backend.task_id)
    flow.add(taskflow_models.TaskDetail("other", "b" * 32))
    return flow


WRITES = {
    "atom": lambda backend: backend.save_atom(atom_of(backend)),
    "end": lambda backend: backend.save_flow(end_of(backend)),
    "rows": lambda backend: backend.save_flow(rows_of_another(backend)),
    "verb": lambda backend: backend.get_connection().update_atom_details(
        atom_of(backend)
    ),
}


@pytest.mark.parametrize("write", WRITES)
def test_after_the_next_claim_every_write_is_refused(engine, backend, write):
    engines.lapse(engine)
    engines.claim(engine, holder="successor")
    before = engines.dump(engine)

    with pytest.raises(exceptions.LeaseLost):
        WRITES[write](backend)

    assert engines.dump(engine) == before


@pytest.mark.parametrize("write", WRITES)
def test_after_the_task_was_given_back_every_write_is_refused(
    engine, backend, write
):
    with engine.database.read() as connection:
        fence = connection.scalar(sa.select(models.JOBS.c.fence))
    assert fence == backend.fence
    engines.lapse(engine)
    engine.board.give_back(engines.claim(engine, holder="successor"))
    before = engines.dump(engine)

    with pytest.raises(exceptions.LeaseLost):
        WRITES[write](backend)

    assert engines.dump(engine) == before


@pytest.mark.parametrize("write", WRITES)
def test_a_run_that_was_told_to_stop_writes_nothing(engine, backend, write):
    before = engines.dump(engine)
    backend.refuse()

    with pytest.raises(exceptions.RunInterrupted) as caught:
        WRITES[write](backend)

    # It still holds the task, and can give it back.
    assert not isinstance(caught.value, exceptions.LeaseLost)
    assert engines.dump(engine) == before


def test_only_the_reaper_deletes(backend):
    connection = backend.get_connection()

    for delete in (
        connection.clear_all,
        lambda: connection.destroy_logbook("x"),
    ):
        with pytest.raises(exceptions.TaskConflict):
            delete()


def test_a_success_of_the_flow_needs_no_write(engine, backend):
    flow = backend.load("flow")
    flow.state = states.SUCCESS

    with statements(engine) as seen:
        backend.save_flow(flow)

    assert of_table(seen, "UPDATE", "gt_flows") == []


# --- two at a time -----------------------------------------------------------


@pytest.fixture
def second(tmp_path, clean_database_url):
    """Give an engine of another process on the same database."""
    with engines.opened(tmp_path, database_url=clean_database_url) as engine:
        yield engine


def updates_atoms(statement):
    return statement.startswith("UPDATE gt_atoms")


def test_a_writer_frozen_before_its_update_writes_nothing(
    engine, second, backend
):
    if engine.database.embedded:
        pytest.skip("SQLite's writer holds the only lock before its UPDATE")
    atom = atom_of(backend)
    with Held(engine, "do_execute", when=updates_atoms) as hold:
        thread, outcome = in_thread(lambda: backend.save_atom(atom))
        assert hold.reached.wait(60)
        engines.lapse(second)
        engines.claim(second, holder="successor")
        before = engines.dump(second)

        hold.go.set()
        thread.join(60)

    assert isinstance(outcome[0], exceptions.LeaseLost)
    assert engines.dump(second) == before


def test_a_writer_that_waits_for_the_claims_row_writes_nothing(
    engine, second, backend
):
    atom = atom_of(backend)
    engines.lapse(second)
    with Held(second, "do_execute", when=updates_atoms, late=True) as hold:
        claiming, claim = in_thread(lambda: engines.claim(second))
        assert hold.reached.wait(60)
        # The claim has raised the fence in the row and not committed.
        writing, outcome = in_thread(lambda: backend.save_atom(atom))
        writing.join(0.5)
        assert writing.is_alive()

        hold.go.set()
        claiming.join(60)
        writing.join(60)

    assert isinstance(outcome[0], exceptions.LeaseLost)
    assert claim[0].task.fence == 2
    (found,) = backend_of(second, claim[0].task).load("flow")
    assert (found.state, found.results) == (None, None)


def test_a_claim_waits_for_a_writer_and_sees_what_it_wrote(
    engine, second, backend
):
    atom = atom_of(backend)
    engines.lapse(second)
    with engine.database.write() as connection:
        # As a server that is frozen between UPDATE and COMMIT holds the row.
        connection.execute(
            sa.update(models.ATOMS)
            .where(models.ATOMS.c.id == atom.uuid)
            .where(models.ATOMS.c.fence == backend.fence)
            .values(state=states.SUCCESS, results=json.dumps({"a": 1}))
        )
        claiming, claim = in_thread(lambda: engines.claim(second))
        claiming.join(0.5)
        assert claiming.is_alive()
    claiming.join(60)

    (found,) = backend_of(second, claim[0].task).load("flow")
    assert found.results == {"a": 1}
    with pytest.raises(exceptions.LeaseLost):
        backend.save_atom(atom)


def test_a_claim_waits_for_the_first_rows_and_fences_them(
    engine, second, held
):
    backend = backend_of(engine, held)
    flow = backend.load("flow")
    flow.add(taskflow_models.TaskDetail("atom", "a" * 32))
    engines.lapse(second)
    with Held(engine, "do_commit") as hold:
        writing, _ = in_thread(lambda: backend.save_flow(flow))
        assert hold.reached.wait(60)
        claiming, claim = in_thread(lambda: engines.claim(second))
        claiming.join(0.5)
        assert claiming.is_alive()

        hold.go.set()
        writing.join(60)
        claiming.join(60)

    assert claim[0].task.fence == 2
    fences = {
        row[-1]
        for table in ("gt_flows", "gt_atoms")
        for row in engines.dump(second)[table]
    }
    assert fences == {2}
    with pytest.raises(exceptions.LeaseLost):
        backend.save_atom(atom_of(backend))
    backend.close()


def test_the_first_rows_of_a_lost_claim_are_not_written(engine, second, held):
    backend = backend_of(engine, held)
    flow = backend.load("flow")
    flow.add(taskflow_models.TaskDetail("atom", "a" * 32))
    engines.lapse(second)
    engines.claim(second)

    with pytest.raises(exceptions.LeaseLost):
        backend.save_flow(flow)

    rows = engines.dump(second)
    assert rows["gt_flows"] == rows["gt_atoms"] == []


# --- retry controllers -------------------------------------------------------


def test_what_a_retry_controller_has_tried_outlives_the_process(engine, world):
    task = engine.submit("tries", world.given(die_at="step-2", dies=2))
    engines.die(engine)
    world.open_gate()

    engines.run_all(engine)

    assert engine.get(task.id).status == "success"
    tried = [line for line in world.journal() if "execute step-2" in line]
    assert tried == [
        "execute step-2 1",
        "execute step-2 2",
        "execute step-2 2",
        "execute step-2 3",
    ]


def test_the_failures_a_retry_controller_has_seen_come_back(engine, world):
    engine.submit("tries", world.given(die_at="step-2", dies=2))
    engines.die(engine)
    claim = engines.claim(engine)

    detail = backend_of(engine, claim.task).load("tries")

    history = next(
        a for a in detail if isinstance(a, taskflow_models.RetryDetail)
    ).results
    assert [data for data, _ in history] == [1, 2]
    (failure,) = history[0][1].values()
    assert failure.exception_str == "attempt 1 was told so"
    assert failure.check("glance_tasks.exceptions.TaskError")


# --- whatever fails ----------------------------------------------------------


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
