# SPDX-License-Identifier: Apache-2.0
"""Bringing the schema up to date, with a version table of our own.

A database that another service stamped with alembic keeps its own version.
"""

from collections.abc import Iterator
import contextlib
import pathlib
import threading

from alembic import command
from alembic import config as alembic_config
from alembic import util as alembic_util
from alembic.runtime import migration
import sqlalchemy as sa

from glance_tasks import exceptions
from glance_tasks.persistence import database as db

VERSION_TABLE = "glance_tasks_version"

#: The revision this release needs; a test holds it against the scripts.
#: Written down, because reading the scripts costs 60 ms at each start.
HEAD = "0002"


def sync(database: db.Database) -> None:
    """Bring the schema up to date; doing it again changes nothing.

    Safe to call from several threads and processes at once.

    :raises SchemaBehind: when the schema is that of a newer release
    :raises DatabaseUnreachable: when the database is away
    """
    if version(database) == HEAD:
        # Most often, and without SQLite's one write lock.
        return
    settings = alembic_config.Config()
    settings.set_main_option(
        "script_location", str(pathlib.Path(__file__).parent)
    )
    with _ONE_AT_A_TIME, database.write() as connection, _alone(connection):
        found = _version(connection)
        if found == HEAD:
            return
        settings.attributes["connection"] = connection
        try:
            command.upgrade(settings, HEAD)
        except alembic_util.CommandError as error:
            raise exceptions.SchemaBehind(_expected(found)) from error


# Alembic keeps what it is at in globals of the process.
_ONE_AT_A_TIME = threading.Lock()
_LOCK_NUMBER = 0x676C7461


@contextlib.contextmanager
def _alone(connection: sa.Connection) -> Iterator[None]:
    """Keep other processes from syncing the same database meanwhile."""
    dialect = connection.dialect.name
    if dialect == "postgresql":
        connection.execute(
            sa.select(sa.func.pg_advisory_xact_lock(_LOCK_NUMBER))
        )
    elif dialect == "mysql":
        # Not the transaction's: every CREATE TABLE commits there.
        connection.execute(sa.select(sa.func.get_lock(VERSION_TABLE, 60)))
    try:
        yield
    except BaseException:
        # It may be in no state to release the lock; its end does.
        connection.invalidate()
        raise
    if dialect == "mysql":
        connection.execute(sa.select(sa.func.release_lock(VERSION_TABLE)))


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
        raise exceptions.SchemaBehind(_expected(found))


def _expected(found: str | None) -> str:
    return (
        f"the database's schema is at revision {found or 'none'}; expected"
        f" {HEAD}: run 'glance-tasks db sync' of the newest release in use"
    )


def _version(connection: sa.Connection) -> str | None:
    context = migration.MigrationContext.configure(
        connection, opts={"version_table": VERSION_TABLE}
    )
    return context.get_current_revision()
