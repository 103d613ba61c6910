# SPDX-License-Identifier: Apache-2.0
"""TaskFlow's persistence backend over our tables, fenced.

One object serves one run of one task. A checkpoint is one statement and one
commit: ``UPDATE atoms ... WHERE id = :id AND fence = :mine``. The fence is
compared in the row that is written, because a claim raises it there: compared
in the task's row, a writer frozen between its UPDATE and its COMMIT wrote
over its successor on PostgreSQL.
"""

from collections.abc import Callable
from collections.abc import Iterator
import dataclasses
import json
import logging
import threading
import time
from typing import Any

import sqlalchemy as sa
from taskflow import states
from taskflow.persistence import base
from taskflow.persistence import models as taskflow_models

from glance_tasks import exceptions
from glance_tasks.persistence import database as db
from glance_tasks.persistence import failures
from glance_tasks.persistence import flows
from glance_tasks.persistence import models

LOG = logging.getLogger(__name__)

# How long a checkpoint waits out a database that restarts before the run is
# left to be resumed. PostgreSQL and MariaDB restart within five seconds.
OUTAGE_S = 10.0

_Row = dict[str, Any]

#: Makes a scrubbed record of a failure of the atom that is named.
Reduce = Callable[[Any, str | None], failures.StoredFailure]

# Built once: building a statement takes longer than PostgreSQL takes to run
# it. TaskFlow's storage lock lets one thread in at a time.
_SAVE_FLOW = (
    sa.update(models.FLOWS)
    .where(models.FLOWS.c.task_id == sa.bindparam("held_id"))
    .where(models.FLOWS.c.fence == sa.bindparam("held_fence"))
    .values(state=sa.bindparam("state"))
)
_SAVE_ATOM = (
    sa.update(models.ATOMS)
    .where(models.ATOMS.c.id == sa.bindparam("atom_id"))
    .where(models.ATOMS.c.task_id == sa.bindparam("held_id"))
    .where(models.ATOMS.c.fence == sa.bindparam("held_fence"))
    .values(
        saved_at=models.now(),
        **{
            name: sa.bindparam(name)
            for name in (
                "state",
                "intention",
                "results",
                "failure",
                "revert_results",
                "revert_failure",
            )
        },
    )
)


