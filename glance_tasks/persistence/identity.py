# SPDX-License-Identifier: Apache-2.0
"""Which database this is: a name of its own, made when it is first asked."""

import uuid

from oslo_db import exception as db_exc
import sqlalchemy as sa

from glance_tasks.persistence import database as db
from glance_tasks.persistence import models

_TABLE = models.IDENTITY
_ONLY = 1


def of(database: db.Database) -> str:
    """Give the database's name; the same for all who ask, for ever.

    :raises DatabaseUnreachable: when the database is away
    """
    return _read(database) or _made(database)


def _read(database: db.Database) -> str | None:
    query = sa.select(_TABLE.c.id).where(_TABLE.c.number == _ONLY)
    with database.read() as connection:
        found: str | None = connection.scalar(query)
    return found


def _made(database: db.Database) -> str:
    new = {"number": _ONLY, "id": str(uuid.uuid4())}
    try:
        with database.write() as connection:
            connection.execute(sa.insert(_TABLE).values(**new))
    except db_exc.DBDuplicateEntry:
        # Somebody else has asked at the same moment.
        return _read(database) or ""
    return str(new["id"])
