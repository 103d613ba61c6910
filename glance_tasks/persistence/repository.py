# SPDX-License-Identifier: Apache-2.0
"""Tasks as rows: written by one statement each, read as snapshots.

Whoever asks is filtered here, so that no door can forget it: a task of
another project does not exist for a requester.
"""

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import datetime
import json
import re
from typing import Any

from oslo_db import exception as db_exc
import sqlalchemy as sa

from glance_tasks import exceptions
from glance_tasks import task
from glance_tasks.persistence import database as db
from glance_tasks.persistence import events
from glance_tasks.persistence import models
from glance_tasks.persistence import secrets

#: A list never gives more than this many tasks at once, as in Glance.
MAX_LIMIT = 1000

_TASKS = models.TASKS
_HEAVY = ("input", "result", "message", "failure", "plan")
SORT_KEYS = (
    "created_at",
    "updated_at",
    "status",
    "type",
    "id",
)


@dataclasses.dataclass(frozen=True, slots=True)
class Ending:
    """How a task ended: a result, or a failure.

    :ivar time_to_live: seconds until it may be reaped
    """

    time_to_live: float
    result: Mapping[str, Any] | None = None
    failure: task.Failure | None = None


class TaskRepository:
    """The tasks of one database; safe to share between threads.

    Every method raises ``DatabaseUnreachable`` when the database is away.
    """

    def __init__(self, database: db.Database) -> None:
        """Read and write ``database``."""
        self._database = database

    # --- submit --------------------------------------------------------------

    def add(self, connection: sa.Connection, new: task.Task) -> None:
        """Write a new task within the submit's transaction.

        :raises TaskConflict: when it retries a task that was retried already
        """
        now = models.now()
        values = {
            "id": new.id,
            "type": new.type,
            "status": new.status.value,
            "phase": new.phase.value,
            "owner": new.owner,
            "user_id": new.user_id,
            "request_id": new.request_id,
            "image_id": new.image_id,
            "retry_of": new.retry_of,
            "input": json.dumps(dict(new.input)),
            "plan": json.dumps(dict(new.plan)),
            "progress": "{}",
            "priority": new.priority,
            "fence": new.fence,
            "created_at": now,
            "updated_at": now,
        }
        try:
            connection.execute(sa.insert(_TASKS).values(**values))
        except db_exc.DBDuplicateEntry as error:
            raise exceptions.TaskConflict(
                f"task {new.retry_of} was retried already; retry its retry"
                if new.retry_of
                else f"the task {new.id} exists already"
            ) from error

    # --- reading -------------------------------------------------------------

    def get(
        self, task_id: str, requester: task.Requester | None = None
    ) -> task.Task:
        """Give one task.

        :raises TaskNotFound: when there is none the requester may see
        """
        _check_id(task_id)
        query = _visible(sa.select(_TASKS), requester)
        with self._database.read() as connection:
            row = (
                connection.execute(query.where(_TASKS.c.id == task_id))
                .mappings()
                .first()
            )
        if row is None:
            raise exceptions.TaskNotFound(f"there is no task {task_id}")
        return snapshot(row)

    def find(
        self,
        requester: task.Requester | None = None,
        *,
        filters: Mapping[str, str] | None = None,
        limit: int = 25,
        marker: str | None = None,
        sort_key: str = "created_at",
        descending: bool = True,
    ) -> list[task.Task]:
        """List tasks without their input, plan, result and message.

        :param filters: exact values of type, status, image_id, owner,
            request_id or retry_of
        :param marker: the id of the last task of the page before
        :raises TaskNotFound: when the marker is no task the requester may see
        """
        if marker is not None:
            _check_id(marker)
        columns = [c for c in _TASKS.c if c.name not in _HEAVY]
        query = _visible(sa.select(*columns), requester)
        for name, value in (filters or {}).items():
            query = query.where(_TASKS.c[name] == value)
        order = _order(sort_key)
        with self._database.read() as connection:
            if marker is not None:
                query = query.where(
                    self._after(
                        connection, requester, marker, order, descending
                    )
                )
            query = query.order_by(
                *(c.desc() if descending else c.asc() for c in order)
            ).limit(min(limit, MAX_LIMIT))
            rows = connection.execute(query).mappings().all()
        return [snapshot(row) for row in rows]

    @staticmethod
    def _after(
        connection: sa.Connection,
        requester: task.Requester | None,
        marker: str,
        order: Sequence[sa.Column[Any]],
        descending: bool,
    ) -> sa.ColumnElement[bool]:
        row = connection.execute(
            _visible(sa.select(*order), requester).where(_TASKS.c.id == marker)
        ).first()
        if row is None:
            raise exceptions.TaskNotFound(f"there is no task {marker}")
        steps = []
        for index, column in enumerate(order):
            same = [
                c.is_not_distinct_from(v)
                for c, v in zip(order[:index], row[:index], strict=True)
            ]
            value = row[index]
            further = column < value if descending else column > value
            steps.append(sa.and_(*same, further))
        return sa.or_(*steps)

    # --- a run ---------------------------------------------------------------

    def holds(self, task_id: str, fence: int) -> bool:
        """Tell whether ``fence`` is still the task's last claim."""
        query = sa.select(_TASKS.c.fence).where(_TASKS.c.id == task_id)
        with self._database.read() as connection:
            return bool(connection.scalar(query) == fence)

    def stored_fingerprint(self, task_id: str) -> str | None:
        """Give the fingerprint of the graph at the first run."""
        query = sa.select(models.FLOWS.c.fingerprint).where(
            models.FLOWS.c.task_id == task_id
        )
        with self._database.read() as connection:
            stored: str | None = connection.scalar(query)
        return stored

    def set_queue_reason(
        self, task_id: str, fence: int, reason: str | None
    ) -> None:
        """Say why the task does not run."""
        with self._database.single() as connection:
            connection.execute(
                _held(task_id, fence).values(
                    queue_reason=reason, updated_at=models.now()
                )
            )

    def note(
        self,
        task_id: str,
        fence: int,
        *,
        phase: task.Phase,
        progress: Mapping[str, Any],
        advanced: bool,
        happened: Iterable[events.Event] = (),
    ) -> bool:
        """Write what a running task reports, in one transaction.

        :returns: False when the fence is no longer the task's last; then
            nothing was written
        """
        values: dict[str, Any] = {
            "phase": phase.value,
            "progress": json.dumps(dict(progress)),
            "queue_reason": None,
            "updated_at": models.now(),
        }
        if advanced:
            values["advanced_at"] = models.now()
        with self._database.write() as connection:
            matched = connection.execute(
                _held(task_id, fence).values(**values)
            ).rowcount
            if matched:
                events.add(connection, task_id, happened)
        return bool(matched)

    def end(
        self,
        task_id: str,
        fence: int,
        ending: Ending,
        happened: Iterable[events.Event] = (),
    ) -> bool:
        """Write the outcome: one transaction, everything or nothing.

        Status, result or message, expiry, events; locks are released, secrets
        shredded and the job is gone.

        :returns: False when the fence is no longer the task's last
        """
        failure = ending.failure
        status = task.Status.FAILURE if failure else task.Status.SUCCESS
        now = models.now()
        values = {
            "status": status.value,
            "phase": task.Phase.DONE.value,
            "result": None if failure else json.dumps(ending.result or {}),
            "message": failure.message if failure else None,
            "failure": json.dumps(failure.to_dict()) if failure else None,
            "queue_reason": None,
            "finished_at": now,
            "updated_at": now,
            "expires_at": now + ending.time_to_live,
        }
        with self._database.write() as connection:
            matched = connection.execute(
                _held(task_id, fence).values(**values)
            ).rowcount
            if matched:
                secrets.shred(connection, [task_id])
                for table in (models.LOCKS, models.JOBS):
                    connection.execute(
                        sa.delete(table).where(table.c.task_id == task_id)
                    )
                events.add(connection, task_id, happened)
        return bool(matched)


