# SPDX-License-Identifier: Apache-2.0
"""Locks of tasks on what they work on: shared ones, or one exclusive.

They are taken in the transaction that submits a task and go in the one that
writes its outcome, so a task has them for exactly as long as it lives. A task
that may wait for them has rows that are not granted yet; the transaction that
frees the way grants them. Who comes later waits for those too, so that nobody
waits for ever.
"""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from glance_tasks import exceptions
from glance_tasks import task
from glance_tasks.persistence import events
from glance_tasks.persistence import models

_LOCKS, _TASKS = models.LOCKS, models.TASKS
# No task has it as its id.
_DOOR = ""


def take(
    connection: sa.Connection,
    new: task.Task,
    wanted: Iterable[task.Lock],
    requester: task.Requester | None = None,
    *,
    waits: bool = False,
) -> str | None:
    """Take all locks for a task, within the transaction that submits it.

    Whoever wants one of the same resources at the same time waits until that
    transaction ends, and sees then what it took.

    :param requester: who may not learn the ids of other projects' tasks
    :param waits: whether the task waits for them until :func:`release`
    :returns: what it waits for; None when it has them all
    :raises TaskConflict: when another task has, or waits for, one that does
        not go with it, and this one does not wait
    """
    ours = _strictest(wanted)
    _enter(connection, ours)
    held = _conflict(connection, new.id, ours)
    # Its owner reads what it waits for; who submits it what it is refused for.
    reader = task.Requester(new.owner) if waits and new.owner else requester
    reason = None if held is None else _in_use(*held, reader)
    if reason and not waits:
        raise exceptions.TaskConflict(
            f"{reason}; submit this when that has ended"
        )
    for resource, exclusive in ours.items():
        connection.execute(
            sa.insert(_LOCKS).values(
                resource=resource,
                task_id=new.id,
                exclusive=exclusive,
                granted=reason is None,
            )
        )
    _leave(connection, ours)
    return reason


def waiting(connection: sa.Connection, task_id: str) -> bool:
    """Tell whether a task waits for its locks."""
    query = sa.select(_LOCKS.c.task_id).where(
        _LOCKS.c.task_id == task_id, _LOCKS.c.granted.is_(False)
    )
    return connection.execute(query.limit(1)).first() is not None


def release(connection: sa.Connection, task_id: str) -> list[tuple[str, int]]:
    """Let go of a task's locks, and grant what others waited for.

    :returns: ids and priorities of the tasks that may run now
    """
    ours = _of_task(connection, task_id)
    if not ours:
        return []
    # Else one that is submitted now would wait for what is gone already.
    _enter(connection, ours)
    connection.execute(sa.delete(_LOCKS).where(_LOCKS.c.task_id == task_id))
    able = []
    for waiter in _waiters(connection, ours):
        row = _granted(connection, waiter)
        # One that was paused meanwhile is posted when it is resumed.
        if row is not None and row.phase == _QUEUED:
            able.append((row.id, row.priority))
    _leave(connection, ours)
    return able


_QUEUED = task.Phase.QUEUED.value


def _strictest(wanted: Iterable[task.Lock]) -> dict[str, bool]:
    ours: dict[str, bool] = {}
    for lock in wanted:
        ours[lock.resource] = lock.exclusive or ours.get(lock.resource, False)
    return ours


def _of_task(connection: sa.Connection, task_id: str) -> dict[str, bool]:
    query = sa.select(_LOCKS.c.resource, _LOCKS.c.exclusive).where(
        _LOCKS.c.task_id == task_id
    )
    return {
        row.resource: row.exclusive for row in connection.execute(query).all()
    }


# --- the doors ---------------------------------------------------------------


