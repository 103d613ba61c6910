# SPDX-License-Identifier: Apache-2.0
"""The flow a task began with: what a resumed run must build again."""

from collections.abc import Mapping
import dataclasses

import sqlalchemy as sa

from glance_tasks.persistence import database as db
from glance_tasks.persistence import models

_FLOWS, _ATOMS = models.FLOWS, models.ATOMS


@dataclasses.dataclass(frozen=True, slots=True)
class StoredFlow:
    """The flow of a task at its first run.

    :ivar graph: its shape as JSON; None where an older release began it
    :ivar type_version: ``major.minor`` of the task type
    """

    fingerprint: str
    type_version: str
    graph: str | None


def of_task(database: db.Database, task_id: str) -> StoredFlow | None:
    """Give the flow that a task began with; None when it never ran.

    :raises DatabaseUnreachable: when the database is away
    """
    query = sa.select(
        _FLOWS.c.fingerprint, _FLOWS.c.type_version, _FLOWS.c.graph
    ).where(_FLOWS.c.task_id == task_id)
    with database.read() as connection:
        row = connection.execute(query).first()
    return None if row is None else StoredFlow(*row)


def change(
    database: db.Database,
    task_id: str,
    fence: int,
    flow: StoredFlow,
    renamed: Mapping[str, str],
) -> bool:
    """Bring a stored flow to what its type builds now, in one transaction.

    :param renamed: old names of atoms to new ones
    :returns: False when another claim holds the task; nothing was written
    """

    def write(connection: sa.Connection) -> bool:
        matched = connection.execute(
            sa.update(_FLOWS)
            .where(_FLOWS.c.task_id == task_id, _FLOWS.c.fence == fence)
            .values(**dataclasses.asdict(flow))
        ).rowcount
        if matched and renamed:
            # By way of names that nobody has: two may exchange theirs.
            _rename(connection, task_id, {o: f"~{o}" for o in renamed})
            between = {f"~{old}": new for old, new in renamed.items()}
            _rename(connection, task_id, between)
        return bool(matched)

    return database.transact(write)


def _rename(
    connection: sa.Connection, task_id: str, names: Mapping[str, str]
) -> None:
    connection.execute(
        sa.update(_ATOMS)
        .where(_ATOMS.c.task_id == task_id, _ATOMS.c.name.in_(names))
        .values(name=sa.case(dict(names), value=_ATOMS.c.name))
    )