class CheckpointBackend(base.Backend):  # type: ignore[misc]
    """Where one run of one task keeps its flow.

    Shared by the threads of the run. After :meth:`refuse` every write raises
    ``RunInterrupted``: that is how a run is stopped without TaskFlow recording
    the stop as a failure. A write that another claim fenced off raises
    ``LeaseLost``.
    """

    def __init__(
        self,
        database: db.Database,
        task_id: str,
        fence: int,
        *,
        flow: flows.StoredFlow,
        keep_running: bool,
        reduce: Reduce = failures.reduce,
    ) -> None:
        """Serve the run that holds ``fence``.

        :param flow: what is written of the flow at its first run
        :param reduce: makes a scrubbed record of a failure
        :param keep_running: whether the state RUNNING is written; a parallel
            engine needs it, because an atom can be at work when another fails
        """
        super().__init__({})
        self.database = database
        self.task_id = task_id
        self.fence = fence
        self._flow = flow
        self._keep_running = keep_running
        self._reduce = reduce
        self._refused = threading.Event()
        self._writer = database.writer()
        self._written: dict[str, _Row] = {}
        self._flow_state: str | None = None

    def refuse(self) -> None:
        """Write nothing from now on; safe from any thread and signal."""
        self._refused.set()

    def get_connection(self) -> "CheckpointConnection":
        """Give what TaskFlow's storage talks to."""
        return CheckpointConnection(self)

    def close(self) -> None:
        """Give the connection back; the database is not ours to close."""
        self._writer.close()

    def load(self, name: str) -> taskflow_models.FlowDetail:
        """Give the flow as it was last checkpointed, or a new one."""
        detail = taskflow_models.FlowDetail(name, self.task_id)
        with self.database.read() as connection:
            detail.state = connection.scalar(
                sa.select(models.FLOWS.c.state).where(
                    models.FLOWS.c.task_id == self.task_id
                )
            )
            rows = connection.execute(
                sa.select(models.ATOMS)
                .where(models.ATOMS.c.task_id == self.task_id)
                .order_by(models.ATOMS.c.position)
            ).mappings()
            for row in rows:
                atom = _decode(row)
                self._written[atom.uuid] = self._encode(atom)
                detail.add(atom)
        self._flow_state = detail.state
        return detail

    def save_flow(self, detail: taskflow_models.FlowDetail) -> None:
        """Write what is new in the flow: first its rows, later its end."""
        new = [atom for atom in detail if atom.uuid not in self._written]
        if new:
            self._insert(detail, new)
        elif detail.state != self._flow_state and _is_end(detail):
            self._checkpoint(_SAVE_FLOW, {"state": detail.state})
            self._flow_state = detail.state

    def save_atom(self, detail: taskflow_models.AtomDetail) -> None:
        """Write what a restart needs to know of the atom, if it changed."""
        if detail.state == states.RUNNING and not self._keep_running:
            # The serial engine runs one atom at a time: after a crash it is
            # the first without a checkpoint, whatever its row says.
            return
        row = self._encode(detail)
        if row == self._written.get(detail.uuid):
            return
        self._checkpoint(_SAVE_ATOM, {"atom_id": detail.uuid, **row})
        self._written[detail.uuid] = row

    def _checkpoint(self, statement: sa.Update, values: _Row) -> None:
        """Write one row, waiting out a database that restarts."""
        held = {"held_id": self.task_id, "held_fence": self.fence}
        until = time.monotonic() + OUTAGE_S
        while True:
            self._check()
            try:
                matched = self._writer.run(statement, {**held, **values})
            except exceptions.DatabaseUnreachable as error:
                if time.monotonic() > until:
                    raise exceptions.DatabaseGone(str(error)) from error
                LOG.warning("Task %s: %s; trying again", self.task_id, error)
                self._refused.wait(0.5)
                continue
            if matched != 1:
                raise self._lost()
            return

    def _insert(
        self,
        detail: taskflow_models.FlowDetail,
        atoms: list[taskflow_models.AtomDetail],
    ) -> None:
        rows = [
            {
                "id": atom.uuid,
                "task_id": self.task_id,
                "position": position,
                "kind": taskflow_models.atom_detail_type(atom),
                "name": atom.name,
                "version": ".".join(map(str, atom.version or (1, 0))),
                "fence": self.fence,
                **self._encode(atom),
            }
            for position, atom in enumerate(atoms)
        ]
        flow = {
            "task_id": self.task_id,
            "name": detail.name,
            "state": None,
            **dataclasses.asdict(self._flow),
            "fence": self.fence,
        }
        self._check()
        try:
            with self.database.write() as connection:
                # The lock keeps a claim out until these rows can be fenced.
                held = connection.scalar(
                    sa.select(models.TASKS.c.fence)
                    .where(models.TASKS.c.id == self.task_id)
                    .with_for_update()
                )
                if held != self.fence:
                    raise self._lost()
                connection.execute(sa.insert(models.FLOWS), [flow])
                connection.execute(sa.insert(models.ATOMS), rows)
        except exceptions.DatabaseUnreachable as error:
            # Not tried again: nobody knows whether the rows are there.
            raise exceptions.DatabaseGone(str(error)) from error
        self._written.update({atom.uuid: self._encode(atom) for atom in atoms})

    def _encode(self, atom: taskflow_models.AtomDetail) -> _Row:
        return _encode(atom, self._reduce)

    def _check(self) -> None:
        if self._refused.is_set():
            raise exceptions.RunInterrupted("the run was told to stop")

    def _lost(self) -> exceptions.LeaseLost:
        return exceptions.LeaseLost(
            f"task {self.task_id} is no longer held by claim {self.fence}"
        )


def _is_end(detail: taskflow_models.FlowDetail) -> bool:
    """Tell whether a flow in this state must not be run again.

    TaskFlow also calls FAILURE what broke it on the way, with nothing undone;
    that one must be run again, to be undone. SUCCESS needs no writing: every
    atom has its checkpoint.
    """
    if detail.state == states.FAILURE:
        return any(atom.revert_failure for atom in detail)
    return bool(detail.state == states.REVERTED)


def _encode(atom: taskflow_models.AtomDetail, reduce: Reduce) -> _Row:
    results = atom.results
    if isinstance(atom, taskflow_models.RetryDetail):
        # A retry controller is no atom of ours, whose results are JSON: one
        # that tries sets in turn would break the flow, with nothing undone.
        results = [
            [
                _as_json(data),
                {key: reduce(f, key) for key, f in failed.items()},
            ]
            for data, failed in atom.results
        ]
    return {
        "state": atom.state,
        "intention": atom.intention,
        "results": _dump(results),
        "failure": _dump_failure(atom.failure, atom.name, reduce),
        "revert_results": _dump(atom.revert_results),
        "revert_failure": _dump_failure(
            atom.revert_failure, atom.name, reduce
        ),
    }


