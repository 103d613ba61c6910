# SPDX-License-Identifier: Apache-2.0
"""Databases of real servers, as fixtures."""

from typing import ClassVar

from glance_tasks.testing import fixture
from glance_tasks.testing import servers


class _DatabaseFixture(fixture.PlainFixture):
    """A server and an empty database in it.

    The server runs under a temporary directory, is reached through a socket
    there, and is asked for its data directory before anything is written: it
    cannot be taken for another one. It ends with the fixture, and with the
    tests when they are killed.

    :ivar server: the running :class:`Server`
    :ivar url: the database's SQLAlchemy URL, for ``connection``
    """

    kind: ClassVar[type[servers.Server]]
    server: servers.Server
    url: str

    def __init__(
        self, server: servers.Server | None = None, *, durable: bool = True
    ) -> None:
        """Choose where the database is made.

        :param server: one that runs already, such as another fixture's; to
            start a new one takes a second or two
        :param durable: False saves a new server's syncs, for plain logic
        """
        super().__init__()
        self._server = server
        self._durable = durable

    def _setUp(self) -> None:
        self.server = self._server or self._enter(
            servers.running(self.kind, durable=self._durable)
        )
        self.url = self._enter(self.server.database())


class PostgreSQLFixture(_DatabaseFixture):
    """An empty database in a PostgreSQL server of our own.

    ``setUp`` raises :class:`ServerAbsent` where it is not installed.
    """

    kind = servers.PostgreSQL


class MariaDBFixture(_DatabaseFixture):
    """An empty database in a MariaDB server of our own.

    ``setUp`` raises :class:`ServerAbsent` where it is not installed.
    """

    kind = servers.MariaDB
