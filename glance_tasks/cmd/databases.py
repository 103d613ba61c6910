# SPDX-License-Identifier: Apache-2.0
"""Commands about the database's schema."""

import argparse
from typing import Any

from glance_tasks import opts
from glance_tasks.cmd import answers
from glance_tasks.persistence import database as db
from glance_tasks.persistence import migrations


class _DatabaseAnswer(answers.ShowAnswer):
    def _database(self) -> db.Database:
        return db.Database(opts.connection(self.app.conf))

    def _state(self, database: db.Database, formatter: str) -> Any:
        return answers.columns(
            {
                "version": migrations.version(database),
                "needed": migrations.HEAD,
                "database": database.dialect,
            },
            formatter,
        )


class DbSync(_DatabaseAnswer):
    """Bring the database's schema up to date."""

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Sync, and give the version."""
        database = self._database()
        migrations.sync(database)
        return self._state(database, parsed_args.formatter)


class DbVersion(_DatabaseAnswer):
    """Show which version the database's schema has, and which is needed."""

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Give the versions."""
        return self._state(self._database(), parsed_args.formatter)


class DbCheck(_DatabaseAnswer):
    """Check that the schema is what this release needs; exit 4 if not."""

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Check, and give the versions."""
        database = self._database()
        migrations.check(database)
        return self._state(database, parsed_args.formatter)
