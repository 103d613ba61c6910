# SPDX-License-Identifier: Apache-2.0
"""The database: how it is connected to, and how a transaction is made."""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import functools
import pathlib
import random
import sqlite3
import time
from typing import Any
from typing import TypeVar

from oslo_db import exception as db_exc
from oslo_db.sqlalchemy import engines as oslo_engines
from oslo_db.sqlalchemy import exc_filters
import sqlalchemy
from sqlalchemy import pool
import tenacity

from glance_tasks import exceptions

_Given = TypeVar("_Given")

#: What a transaction is made of.
Connection = sqlalchemy.Connection

# Seconds a SQLite writer waits for another one. Commits take 2 ms there, so
# only a stalled disk gets near it.
_SQLITE_BUSY_S = 30

_FROZEN_S = 10

# How often a transaction is tried that meets deadlocks.
_TIMES = 10

#: What reaches us when a database is away, full or read-only, not when a
#: statement is wrong.
OUTAGES = (
    db_exc.DBConnectionError,
    db_exc.DBDeadlock,
    sqlalchemy.exc.OperationalError,
    sqlalchemy.exc.InterfaceError,
    sqlalchemy.exc.TimeoutError,
)


def _is_outage(error: BaseException) -> bool:
    if isinstance(error, db_exc.DBError) and isinstance(
        getattr(error, "inner_exception", None),
        (sqlalchemy.exc.OperationalError, sqlite3.OperationalError),
    ):
        return True
    return isinstance(error, OUTAGES)


class Database:
    """One database, shared by every thread of the process.

    :meth:`write` is a transaction, :meth:`read` a reading one, and
    :meth:`single` gives a connection on which one writing statement is its own
    transaction. Each raises ``DatabaseUnreachable`` when the database is away.
    """

    def __init__(self, url: str) -> None:
        """Prepare for ``url``; nothing is connected to before the first use.

        :raises ConfigurationError: when the URL cannot be understood
        """
        try:
            self.url = sqlalchemy.make_url(url)
            self.embedded = self.url.get_backend_name() == "sqlite"
            self.engine = (
                _sqlite_engine(self.url)
                if self.embedded
                else _server_engine(self.url)
            )
        except (sqlalchemy.exc.ArgumentError, ImportError) as error:
            raise exceptions.ConfigurationError(
                "connection is no database URL that can be used here:"
                f" {type(error).__name__}; expected for example"
                " postgresql+psycopg2://user@host/name, with its driver"
                " installed"
            ) from error
        self._reader = self.engine.execution_options(read_only=True)
        self._single = (
            self.engine
            if self.embedded
            else self.engine.execution_options(isolation_level="AUTOCOMMIT")
        )

    @property
    def dialect(self) -> str:
        """The database's kind: sqlite, postgresql or mysql."""
        return self.engine.dialect.name

    def write(self) -> contextlib.AbstractContextManager[Any]:
        """Open a transaction that commits at the end of the block."""
        return _in_words(self.engine)

    def transact(self, work: Callable[[Any], _Given]) -> _Given:
        """Do ``work`` in a transaction, anew when it met a deadlock.

        A server ends one of those that wait for each other; nothing of it was
        written.

        :returns: what ``work`` gave when it was committed
        """
        for number in range(1, _TIMES + 1):
            try:
                with self.write() as connection:
                    given = work(connection)
            except exceptions.DatabaseUnreachable as error:
                met = isinstance(error.__cause__, db_exc.DBDeadlock)
                if not met or number == _TIMES:
                    raise
                # Eight that want the same row met again and again on MariaDB.
                time.sleep(random.uniform(0, 0.01 * number))
            else:
                return given
        raise AssertionError("the last time either returns or raises")

    def read(self) -> contextlib.AbstractContextManager[Any]:
        """Open a transaction that only reads."""
        return _in_words(self._reader)

    def single(self) -> contextlib.AbstractContextManager[Any]:
        """Open a connection for one statement that commits by itself.

        Where the server can, it is sent without BEGIN and COMMIT: one round
        trip a checkpoint. SQLite, which would lose the write with AUTOCOMMIT,
        gets a transaction.
        """
        return _in_words(self._single)

    def writer(self) -> "Writer":
        """Give a connection kept for statements that commit by themselves."""
        return Writer(self._single, embedded=self.embedded)

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()


class Writer:
    """One connection, kept from statement to statement; not thread-safe.

    Taking one from the pool for each costs as much again as the statement:
    it is pinged, its isolation level set, and all reset afterwards.
    """

    def __init__(self, engine: sqlalchemy.Engine, *, embedded: bool) -> None:
        """Connect when the first statement comes."""
        self._engine = engine
        self._embedded = embedded
        self._connection: sqlalchemy.Connection | None = None

    def run(self, statement: sqlalchemy.Update, values: dict[str, Any]) -> int:
        """Run one statement, durable when this returns; give rows matched.

        :raises DatabaseUnreachable: when the database is away; the next call
            connects anew
        """
        try:
            with _translated(self._engine):
                if self._connection is None:
                    self._connection = self._engine.connect()
                matched = self._connection.execute(statement, values).rowcount
                if self._embedded:
                    self._connection.commit()
                return matched
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the connection back."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(*OUTAGES, db_exc.DBError):
                connection.close()


