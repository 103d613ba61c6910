# SPDX-License-Identifier: Apache-2.0
"""Real database servers, started by the tests and stopped with them.

Each lives in a temporary directory of its own and is reached through a Unix
socket there, so that it cannot be taken for somebody else's; before anything
is written to it, it is asked for its data directory.
"""

import abc
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import itertools
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from typing import Any

import psycopg2
import pymysql

# Seconds; a MariaDB that recovers after a kill has been seen to need six.
_START_S = 60
_STOP_S = 30


class ServerAbsent(Exception):
    """A program or the account it must run under is not installed."""


class Server(abc.ABC):
    """A database server of our own, or none while it is stopped.

    :ivar directory: holds its data, socket and log
    :ivar process: the running server; ``process.pid`` may be sent signals
    """

    account: str
    stop_signal: signal.Signals

    def __init__(self, directory: pathlib.Path, *, durable: bool = True):
        """Make an empty server in ``directory``; :meth:`start` runs it.

        :param durable: False saves the syncs, for tests of plain logic
        :raises ServerAbsent: when it is not installed
        """
        self.directory = directory.resolve()
        self.data = self.directory / "data"
        self.durable = durable
        self.process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count(1)
        self._owner = _owner(self.account)
        if self._owner:
            os.chown(self.directory, *self._owner)
        self._initialise()

    def start(self) -> None:
        """Start the server and wait until it answers, as itself."""
        self.process = self._spawn(
            [*dying_with_us(self.stop_signal), *self._server_command()]
        )
        deadline = time.monotonic() + _START_S
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"it does not start: {self._log_tail()}")
            time.sleep(0.02)
        found = self._data_directory()
        if found.resolve() != self.data:
            self.stop()
            raise RuntimeError(f"{found} answers instead of {self.data}")

    def stop(self, *, kill: bool = False) -> None:
        """End the server and wait for it; again is harmless.

        :param kill: as a power cut would
        """
        if self.process is None:
            return
        # One that a test froze would not see any other signal.
        self.process.send_signal(signal.SIGCONT)
        self.process.send_signal(signal.SIGKILL if kill else self.stop_signal)
        try:
            self.process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """Make an empty database for the block; give its SQLAlchemy URL."""
        name = f"test{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name}")
        try:
            yield self.url(name)
        finally:
            self._drop(name)

    def run(self, statement: str) -> Sequence[Sequence[Any]]:
        """Run one statement as the server's administrator; give its rows."""
        with (
            contextlib.closing(self._connect()) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else ()

    @abc.abstractmethod
    def url(self, name: str) -> str:
        """Give the SQLAlchemy URL of the database ``name``."""

    @property
    @abc.abstractmethod
    def _socket(self) -> pathlib.Path: ...

    @abc.abstractmethod
    def _initialise(self) -> None: ...

    @abc.abstractmethod
    def _server_command(self) -> list[str]: ...

    @abc.abstractmethod
    def _connect(self) -> Any: ...

    @abc.abstractmethod
    def _data_directory(self) -> pathlib.Path: ...

    @abc.abstractmethod
    def _drop(self, name: str) -> None: ...

    def _answers(self) -> bool:
        try:
            # First by hand: pymysql leaks the socket of a refused connection.
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(str(self._socket))
            self.run("SELECT 1")
        except (OSError, psycopg2.OperationalError, pymysql.OperationalError):
            return False
        return True

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        user, group = self._owner or (None, None)
        with (self.directory / "log").open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=self.directory,
                env={"LC_ALL": "C", "PATH": os.environ.get("PATH", "")},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=user,
                group=group,
                extra_groups=None if user is None else [],
                # A Ctrl-C is for the tests; the fixture then stops it.
                start_new_session=True,
            )

    def _run_once(self, command: list[str]) -> None:
        if self._spawn(command).wait(_START_S):
            raise RuntimeError(f"{command[0]} failed: {self._log_tail()}")

    def _log_tail(self) -> str:
        return (self.directory / "log").read_text(errors="replace")[-2000:]


