# SPDX-License-Identifier: Apache-2.0
"""Secrets as rows: encrypted, or a note of where they lie.

A row of a secret that lies elsewhere outlives its task until it is forgotten
there: it is the only thing that knows of it.
"""

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import time

import sqlalchemy as sa

from glance_tasks import ports
from glance_tasks.persistence import database as db
from glance_tasks.persistence import models

# What a key's name never begins with: a secret elsewhere, and one that was
# about to be kept there at that time, in seconds since 1970.
_ELSEWHERE, _INTENDED = "@", "@?"

_ROWS = models.SECRETS
_LIES_ELSEWHERE = _ROWS.c.key_id.startswith(_ELSEWHERE)


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """What the database knows of a secret.

    :ivar kept: None when it was about to be kept elsewhere
    """

    task_id: str
    name: str
    elsewhere: bool
    kept: ports.KeptSecret | None


def add(
    connection: sa.Connection,
    task_id: str,
    kept: Mapping[str, ports.KeptSecret],
    *,
    elsewhere: bool,
) -> None:
    """Write a task's secrets by name, instead of what was intended."""
    place = _ELSEWHERE if elsewhere else ""
    if elsewhere:
        connection.execute(sa.delete(_ROWS).where(_ROWS.c.task_id == task_id))
    if kept:
        connection.execute(
            sa.insert(_ROWS),
            [
                {
                    "task_id": task_id,
                    "name": name,
                    "key_id": f"{place}{one.key_id}",
                    "ciphertext": one.sealed,
                }
                for name, one in kept.items()
            ],
        )


def intend(
    connection: sa.Connection, task_id: str, names: Iterable[str]
) -> None:
    """Note that secrets are about to be kept elsewhere."""
    rows = [
        {
            "task_id": task_id,
            "name": name,
            "key_id": f"{_INTENDED}{int(time.time())}",
            "ciphertext": b"",
        }
        for name in names
    ]
    connection.execute(sa.insert(_ROWS), rows)


def of_task(database: db.Database, task_id: str) -> list[Row]:
    """Give a task's secrets."""
    with database.read() as connection:
        found = connection.execute(
            sa.select(_ROWS).where(_ROWS.c.task_id == task_id)
        )
        return [_row(one) for one in found]


def shred(connection: sa.Connection, task_ids: Sequence[str]) -> None:
    """Delete what the rows themselves hold of the secrets of tasks."""
    connection.execute(
        sa.delete(_ROWS).where(
            _ROWS.c.task_id.in_(task_ids), sa.not_(_LIES_ELSEWHERE)
        )
    )


def strays(
    database: db.Database,
    *,
    older_than: float = 0.0,
    task_id: str | None = None,
) -> Iterator[Row]:
    """Give secrets elsewhere of tasks that have ended, or never began.

    :param older_than: seconds for which one may be about to be kept
    :param task_id: of this task only
    """
    tasks = models.TASKS
    query = (
        sa.select(_ROWS)
        .outerjoin(tasks, tasks.c.id == _ROWS.c.task_id)
        .where(_LIES_ELSEWHERE)
        .where(sa.or_(tasks.c.id.is_(None), tasks.c.finished_at.is_not(None)))
    )
    if task_id is not None:
        query = query.where(_ROWS.c.task_id == task_id)
    with database.read() as connection:
        found = list(connection.execute(query))
    for one in found:
        intended = one.key_id.partition(_INTENDED)[2]
        if not intended or time.time() - int(intended) >= older_than:
            yield _row(one)


def sealed_otherwise(
    database: db.Database, key_id: str, *, after: Row | None, limit: int
) -> list[Row]:
    """Give rows that another key sealed, in order.

    :param after: the last row of the batch before
    """
    query = (
        sa.select(_ROWS)
        .where(_ROWS.c.key_id != key_id, sa.not_(_LIES_ELSEWHERE))
        .order_by(_ROWS.c.task_id, _ROWS.c.name)
        .limit(limit)
    )
    if after is not None:
        same = _ROWS.c.task_id == after.task_id
        further = sa.and_(same, _ROWS.c.name > after.name)
        query = query.where(sa.or_(_ROWS.c.task_id > after.task_id, further))
    with database.read() as connection:
        return [_row(one) for one in connection.execute(query)]


def replace(
    connection: sa.Connection, row: Row, kept: ports.KeptSecret
) -> bool:
    """Write a secret as it is sealed now; False when the row has changed."""
    changed = connection.execute(
        _same(sa.update(_ROWS), row).values(
            key_id=kept.key_id, ciphertext=kept.sealed
        )
    )
    return bool(changed.rowcount)


def remove(database: db.Database, row: Row) -> None:
    """Delete the row of a secret that was forgotten elsewhere."""
    with database.write() as connection:
        connection.execute(
            sa.delete(_ROWS).where(
                _ROWS.c.task_id == row.task_id, _ROWS.c.name == row.name
            )
        )


def _same(statement: sa.Update, row: Row) -> sa.Update:
    sealed = row.kept.sealed if row.kept else b""
    return statement.where(
        _ROWS.c.task_id == row.task_id,
        _ROWS.c.name == row.name,
        _ROWS.c.ciphertext == sealed,
    )


def _row(found: sa.Row[tuple[str, str, str, bytes]]) -> Row:
    key_id, elsewhere = found.key_id, found.key_id.startswith(_ELSEWHERE)
    kept = ports.KeptSecret(
        key_id.removeprefix(_ELSEWHERE), bytes(found.ciphertext)
    )
    intended = key_id.startswith(_INTENDED)
    return Row(
        found.task_id, found.name, elsewhere, None if intended else kept
    )