@contextlib.contextmanager
def _in_words(engine: sqlalchemy.Engine) -> Iterator[sqlalchemy.Connection]:
    with _translated(engine), engine.begin() as connection:
        yield connection


@contextlib.contextmanager
def _translated(engine: sqlalchemy.Engine) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if _is_outage(error):
            raise exceptions.DatabaseUnreachable(
                f"the database at {_shown(engine.url)} cannot be used:"
                f" {_first_line(error)}"
            ) from error
        raise


def _shown(url: sqlalchemy.URL) -> str:
    return url.set(query={}).render_as_string(hide_password=True)


def _first_line(error: BaseException) -> str:
    cause = getattr(error, "inner_exception", None) or error
    cause = getattr(cause, "orig", None) or cause
    return (str(cause).strip().splitlines() or [type(error).__name__])[0]


def _server_engine(url: sqlalchemy.URL) -> sqlalchemy.Engine:
    if url.get_backend_name() in ("mysql", "mariadb"):
        url = url.update_query_dict(
            {
                # oslo.db's utf8 is three bytes at most to MariaDB.
                "charset": "utf8mb4",
                # InnoDB's own level locks gaps: 20 deadlocks in 100 claims.
                "init_command": "SET SESSION TRANSACTION ISOLATION LEVEL"
                " READ COMMITTED",
            }
        )
    engine: sqlalchemy.Engine = oslo_engines.create_engine(
        url.render_as_string(hide_password=False),
        max_pool_size=10,
        max_overflow=30,
        mysql_sql_mode="TRADITIONAL",
        # Connect lazily: a service must start while its database is away.
        max_retries=0,
        # For eventlet: it sleeps each time a connection goes back.
        thread_checkin=False,
    )
    sqlalchemy.event.listen(
        engine, "connect", functools.partial(_set_session, engine.dialect)
    )
    return engine


def _set_session(
    dialect: sqlalchemy.Dialect, connection: Any, _record: Any
) -> None:
    """Have the server tell UTC, and end what a frozen process began.

    Our transactions take milliseconds. One that a frozen process holds keeps
    its task's row locked, and the task from being taken over.
    """
    settings = []
    if dialect.name == "postgresql":
        timeout = _FROZEN_S * 1000
        settings.append(f"idle_in_transaction_session_timeout = {timeout}")
    if dialect.name == "mysql":
        # Else its clock leaps by an hour in the night that summer ends.
        settings.append("SESSION time_zone = '+00:00'")
    if getattr(dialect, "is_mariadb", False):
        settings.append(f"SESSION idle_transaction_timeout = {_FROZEN_S}")
    with contextlib.closing(connection.cursor()) as cursor:
        for setting in settings:
            cursor.execute(f"SET {setting}")
    connection.commit()


def _sqlite_engine(url: sqlalchemy.URL) -> sqlalchemy.Engine:
    if url.database:
        pathlib.Path(url.database).parent.mkdir(
            mode=0o700, parents=True, exist_ok=True
        )
    # oslo.db would give it a NullPool, and a commit then costs 7 ms, not 1.6.
    engine = sqlalchemy.create_engine(
        url,
        poolclass=pool.QueuePool,
        pool_size=10,
        max_overflow=30,
        connect_args={
            "timeout": _SQLITE_BUSY_S,
            "check_same_thread": False,
            # The driver must not begin transactions: it would begin a
            # deferred one, whose first write fails "locked" at once.
            "isolation_level": None,
        },
    )
    sqlalchemy.event.listen(engine, "connect", _sqlite_connected)
    sqlalchemy.event.listen(engine, "begin", _sqlite_begin)
    exc_filters.register_engine(engine)
    return engine


def _while_locked() -> tenacity.Retrying:
    """Try again while others do: SQLite does not wait for a change of mode.

    Several processes that open a new database at once meet that.
    """
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_message(match=".*locked"),
        stop=tenacity.stop_after_delay(_SQLITE_BUSY_S),
        wait=tenacity.wait_random(0, 0.02),
        reraise=True,
    )


def _sqlite_connected(connection: sqlite3.Connection, _record: Any) -> None:
    for attempt in _while_locked():
        with attempt:
            connection.execute("PRAGMA journal_mode=WAL")
    # FULL, not NORMAL: a checkpoint must outlive a loss of power.
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    # What is deleted, secrets among it, is overwritten and does not linger
    # in free pages.
    connection.execute("PRAGMA secure_delete=ON")


def _sqlite_begin(connection: sqlalchemy.Connection) -> None:
    reading = connection.get_execution_options().get("read_only")
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