def _decode(row: Any) -> taskflow_models.AtomDetail:
    kind = taskflow_models.atom_detail_class(row["kind"])
    atom = kind(row["name"], row["id"])
    atom.state = row["state"]
    atom.intention = row["intention"]
    atom.version = row["version"]
    results = _parse(row["results"])
    if kind is taskflow_models.RetryDetail:
        results = [
            (data, {key: failures.restore(f) for key, f in failed.items()})
            for data, failed in results or []
        ]
    atom.results = results
    atom.revert_results = _parse(row["revert_results"])
    failure, undone = _parse(row["failure"]), _parse(row["revert_failure"])
    atom.failure = failures.restore(failure) if failure else None
    atom.revert_failure = failures.restore(undone) if undone else None
    return atom


def _dump(value: Any) -> str | None:
    return None if value is None else json.dumps(value)


def _as_json(value: Any) -> Any:
    return json.loads(json.dumps(value, default=repr, skipkeys=True))


def _dump_failure(failure: Any, name: str, reduce: Reduce) -> str | None:
    if failure is None:
        return None
    stored = reduce(failure, name)
    # Encoded again and again while TaskFlow reverts; the same each time.
    failure.stored = stored
    return json.dumps(stored)


def _parse(text: str | None) -> Any:
    return None if text is None else json.loads(text)


class CheckpointConnection(base.Connection):  # type: ignore[misc]
    """The verbs of TaskFlow's storage, those that its engines call."""

    def __init__(self, backend: CheckpointBackend) -> None:
        """Talk to ``backend``."""
        self._backend = backend

    @property
    def backend(self) -> CheckpointBackend:
        """The backend this connection belongs to."""
        return self._backend

    def close(self) -> None:
        """Do nothing: connections to the database are pooled."""

    def upgrade(self) -> None:
        """Do nothing: 'glance-tasks db sync' brings the tables up to date."""

    def validate(self) -> None:
        """Do nothing: the engine checked the schema when it was made."""

    def clear_all(self) -> None:
        """Refuse: only the reaper deletes."""
        raise exceptions.TaskConflict("flows are deleted by the reaper only")

    def update_atom_details(
        self, atom_detail: taskflow_models.AtomDetail
    ) -> taskflow_models.AtomDetail:
        """Checkpoint an atom; what was given satisfies TaskFlow."""
        self._backend.save_atom(atom_detail)
        return atom_detail

    def update_flow_details(
        self, flow_detail: taskflow_models.FlowDetail
    ) -> taskflow_models.FlowDetail:
        """Write a flow's rows or its end."""
        self._backend.save_flow(flow_detail)
        return flow_detail

    def get_flow_details(
        self, fd_uuid: str, lazy: bool = False
    ) -> taskflow_models.FlowDetail:
        """Give this run's flow."""
        return self._backend.load(fd_uuid)

    def get_atoms_for_flow(
        self, fd_uuid: str
    ) -> Iterator[taskflow_models.AtomDetail]:
        """Give the atoms of this run's flow."""
        yield from self._backend.load(fd_uuid)

    def get_atom_details(self, ad_uuid: str) -> taskflow_models.AtomDetail:
        """Give one atom of this run's flow."""
        return self._backend.load(self._backend.task_id).find(ad_uuid)

    def get_flows_for_book(
        self, book_uuid: str
    ) -> Iterator[taskflow_models.FlowDetail]:
        """Give the one flow there is."""
        yield self._backend.load(book_uuid)

    def save_logbook(
        self, book: taskflow_models.LogBook
    ) -> taskflow_models.LogBook:
        """Take a logbook's flows; the book itself has no row."""
        for detail in book:
            self._backend.save_flow(detail)
        return book

    def destroy_logbook(self, book_uuid: str) -> None:
        """Refuse: only the reaper deletes."""
        raise exceptions.TaskConflict("flows are deleted by the reaper only")

    def get_logbook(
        self, book_uuid: str, lazy: bool = False
    ) -> taskflow_models.LogBook:
        """Give a book around this run's flow."""
        book = taskflow_models.LogBook(book_uuid, uuid=book_uuid)
        book.add(self._backend.load(book_uuid))
        return book

    def get_logbooks(
        self, lazy: bool = False
    ) -> Iterator[taskflow_models.LogBook]:
        """Give the one book there is."""
        yield self.get_logbook(self._backend.task_id)