def _enter(connection: sa.Connection, resources: Iterable[str]) -> None:
    """Keep others out of these resources until the transaction ends."""
    for resource in sorted(resources):
        # A unique row, gone again before the commit: READ COMMITTED would
        # let two see no lock of each other's and both take theirs. One by
        # one and sorted, or two of them could wait for each other.
        connection.execute(
            sa.insert(_LOCKS).values(
                resource=resource, task_id=_DOOR, exclusive=True, granted=True
            )
        )


def _leave(connection: sa.Connection, resources: Iterable[str]) -> None:
    if names := list(resources):
        connection.execute(
            sa.delete(_LOCKS)
            .where(_LOCKS.c.resource.in_(names))
            .where(_LOCKS.c.task_id == _DOOR)
        )


# --- who is in the way -------------------------------------------------------


def _conflict(
    connection: sa.Connection,
    task_id: str,
    wanted: dict[str, bool],
    before: float | None = None,
) -> tuple[str, sa.RowMapping] | None:
    """Give the first resource, with the task that is in the way.

    :param before: a time; those that wait since later are not in the way
    """
    for resource, exclusive in wanted.items():
        query = (
            sa.select(_TASKS.c.id, _TASKS.c.type, _TASKS.c.owner)
            .add_columns(_TASKS.c.created_at)
            .join_from(_LOCKS, _TASKS, _LOCKS.c.task_id == _TASKS.c.id)
            .where(_LOCKS.c.resource == resource, _TASKS.c.id != task_id)
            .order_by(_TASKS.c.created_at)
        )
        if not exclusive:
            query = query.where(_LOCKS.c.exclusive.is_(True))
        if before is not None:
            earlier = _TASKS.c.created_at < before
            query = query.where(sa.or_(_LOCKS.c.granted.is_(True), earlier))
        held = connection.execute(query.limit(1)).mappings().first()
        if held is not None:
            return resource, held
    return None


def _in_use(
    resource: str, held: sa.RowMapping, requester: task.Requester | None
) -> str:
    own = requester is None or requester.project_id == held["owner"]
    who = f"task {held['id']}" if own else "a task of another project"
    since = events.moment(held["created_at"]).strftime("%Y-%m-%dT%H:%M:%SZ")
    return (
        f"{resource.replace(':', ' ', 1)} is in use by {held['type']},"
        f" {who}, since {since}"
    )


# --- those that wait ---------------------------------------------------------


def _waiters(connection: sa.Connection, resources: Iterable[str]) -> list[str]:
    """Give the tasks that wait for one of the resources, oldest first."""
    query = (
        sa.select(_TASKS.c.id)
        .join_from(_LOCKS, _TASKS, _LOCKS.c.task_id == _TASKS.c.id)
        .where(_LOCKS.c.resource.in_(list(resources)))
        .where(_LOCKS.c.granted.is_(False))
        .group_by(_TASKS.c.id)
        .order_by(sa.func.min(_TASKS.c.created_at), _TASKS.c.id)
    )
    return list(connection.scalars(query))


def _granted(connection: sa.Connection, task_id: str) -> Any:
    """Grant a waiting task its locks, if nobody is in the way any more.

    :returns: its row as it is; None when it goes on waiting
    """
    # Locked: two that let go of different resources of one waiter would each
    # see the other's lock there still, and neither grant it. And it may be
    # paused or resumed at this moment.
    columns = (_TASKS.c.id, _TASKS.c.priority, _TASKS.c.phase)
    row = connection.execute(
        sa.select(*columns, _TASKS.c.created_at)
        .where(_TASKS.c.id == task_id)
        .with_for_update()
    ).one()
    wanted = _of_task(connection, task_id)
    if _conflict(connection, task_id, wanted, row.created_at) is not None:
        return None
    connection.execute(
        sa.update(_LOCKS)
        .where(_LOCKS.c.task_id == task_id)
        .values(granted=True)
    )
    connection.execute(
        sa.update(_TASKS)
        .where(_TASKS.c.id == task_id)
        .values(queue_reason=None, updated_at=models.now())
    )
    return row
