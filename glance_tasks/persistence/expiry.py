# SPDX-License-Identifier: Apache-2.0
"""The end of a task's rows, after its time to live."""

from collections.abc import Collection
from collections.abc import Sequence

import sqlalchemy as sa

from glance_tasks.persistence import database as db
from glance_tasks.persistence import models
from glance_tasks.persistence import secrets

_TASKS = models.TASKS
_OF_TASK = (
    models.EVENTS,
    models.ATOMS,
    models.FLOWS,
    models.LOCKS,
    models.JOBS,
)


def count_expired(database: db.Database) -> int:
    """Count the tasks that are to be deleted."""
    query = sa.select(sa.func.count()).where(
        _TASKS.c.expires_at <= models.now()
    )
    with database.read() as connection:
        return int(connection.scalar(query) or 0)


def expired(database: db.Database, *, limit: int) -> dict[str, str]:
    """Give up to ``limit`` tasks that expired: ids to plans, as JSON."""
    query = (
        sa.select(_TASKS.c.id, _TASKS.c.plan)
        .where(_TASKS.c.expires_at <= models.now())
        .order_by(_TASKS.c.expires_at)
        .limit(limit)
    )
    with database.read() as connection:
        return {row.id: row.plan for row in connection.execute(query)}


def delete(database: db.Database, ids: Collection[str]) -> None:
    """Delete tasks that expired, with all their rows.

    What a task made, an image for one, is none of its rows. One transaction:
    cut anywhere, the next call finds the same tasks or none of them.
    """
    with database.write() as connection:
        secrets.shred(connection, list(ids))
        for table in _OF_TASK:
            connection.execute(
                sa.delete(table).where(table.c.task_id.in_(ids))
            )
        connection.execute(sa.delete(_TASKS).where(_TASKS.c.id.in_(ids)))


def known(database: db.Database, task_ids: Sequence[str]) -> dict[str, bool]:
    """Tell of those of the ids whose tasks are known whether they ended."""
    found: dict[str, bool] = {}
    with database.read() as connection:
        # SQLite takes 999 values in one statement in its older releases.
        for start in range(0, len(task_ids), 500):
            query = sa.select(_TASKS.c.id, _TASKS.c.finished_at).where(
                _TASKS.c.id.in_(task_ids[start : start + 500])
            )
            for row in connection.execute(query):
                found[row.id] = row.finished_at is not None
    return found
