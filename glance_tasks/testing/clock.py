# SPDX-License-Identifier: Apache-2.0
"""Time that passes for a database as fast as a test wants."""

import math

import sqlalchemy as sa
import tenacity

from glance_tasks import engine as task_engine
from glance_tasks import exceptions
from glance_tasks.persistence import models

_PREFIX = "gt_"

# Transactions of ours take milliseconds, but a test may hold one up.
_PATIENCE_S = 10


class FakeClock:
    """Makes time pass for everything that the database judges.

    Leases, delays, expiry and ages are differences between a stored moment
    and the database's own clock. That clock cannot be turned on a real
    server, so :meth:`advance` moves every stored moment into the past
    instead: to all who ask, in this process or another one, so much time has
    passed. What is running goes on: a conductor that lives renews its leases
    within a third of ``claim_ttl``, as one that was frozen would.

    What a process measures for itself does not move: timeouts, rates, the
    pauses of a conductor. Safe to share between threads.
    """

    def __init__(self, engine: task_engine.TaskEngine) -> None:
        """Turn the clock of the database of ``engine``."""
        self._database = engine.database

    def advance(self, seconds: float) -> None:
        """Let time pass, in one transaction.

        :raises ValueError: when that is no positive number of seconds
        :raises DatabaseUnreachable: when the database is away, or somebody
            holds a row of ours for ten seconds
        """
        if not (math.isfinite(seconds) and seconds > 0):
            raise ValueError(
                f"time cannot pass by {seconds} s; expected more than 0"
            )
        for attempt in _attempts():
            with attempt, self._database.write() as connection:
                tables = _tables(connection)
                _lock(connection, tables)
                for table in tables:
                    connection.execute(_moved(table, seconds))


def _attempts() -> tenacity.Retrying:
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(exceptions.DatabaseUnreachable),
        stop=tenacity.stop_after_delay(_PATIENCE_S),
        wait=tenacity.wait_random(0, 0.02),
        reraise=True,
    )


def _tables(connection: sa.Connection) -> list[sa.TableClause]:
    return [
        sa.table(name, *(sa.column(column, models.WHEN) for column in columns))
        for name, columns in moments(connection).items()
    ]


def _lock(connection: sa.Connection, tables: list[sa.TableClause]) -> None:
    """Lock every row or none.

    Who waits for a row while it holds another one makes a deadlock with a
    conductor, and the database may end the conductor's transaction: a task
    would then stand still until its lease lapses.
    """
    for table in tables:
        connection.execute(sa.select(table).with_for_update(nowait=True)).all()


def _moved(table: sa.TableClause, seconds: float) -> sa.Update:
    return sa.update(table).values(
        {column.name: column - seconds for column in table.c}
    )


def moments(connection: sa.Connection) -> dict[str, list[str]]:
    """Give the columns that hold a moment, by the names of our tables.

    They are the doubles of all tables that begin with ``gt_``, those of the
    embedded catalogue too: seconds since 1970 are the only doubles there are.
    """
    inspector = sa.inspect(connection)
    found = {
        table: [
            column["name"]
            for column in inspector.get_columns(table)
            if isinstance(column["type"], sa.Double)
        ]
        for table in sorted(inspector.get_table_names())
        if table.startswith(_PREFIX)
    }
    return {table: columns for table, columns in found.items() if columns}