def snapshot(row: Mapping[str, Any]) -> task.Task:
    """Make a task of a row; what a list leaves out is empty."""
    failure = _json(row.get("failure"))
    return task.Task(
        id=row["id"],
        type=row["type"],
        status=task.Status(row["status"]),
        phase=task.Phase(row["phase"]),
        owner=row["owner"],
        input=_json(row.get("input")) or {},
        plan=_json(row.get("plan")) or {},
        result=_json(row.get("result")),
        message=row.get("message"),
        failure=task.Failure.from_dict(failure) if failure else None,
        progress=_json(row["progress"]) or {},
        image_id=row["image_id"],
        user_id=row["user_id"],
        request_id=row["request_id"],
        retry_of=row["retry_of"],
        queue_reason=row["queue_reason"],
        priority=row["priority"],
        attempts=row["attempts"],
        fence=row["fence"],
        created_at=events.moment(row["created_at"]),
        updated_at=events.moment(row["updated_at"]),
        started_at=_maybe_moment(row["started_at"]),
        finished_at=_maybe_moment(row["finished_at"]),
        expires_at=_maybe_moment(row["expires_at"]),
    )


def _held(task_id: str, fence: int) -> sa.Update:
    """Begin an update that only the last claim of a living task makes."""
    return (
        sa.update(_TASKS)
        .where(_TASKS.c.id == task_id)
        .where(_TASKS.c.fence == fence)
        .where(_TASKS.c.finished_at.is_(None))
    )


def _visible(query: Any, requester: task.Requester | None) -> Any:
    if requester is None:
        return query
    return query.where(_TASKS.c.owner == requester.project_id)


def _order(sort_key: str) -> list[sa.Column[Any]]:
    names = [sort_key, *(n for n in ("created_at", "id") if n != sort_key)]
    return [_TASKS.c[name] for name in names]


def _check_id(task_id: str) -> None:
    """Refuse what no task has as its id, and no database as a text."""
    if not re.fullmatch(r"[!-~]{1,36}", task_id):
        raise exceptions.TaskNotFound(f"there is no task {task_id[:36]!r}")


def _json(text: str | None) -> Any:
    return None if text is None else json.loads(text)


def _maybe_moment(seconds: float | None) -> datetime.datetime | None:
    return None if seconds is None else events.moment(seconds)
