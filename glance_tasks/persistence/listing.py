# SPDX-License-Identifier: Apache-2.0
"""Pages of tasks: filtered, sorted, and marked by the last one of a page."""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from glance_tasks import exceptions
from glance_tasks import task
from glance_tasks.persistence import database as db
from glance_tasks.persistence import models
from glance_tasks.persistence import repository

#: A list never gives more than this many tasks at once, as in Glance.
MAX_LIMIT = 1000

#: What find() can filter by.
FILTERS = (
    *("type", "status", "image_id", "owner", "request_id", "retry_of"),
    "parent_id",
)

_HEAVY = ("input", "result", "message", "failure", "plan")
SORT_KEYS = (
    "created_at",
    "updated_at",
    "status",
    "type",
    "id",
)

_TASKS = models.TASKS


def find(
    database: db.Database,
    requester: task.Requester | None = None,
    *,
    filters: Mapping[str, str] | None = None,
    limit: int = 25,
    marker: str | None = None,
    sort_key: str = "created_at",
    descending: bool = True,
) -> list[task.Task]:
    """List tasks without their input, plan, result and message.

    :param filters: exact values, by the names in :data:`FILTERS`
    :param marker: the id of the last task of the page before
    :raises InvalidInput: for a filter, limit or sort key there is not
    :raises TaskNotFound: when the marker is no task the requester may see
    """
    _check_page(filters or {}, limit, sort_key)
    if marker is not None:
        repository.check_id(marker)
    query = repository.visible(_light(), requester)
    for name, value in (filters or {}).items():
        query = query.where(_TASKS.c[name] == value)
    order = _order(sort_key)
    with database.read() as connection:
        if marker is not None:
            query = query.where(
                _after(connection, requester, marker, order, descending)
            )
        query = query.order_by(
            *(c.desc() if descending else c.asc() for c in order)
        ).limit(min(limit, MAX_LIMIT))
        rows = connection.execute(query).mappings().all()
    return [repository.snapshot(row) for row in rows]


def holders(
    database: db.Database,
    resource: str,
    requester: task.Requester | None = None,
) -> list[task.Task]:
    """Give the living tasks that have locks on a resource, oldest first.

    :param resource: kind and id, such as ``image:UUID``
    """
    theirs = sa.select(models.LOCKS.c.task_id).where(
        models.LOCKS.c.resource == resource
    )
    query = repository.visible(_light(), requester)
    query = query.where(_TASKS.c.id.in_(theirs)).order_by(
        *_order("created_at")
    )
    with database.read() as connection:
        rows = connection.execute(query).mappings().all()
    return [repository.snapshot(row) for row in rows]


def _light() -> sa.Select[Any]:
    columns = [c for c in _TASKS.c if c.name not in _HEAVY]
    return sa.select(*columns, repository.LOST_SINCE)


def _after(
    connection: sa.Connection,
    requester: task.Requester | None,
    marker: str,
    order: Sequence[sa.Column[Any]],
    descending: bool,
) -> sa.ColumnElement[bool]:
    row = connection.execute(
        repository.visible(sa.select(*order), requester).where(
            _TASKS.c.id == marker
        )
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


def _check_page(filters: Mapping[str, str], limit: int, sort_key: str) -> None:
    faults = [
        (name, f"is no filter; expected one of {', '.join(FILTERS)}")
        for name in filters
        if name not in FILTERS
    ]
    if sort_key not in SORT_KEYS:
        faults.append(("sort_key", f"expected one of {', '.join(SORT_KEYS)}"))
    if limit < 0:
        faults.append(("limit", f"is {limit}; expected 0 or more"))
    if faults:
        raise exceptions.InvalidInput(faults)
    task.check_texts(**filters)


def _order(sort_key: str) -> list[sa.Column[Any]]:
    names = [sort_key, *(n for n in ("created_at", "id") if n != sort_key)]
    return [_TASKS.c[name] for name in names]