class PostgreSQL(Server):
    """A PostgreSQL server."""

    account = "postgres"
    # "Fast": it does not wait until the tests' connections are gone.
    stop_signal = signal.SIGINT

    @property
    def _socket(self) -> pathlib.Path:
        return self.directory / ".s.PGSQL.5432"

    def _initialise(self) -> None:
        self._run_once(
            [
                *(_program("initdb"), "--no-sync", "--auth=trust"),
                *("--username=postgres", "--encoding=UTF8", "--locale=C"),
                f"--pgdata={self.data}",
            ]
        )

    def _server_command(self) -> list[str]:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.directory),
            "fsync": "on" if self.durable else "off",
            "max_connections": "200",
        }
        command = [_program("postgres"), "-D", str(self.data)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        return command

    def _connect(self) -> Any:
        connection = psycopg2.connect(
            host=str(self.directory), user="postgres", dbname="postgres"
        )
        connection.autocommit = True
        return connection

    def _data_directory(self) -> pathlib.Path:
        return pathlib.Path(self.run("SHOW data_directory")[0][0])

    def _drop(self, name: str) -> None:
        self.run(f"DROP DATABASE {name} WITH (FORCE)")

    def url(self, name: str) -> str:
        return f"postgresql+psycopg2://postgres@/{name}?host={self.directory}"


class MariaDB(Server):
    """A MariaDB server."""

    account = "mysql"
    stop_signal = signal.SIGTERM

    @property
    def _socket(self) -> pathlib.Path:
        return self.directory / "socket"

    def _initialise(self) -> None:
        self._run_once(
            [
                *(_program("mariadb-install-db"), "--no-defaults"),
                *("--skip-test-db", "--skip-name-resolve"),
                "--auth-root-authentication-method=normal",
                f"--datadir={self.data}",
                f"--tmpdir={self.directory}",
            ]
        )

    def _server_command(self) -> list[str]:
        return [
            *(_program("mariadbd"), "--no-defaults", "--skip-networking"),
            f"--datadir={self.data}",
            f"--tmpdir={self.directory}",
            f"--socket={self._socket}",
            f"--pid-file={self.directory / 'pid'}",
            f"--innodb-flush-log-at-trx-commit={int(self.durable)}",
            "--innodb-buffer-pool-size=64M",
            "--max-connections=200",
        ]

    def _connect(self) -> Any:
        return pymysql.connect(
            unix_socket=str(self._socket), user="root", autocommit=True
        )

    def _data_directory(self) -> pathlib.Path:
        return pathlib.Path(self.run("SELECT @@datadir")[0][0])

    def _drop(self, name: str) -> None:
        users = self.run("SELECT id, db FROM information_schema.processlist")
        for connection_id, used in users:
            # An open transaction would hold up the DROP; it may be gone.
            with contextlib.suppress(pymysql.MySQLError):
                if used == name:
                    self.run(f"KILL {connection_id}")
        self.run(f"DROP DATABASE {name}")

    def url(self, name: str) -> str:
        return f"mysql+pymysql://root@/{name}?unix_socket={self._socket}"


def _owner(account: str) -> tuple[int, int] | None:
    if os.getuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(account)
    except KeyError:
        raise ServerAbsent(f"no account {account} to run it under") from None
    return entry.pw_uid, entry.pw_gid


def dying_with_us(stop_signal: signal.Signals) -> list[str]:
    """Give the words that stop a command when the tests are killed.

    No fixture is run then; util-linux has the program nearly everywhere.
    """
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", stop_signal.name[3:]] if setpriv else []


def _program(name: str) -> str:
    homes = sorted(
        pathlib.Path("/usr/lib/postgresql").glob("*/bin"),
        key=lambda home: float(home.parent.name),
        reverse=True,
    )
    places = [*map(str, homes), os.environ.get("PATH", ""), "/usr/sbin"]
    found = shutil.which(name, path=os.pathsep.join(places))
    if found is None:
        raise ServerAbsent(f"no program {name}")
    return found


@contextlib.contextmanager
def running(kind: type[Server], *, durable: bool = True) -> Iterator[Server]:
    """Run a server for the block; it is gone afterwards, whatever happens.

    :raises ServerAbsent: when it is not installed
    """
    # Not tmp_path: only its owner may enter that, and a socket's path must be
    # shorter than 108 bytes.
    with tempfile.TemporaryDirectory(prefix="gt-") as directory:
        server = kind(pathlib.Path(directory), durable=durable)
        try:
            server.start()
            yield server
        finally:
            server.stop()
