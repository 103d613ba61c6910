# SPDX-License-Identifier: Apache-2.0
"""Fixtures that give many tests one database in turn, emptied for each.

To make a database anew for each costs MariaDB half a second.
"""

from collections.abc import Iterator
import contextlib
import pathlib

import pytest

from glance_tasks.persistence import database as db
from glance_tasks.persistence import migrations
from glance_tasks.persistence import models
from tests.support import databases


@pytest.fixture(scope="module", params=databases.KINDS)
def synced_database_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Give a database of each kind in turn, brought up to date."""
    with contextlib.ExitStack() as stack:
        if request.param == "sqlite":
            url = _sqlite(tmp_path_factory.mktemp("synced"))
        else:
            server = request.getfixturevalue(f"{request.param}_server")
            url = stack.enter_context(server.database())
        database = db.Database(url)
        migrations.sync(database)
        database.close()
        yield url


def _sqlite(directory: pathlib.Path) -> str:
    return f"sqlite:///{directory / 'database.sqlite'}"


@pytest.fixture
def clean_database_url(synced_database_url: str) -> str:
    """Give the URL of a database without a row, of each kind in turn."""
    database = db.Database(synced_database_url)
    with database.write() as connection:
        for table in models.METADATA.sorted_tables:
            connection.execute(table.delete())
    database.close()
    return synced_database_url
