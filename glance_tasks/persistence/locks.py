# SPDX-License-Identifier: Apache-2.0
"""Locks of tasks on what they work on: shared ones, or one exclusive.

They are taken in the transaction that submits a task and go in the one that
writes its outcome, so a task has them for exactly as long as it lives.
"""

from collections.abc import Iterable

import sqlalchemy as sa

from glance_tasks import exceptions
from glance_tasks import task
from glance_tasks.persistence import events
from glance_tasks.persistence import models

_LOCKS = models.LOCKS
# No task has it as its id.
_DOOR = ""


def take(
    connection: sa.Connection,
    new: task.Task,
    wanted: Iterable[task.Lock],
    requester: task.Requester | None = None,
) -> None:
    """Take all locks for a task, within the transaction that submits it.

    Whoever wants one of the same resources at the same time waits until that
    transaction ends, and sees then what it took.

    :param requester: who may not learn the ids of other projects' tasks
    :raises TaskConflict: when another task holds one that does not go with it
    """
    ours = _strictest(wanted)
    doors = [
        {"resource": resource, "task_id": _DOOR, "exclusive": True}
        for resource in sorted(ours)
    ]
    for door in doors:
        # A unique row, gone again before the commit: READ COMMITTED would
        # let two see no lock of each other's and both take theirs. One by
        # one and sorted, or two of them could wait for each other.
        connection.execute(sa.insert(_LOCKS).values(**door))
    _refuse_conflicts(connection, ours, requester)
    for resource, exclusive in ours.items():
        connection.execute(
            sa.insert(_LOCKS).values(
                resource=resource, task_id=new.id, exclusive=exclusive
            )
        )
    if ours:
        connection.execute(
            sa.delete(_LOCKS)
            .where(_LOCKS.c.resource.in_(ours))
            .where(_LOCKS.c.task_id == _DOOR)
        )


def _strictest(wanted: Iterable[task.Lock]) -> dict[str, bool]:
    ours: dict[str, bool] = {}
    for lock in wanted:
        ours[lock.resource] = lock.exclusive or ours.get(lock.resource, False)
    return ours


def _refuse_conflicts(
    connection: sa.Connection,
    ours: dict[str, bool],
    requester: task.Requester | None,
) -> None:
    holder = models.TASKS
    for resource, exclusive in ours.items():
        query = (
            sa.select(holder.c.id, holder.c.type, holder.c.owner)
            .add_columns(holder.c.created_at)
            .join_from(_LOCKS, holder, _LOCKS.c.task_id == holder.c.id)
            .where(_LOCKS.c.resource == resource)
            .order_by(holder.c.created_at)
        )
        if not exclusive:
            query = query.where(_LOCKS.c.exclusive.is_(True))
        held = connection.execute(query.limit(1)).mappings().first()
        if held is not None:
            raise _conflict(resource, held, requester)


def _conflict(
    resource: str, held: sa.RowMapping, requester: task.Requester | None
) -> exceptions.TaskConflict:
    own = requester is None or requester.project_id == held["owner"]
    who = f"task {held['id']}" if own else "a task of another project"
    since = events.moment(held["created_at"]).strftime("%Y-%m-%dT%H:%M:%SZ")
    return exceptions.TaskConflict(
        f"{resource.replace(':', ' ', 1)} is in use by {held['type']},"
        f" {who}, since {since}; submit this when that has ended"
    )
