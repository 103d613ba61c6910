# SPDX-License-Identifier: Apache-2.0
"""What is to be told of tasks, from the transaction in which it happens on.

A row goes when it was told; so nothing is told that did not happen, and
nothing that happened is forgotten.
"""

from collections.abc import Sequence
import dataclasses

import sqlalchemy as sa

from glance_tasks.persistence import database as db
from glance_tasks.persistence import models

_NOTICES = models.NOTICES


@dataclasses.dataclass(frozen=True, slots=True)
class Notice:
    """One thing to be told."""

    number: int
    task_id: str
    event_type: str


def add(connection: sa.Connection, task_id: str, event_type: str) -> None:
    """Have something told, once the transaction commits."""
    connection.execute(
        sa.insert(_NOTICES).values(
            task_id=task_id, event_type=event_type, not_before=models.now()
        )
    )


def take(database: db.Database, limit: int, lease: float) -> Sequence[Notice]:
    """Give what is to be told, to nobody else for ``lease`` seconds.

    Of one task only what happened first: the rest follows it.

    :raises DatabaseUnreachable: when the database is away
    """
    earlier = _NOTICES.alias()
    query = (
        sa.select(_NOTICES)
        .where(_NOTICES.c.not_before <= models.now())
        .where(
            ~sa.exists().where(
                earlier.c.task_id == _NOTICES.c.task_id,
                earlier.c.id < _NOTICES.c.id,
            )
        )
        .order_by(_NOTICES.c.id)
        .limit(limit)
    )
    with database.read() as connection:
        if connection.execute(query.limit(1)).first() is None:
            # Without SQLite's one write lock, most often.
            return []
    with database.write() as connection:
        rows = connection.execute(
            query.with_for_update(skip_locked=True)
        ).all()
        numbers = [row.id for row in rows]
        connection.execute(
            sa.update(_NOTICES)
            .where(_NOTICES.c.id.in_(numbers))
            .values(not_before=models.now() + lease)
        )
    return [Notice(row.id, row.task_id, row.event_type) for row in rows]


def done(database: db.Database, notice: Notice) -> None:
    """Forget what was told.

    :raises DatabaseUnreachable: when the database is away; it is told again
    """
    with database.single() as connection:
        connection.execute(
            # SQLite gives a number again once it is free.
            sa.delete(_NOTICES).where(
                _NOTICES.c.id == notice.number,
                _NOTICES.c.task_id == notice.task_id,
                _NOTICES.c.event_type == notice.event_type,
            )
        )
