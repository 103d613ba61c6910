# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: one statement each, fenced, on every database."""

import contextlib
import json

import pytest
import sqlalchemy as sa
from taskflow import states
from taskflow.persistence import models as taskflow_models

from glance_tasks import exceptions
from glance_tasks.persistence import checkpoints
from glance_tasks.persistence import flows
from glance_tasks.persistence import models
from glance_tasks.testing import cuts
from tests.support import engines
from tests.support import task_types
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
    cutter = cuts.Cutter()

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
        flow=flows.StoredFlow("f" * 64, "1.0", None),
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
