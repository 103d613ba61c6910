# SPDX-License-Identifier: Apache-2.0
"""The timeline of a task: what happened when, in rows that are only added."""

from collections.abc import Iterable
from collections.abc import Mapping
import dataclasses
import datetime
import json
from typing import Any

import sqlalchemy as sa

from glance_tasks import task
from glance_tasks.persistence import database as db
from glance_tasks.persistence import models


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """One line of a task's timeline; ``at`` is UTC.

    :ivar detail: JSON for the operator, scrubbed
    """

    at: datetime.datetime
    kind: str
    text: str
    atom: str | None = None
    detail: Mapping[str, Any] | None = None


def moment(seconds: float) -> datetime.datetime:
    """Give a time of the database as UTC."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def add(
    connection: sa.Connection, task_id: str, happened: Iterable[Event]
) -> None:
    """Write events within a transaction."""
    rows = [
        {
            "task_id": task_id,
            "at": event.at.timestamp(),
            "kind": event.kind,
            "atom": event.atom,
            "text": event.text,
            "detail": json.dumps(dict(event.detail)) if event.detail else None,
        }
        for event in happened
    ]
    if rows:
        connection.execute(sa.insert(models.EVENTS), rows)


def of_task(database: db.Database, task_id: str) -> list[Event]:
    """Give a task's timeline, oldest first."""
    table = models.EVENTS
    query = (
        sa.select(table)
        .where(table.c.task_id == task_id)
        .order_by(table.c.at, table.c.id)
    )
    with database.read() as connection:
        rows = connection.execute(query).mappings().all()
    return [
        Event(
            at=moment(row["at"]),
            kind=row["kind"],
            text=row["text"],
            atom=row["atom"],
            detail=json.loads(row["detail"]) if row["detail"] else None,
        )
        for row in rows
    ]


def now(kind: str, text: str = "", **detail: Any) -> Event:
    """Give an event that happens just now."""
    at = datetime.datetime.now(datetime.UTC)
    return Event(at, kind, text, detail=detail or None)


def submitted(new: task.Task) -> Event:
    """Give the first event of a task."""
    again = f", again for {new.retry_of}" if new.retry_of else ""
    return now("submitted", f"{new.type} for image {new.image_id}{again}")
