# SPDX-License-Identifier: Apache-2.0
"""What is asked of living tasks: columns beside their phase.

Whoever asks writes it down; whoever holds the task reads it twice a second.
"""

from collections.abc import Collection
import dataclasses
from typing import Any

import sqlalchemy as sa

from glance_tasks import task
from glance_tasks.persistence import database as db
from glance_tasks.persistence import models

_TASKS = models.TASKS


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of a task.

    :ivar fence: the number of its last claim
    :ivar late: whether its deadline has passed
    :ivar lease_left: seconds until it may be claimed by others
    """

    fence: int
    control: task.Control | None
    note: str | None
    late: bool
    lease_left: float


def asked(database: db.Database, ids: Collection[str]) -> dict[str, Asked]:
    """Give what is asked of tasks, by their ids.

    :raises DatabaseUnreachable: when the database is away
    """
    late = sa.func.coalesce(_TASKS.c.deadline_at <= models.now(), sa.false())
    left = (
        sa.select(models.JOBS.c.lease_until - models.now())
        .where(models.JOBS.c.task_id == _TASKS.c.id)
        .scalar_subquery()
    )
    query = (
        sa.select(_TASKS.c.id, _TASKS.c.fence, late.label("late"))
        .add_columns(sa.func.coalesce(left, 0.0).label("left"))
        .add_columns(_TASKS.c.control, _TASKS.c.control_note)
        .where(_TASKS.c.id.in_(ids))
        .where(_TASKS.c.finished_at.is_(None))
    )
    with database.read() as connection:
        return {
            row.id: Asked(
                row.fence,
                row.control and task.Control(row.control),
                row.control_note,
                bool(row.late),
                row.left,
            )
            for row in connection.execute(query)
        }


def ask(
    connection: sa.Connection,
    held: task.Task,
    phase: task.Phase,
    control: task.Control | None = None,
    note: str | None = None,
) -> None:
    """Write what is asked of a task that the transaction has locked.

    :param phase: that the task shows from now on
    :param control: None when nothing is to be done any more
    """
    connection.execute(
        sa.update(_TASKS)
        .where(_TASKS.c.id == held.id)
        .values(
            phase=phase.value,
            control=control and control.value,
            control_note=note,
            updated_at=models.now(),
            **_clock(phase),
        )
    )


def _clock(phase: task.Phase) -> dict[str, Any]:
    """Give what stops a task's clock while it is paused."""
    now, stopped = models.now(), _TASKS.c.paused_at
    if phase is task.Phase.PAUSED:
        return {"paused_at": now, "stalled_since": None, "stall_reason": None}
    # The deadline first: MariaDB sees in it what was set before.
    return {
        "deadline_at": _TASKS.c.deadline_at
        + sa.func.coalesce(now - stopped, 0.0),
        "paused_at": None,
    }


def paused(connection: sa.Connection, held: task.Task) -> bool:
    """Have a task paused that its holder leaves, if that was asked.

    :param held: as it was claimed
    :returns: False when it was not asked, or not any more, or what it has
        done is being undone
    """
    matched = connection.execute(
        sa.update(_TASKS)
        .where(_TASKS.c.id == held.id, _TASKS.c.fence == held.fence)
        .where(_TASKS.c.control == task.Control.PAUSE.value)
        .where(_TASKS.c.phase != task.Phase.REVERTING.value)
        .values(
            phase=task.Phase.PAUSED.value,
            control=None,
            control_note=None,
            updated_at=models.now(),
            **_clock(task.Phase.PAUSED),
        )
    ).rowcount
    return bool(matched)
