# SPDX-License-Identifier: Apache-2.0
"""Time that passes for a database as fast as a test wants."""

import math

import sqlalchemy as sa
import tenacity

from glance_tasks import engine as task_engine
from glance_tasks import exceptions

_PREFIX = "gt_"


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

    @tenacity.retry(
        # It locks every row: a checkpoint written meanwhile may be in the
        # way, and the database then ends one of the two transactions.
        retry=tenacity.retry_if_exception_type(exceptions.DatabaseUnreachable),
        stop=tenacity.stop_after_attempt(5),
        reraise=True,
    )
    def advance(self, seconds: float) -> None:
        """Let time pass, in one transaction.

        :raises ValueError: when that is no positive number of seconds
        :raises DatabaseUnreachable: when the database is away
        """
        if not (math.isfinite(seconds) and seconds > 0):
            raise ValueError(
                f"time cannot pass by {seconds} s; expected more than 0"
            )
        with self._database.write() as connection:
            for table, columns in moments(connection).items():
                target = sa.table(table, *map(sa.column, columns))
                connection.execute(
                    sa.update(target).values(
                        {column.name: column - seconds for column in target.c}
                    )
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
