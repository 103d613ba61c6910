# SPDX-License-Identifier: Apache-2.0
"""Makes the grounds of trials, one after the other, each as good as new."""

from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import itertools
import pathlib
import secrets
import shutil
import tempfile
from typing import Any

import sqlalchemy as sa

from glance_tasks.persistence import database as db
from glance_tasks.persistence import migrations
from glance_tasks.testing import servers
from glance_tasks.testing.certification import ground
from glance_tasks.testing.certification import samples
from glance_tasks.testing.certification import stock
from glance_tasks.testing.certification import subject as subjects

_SERVERS: dict[str, Any] = {
    "postgresql": servers.PostgreSQL,
    "mysql": servers.MariaDB,
}

#: The databases that can be certified on.
DATABASES = ("sqlite", *_SERVERS)

_VERSION_TABLE = "version"


class Grounds:
    """Gives each trial a ground; one trial at a time.

    :ivar mark: the query that makes every address of the source a secret:
        it must not be found anywhere but in the task's input
    """

    def __init__(
        self, subject: subjects.Subject, database: str = "sqlite"
    ) -> None:
        """Prepare for ``subject``; what it needs is made in :meth:`opened`.

        :param database: one of :data:`DATABASES`; a server is the kit's own
        """
        self.subject, self.database = subject, database
        self.mark = f"X-Signature={secrets.token_hex(12)}"
        self._numbers = itertools.count(1)

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """Have source and database there for the block.

        :raises ServerAbsent: when the database's server is not installed
        """
        with contextlib.ExitStack() as stack:
            self._home = pathlib.Path(
                # Short: the address of a Unix socket has 108 bytes.
                stack.enter_context(tempfile.TemporaryDirectory(prefix="gtc-"))
            )
            kit = self._home / "kit"
            kit.mkdir()
            self._source = stack.enter_context(
                samples.served(kit, self.subject.serve, self.mark)
            )
            self._shared = f"sqlite:///{kit / 'template.sqlite'}"
            if self.database != "sqlite":
                server = stack.enter_context(
                    servers.running(_SERVERS[self.database])
                )
                self._shared = stack.enter_context(server.database())
            database = db.Database(self._shared)
            migrations.sync(database)
            database.close()
            yield

    @contextlib.contextmanager
    def fresh(self, given: Mapping[str, Any]) -> Iterator[ground.Ground]:
        """Give a ground on which nothing has happened yet.

        :param given: the input, with examples in the place of places
        """
        home = self._home / str(next(self._numbers))
        made = ground.Ground(
            home=str(home),
            url=self._database(home),
            name=self.subject.name,
            place=self.subject.place,
            given=subjects.resolved(
                given, self._source, str(home / "scratch"), self.mark
            ),
            options=self.subject.options,
            images=stock.wanted(given, self._home / "kit"),
            handed=str(stock.handed(given, self._home / "kit")),
        )
        made.make()
        if self.database == "sqlite":
            shutil.copy(
                self._home / "kit" / "template.sqlite", home / "db.sqlite"
            )
        else:
            _empty(self._shared)
        try:
            with made.entered():
                made.stock()
                yield made
        finally:
            shutil.rmtree(home, ignore_errors=True)

    def _database(self, home: pathlib.Path) -> str:
        if self.database == "sqlite":
            return f"sqlite:///{home / 'db.sqlite'}"
        return self._shared


def _empty(url: str) -> None:
    """Delete every row but that of the schema's version."""
    database, found = db.Database(url), sa.MetaData()
    with database.write() as connection:
        found.reflect(connection)
        for table in reversed(found.sorted_tables):
            if _VERSION_TABLE not in table.name:
                connection.execute(table.delete())
    database.close()
