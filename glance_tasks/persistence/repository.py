# SPDX-License-Identifier: Apache-2.0
"""Tasks as rows: written by one statement each, read as snapshots.

Whoever asks is filtered here, so that no door can forget it: a task of
another project does not exist for a requester.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
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
from glance_tasks.persistence import locks
from glance_tasks.persistence import models
from glance_tasks.persistence import notices
from glance_tasks.persistence import secrets

_TASKS = models.TASKS

# What a new task's row has as the task has it.
_AS_IT_IS = (
    *("id", "type", "owner", "user_id", "request_id", "image_id", "retry_of"),
    *("parent_id", "idempotency_key", "time_limit", "priority", "fence"),
)

#: Queues a task, by its id and priority, within a transaction.
Post = Callable[[sa.Connection, str, int], None]


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

    def __init__(
        self, database: db.Database, *, announces: bool = False
    ) -> None:
        """Read and write ``database``.

        :param announces: whether it is told what becomes of tasks
        """
        self._database = database
        self._announces = announces

    # --- submit --------------------------------------------------------------

    def add(
        self,
        connection: sa.Connection,
        new: task.Task,
        queue_reason: str | None = None,
    ) -> None:
        """Write a new task within the submit's transaction.

        :raises TaskConflict: when it retries a task that was retried already,
            or its idempotency key belongs to another
        """
        now = models.now()
        values = {
            **{name: getattr(new, name) for name in _AS_IT_IS},
            "status": new.status.value,
            "phase": new.phase.value,
            "input": json.dumps(dict(new.input)),
            "plan": json.dumps(dict(new.plan)),
            "progress": "{}",
            "queue_reason": queue_reason,
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
        if self._announces:
            notices.add(connection, new.id, "task.create")

    # --- reading -------------------------------------------------------------

    def get(
        self, task_id: str, requester: task.Requester | None = None
    ) -> task.Task:
        """Give one task.

        :raises TaskNotFound: when there is none the requester may see
        """
        check_id(task_id)
        query = visible(sa.select(_TASKS, LOST_SINCE), requester)
        with self._database.read() as connection:
            row = (
                connection.execute(query.where(_TASKS.c.id == task_id))
                .mappings()
                .first()
            )
        if row is None:
            raise exceptions.TaskNotFound(f"there is no task {task_id}")
        return snapshot(dict(row))

    def of_key(self, owner: str, key: str) -> task.Task | None:
        """Give the task that was submitted with an idempotency key."""
        query = sa.select(_TASKS).where(
            _TASKS.c.owner == owner, _TASKS.c.idempotency_key == key
        )
        with self._database.read() as connection:
            row = connection.execute(query).mappings().first()
        return None if row is None else snapshot(dict(row))

    def lock(
        self,
        connection: sa.Connection,
        task_id: str,
        requester: task.Requester | None = None,
    ) -> task.Task:
        """Give one task that nobody else changes until the transaction ends.

        :raises TaskNotFound: when there is none the requester may see
        """
        check_id(task_id)
        query = visible(sa.select(_TASKS), requester)
        found = connection.execute(
            query.where(_TASKS.c.id == task_id).with_for_update()
        )
        row = found.mappings().first()
        if row is None:
            raise exceptions.TaskNotFound(f"there is no task {task_id}")
        return snapshot(dict(row))

    # --- a run ---------------------------------------------------------------

    def holds(self, task_id: str, fence: int) -> bool:
        """Tell whether ``fence`` is still the task's last claim."""
        query = sa.select(_TASKS.c.fence).where(_TASKS.c.id == task_id)
        with self._database.read() as connection:
            return bool(connection.scalar(query) == fence)

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

    def set_stall(
        self, task_id: str, fence: int, stall: task.Stall | None
    ) -> None:
        """Say since when and why the task does not move, or that it does."""
        now = models.now()
        with self._database.single() as connection:
            connection.execute(
                _held(task_id, fence).values(
                    stalled_since=now - stall.seconds if stall else None,
                    stall_reason=stall.reason.value if stall else None,
                    updated_at=now,
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
            "phase": _reported(phase),
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
        post: Post | None = None,
    ) -> bool:
        """Write the outcome: one transaction, everything or nothing.

        :param post: queues the tasks that waited for this one's locks
        :returns: False when the fence is no longer the task's last
        """
        # Whoever cancels it just now locks the same rows.
        return self._database.transact(
            lambda connection: self.close(
                connection, task_id, fence, ending, happened, post
            )
        )

    def close(
        self,
        connection: sa.Connection,
        task_id: str,
        fence: int,
        ending: Ending,
        happened: Iterable[events.Event] = (),
        post: Post | None = None,
    ) -> bool:
        """Write the outcome within a transaction.

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
            "control": None,
            "control_note": None,
            "stalled_since": None,
            "stall_reason": None,
            "finished_at": now,
            "updated_at": now,
            "expires_at": now + ending.time_to_live,
        }
        matched = connection.execute(
            _held(task_id, fence).values(**values)
        ).rowcount
        if matched:
            secrets.shred(connection, [task_id])
            connection.execute(
                sa.delete(models.JOBS).where(models.JOBS.c.task_id == task_id)
            )
            for able, priority in locks.release(connection, task_id):
                if post is not None:
                    post(connection, able, priority)
            events.add(connection, task_id, happened)
            if self._announces:
                notices.add(connection, task_id, f"task.{status}")
        return bool(matched)


#: When the lease ended of whoever holds a task; null while it lasts.
LOST_SINCE = (
    sa.select(models.JOBS.c.lease_until)
    .where(models.JOBS.c.task_id == _TASKS.c.id)
    .where(models.JOBS.c.state == "held")
    .where(models.JOBS.c.lease_until <= models.now())
    .scalar_subquery()
    .label("lost_since")
)


def snapshot(row: Mapping[str, Any]) -> task.Task:
    """Make a task of a row; what a list leaves out is empty."""
    failure = _json(row.get("failure"))
    lost, stall = row.get("lost_since"), row["stall_reason"]
    if lost is not None:
        stall = task.StallReason.CONDUCTOR_LOST
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
        parent_id=row["parent_id"],
        queue_reason=row["queue_reason"],
        priority=row["priority"],
        attempts=row["attempts"],
        fence=row["fence"],
        control=row["control"] and task.Control(row["control"]),
        control_note=row["control_note"],
        idempotency_key=row["idempotency_key"],
        stalled_since=_maybe_moment(
            row["stalled_since"] if lost is None else lost
        ),
        stall_reason=stall and task.StallReason(stall),
        time_limit=row["time_limit"],
        deadline_at=_maybe_moment(row["deadline_at"]),
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


def _reported(phase: task.Phase) -> Any:
    """Give the phase of a run that works: what was asked stays to be seen.

    What the run has read may be older than what the row says.
    """
    if phase not in task.AT_WORK:
        return _TASKS.c.phase
    kept = [task.Phase.PAUSED, task.Phase.QUEUED]
    if phase is not task.Phase.REVERTING:
        kept += [task.Phase.PAUSING, task.Phase.CANCELLING]
    return sa.case(
        (_TASKS.c.phase.in_([one.value for one in kept]), _TASKS.c.phase),
        else_=phase.value,
    )


def visible(query: Any, requester: task.Requester | None) -> Any:
    """Leave out of a query what a requester may not see."""
    if requester is None:
        return query
    return query.where(_TASKS.c.owner == requester.project_id)


def check_id(task_id: str) -> None:
    """Refuse what no task has as its id, and no database as a text.

    :raises TaskNotFound: when it is that
    """
    if not re.fullmatch(r"[!-~]{1,36}", task_id):
        raise exceptions.TaskNotFound(f"there is no task {task_id[:36]!r}")


def _json(text: str | None) -> Any:
    return None if text is None else json.loads(text)


def _maybe_moment(seconds: float | None) -> datetime.datetime | None:
    return None if seconds is None else events.moment(seconds)
