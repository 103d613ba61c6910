# SPDX-License-Identifier: Apache-2.0
"""Bringing the schema up to date, with a version table of our own.

A database that another service stamped with alembic keeps its own version.
"""

import pathlib

from alembic import command
from alembic import config as alembic_config
from alembic.runtime import migration
import sqlalchemy as sa

from glance_tasks import exceptions
from glance_tasks.persistence import database as db

VERSION_TABLE = "glance_tasks_version"

#: The revision this release needs; a test holds it against the scripts.
#: Written down, because reading the scripts costs 60 ms at each start.
HEAD = "0001"


def sync(database: db.Database) -> None:
    """Bring the schema up to date; doing it again changes nothing.

    :raises DatabaseUnreachable: when the database is away
    """
    settings = alembic_config.Config()
    settings.set_main_option(
        "script_location", str(pathlib.Path(__file__).parent)
    )
    with database.write() as connection:
        if _version(connection) == HEAD:
            return
        settings.attributes["connection"] = connection
        command.upgrade(settings, HEAD)


def version(database: db.Database) -> str | None:
    """Give the schema's revision, None for a database never synced."""
    with database.read() as connection:
        return _version(connection)


def check(database: db.Database) -> None:
    """Return when the schema is what this release needs.

    :raises SchemaBehind: when it is not
    :raises DatabaseUnreachable: when the database is away
    """
    found = version(database)
    if found != HEAD:
        raise exceptions.SchemaBehind(
            f"the database's schema is at revision {found or 'none'}; expected"
            f" {HEAD}: run 'glance-tasks db sync'"
        )


def _version(connection: sa.Connection) -> str | None:
    context = migration.MigrationContext.configure(
        connection, opts={"version_table": VERSION_TABLE}
    )
    return context.get_current_revision()
