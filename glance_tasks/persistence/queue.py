# SPDX-License-Identifier: Apache-2.0
"""How the queue does as a whole: figures for those who look after it."""

import dataclasses

import sqlalchemy as sa

from glance_tasks.persistence import database as db
from glance_tasks.persistence import models

_JOBS, _TASKS = models.JOBS, models.TASKS


@dataclasses.dataclass(frozen=True, slots=True)
class Queue:
    """How many tasks there are, and where they stand.

    :ivar waiting_s: for how long the first that could run waits, in seconds;
        0 when none does
    :ivar held: with a conductor that gives signs of life
    :ivar lost: with one that does not
    :ivar clock: the database's, in seconds since 1970
    """

    waiting_s: float
    held: int
    lost: int
    clock: float


def figures(database: db.Database) -> Queue:
    """Give them.

    :raises DatabaseUnreachable: when the database is away
    """
    now = models.now()
    held = _JOBS.c.state == "held"
    with database.read() as connection:
        clock = connection.scalar(sa.select(now)) or 0.0
        first = connection.scalar(
            sa.select(sa.func.min(_JOBS.c.not_before)).where(
                _JOBS.c.state == "ready"
            )
        )
        alive, lost = (
            connection.scalar(
                sa.select(sa.func.count()).select_from(_JOBS).where(held, so)
            )
            for so in (_JOBS.c.lease_until > now, _JOBS.c.lease_until <= now)
        )
    waiting = max(0.0, clock - first) if first is not None else 0.0
    return Queue(waiting, alive or 0, lost or 0, clock)


def living_types(database: db.Database) -> dict[str, int]:
    """Count the tasks that have not ended, by their types.

    :raises DatabaseUnreachable: when the database is away
    """
    query = (
        sa.select(_TASKS.c.type, sa.func.count())
        .where(_TASKS.c.finished_at.is_(None))
        .group_by(_TASKS.c.type)
    )
    with database.read() as connection:
        return {row[0]: row[1] for row in connection.execute(query)}


def set_aside(database: db.Database, reason: str) -> list[str]:
    """Name the tasks that wait for a reason that begins so, up to twenty.

    :raises DatabaseUnreachable: when the database is away
    """
    query = (
        sa.select(_TASKS.c.id)
        .where(_TASKS.c.finished_at.is_(None))
        .where(_TASKS.c.queue_reason.startswith(reason, autoescape=True))
        .limit(20)
    )
    with database.read() as connection:
        return list(connection.scalars(query))


def holder(database: db.Database, task_id: str) -> str | None:
    """Give the name of the conductor that holds a task, dead or alive."""
    query = sa.select(models.JOBS.c.holder).where(
        models.JOBS.c.task_id == task_id, models.JOBS.c.state == "held"
    )
    with database.read() as connection:
        found: str | None = connection.scalar(query)
    return found
