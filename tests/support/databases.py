# SPDX-License-Identifier: Apache-2.0
"""Fixtures that give a test an empty database of its own, of every kind.

Where a server is not installed its tests are skipped, and fail with CI=true.
"""

from collections.abc import Iterator
import contextlib
import os
import pathlib

import pytest

from glance_tasks.testing import servers

KINDS = ("sqlite", "postgresql", "mysql")


@contextlib.contextmanager
def running(kind: type[servers.Server]) -> Iterator[servers.Server]:
    """Run a server for the block.

    Where it is not installed the test is skipped, and fails with CI=true.
    """
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(servers.running(kind))
        except servers.ServerAbsent as error:
            absent = f"{kind.__name__} cannot be tested: {error}"
            if os.environ.get("CI") == "true":
                pytest.fail(absent)
            pytest.skip(absent)
        yield server


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[servers.Server]:
    """Give the PostgreSQL server of this session, shared by its tests."""
    with running(servers.PostgreSQL) as server:
        yield server


@pytest.fixture(scope="session")
def mysql_server() -> Iterator[servers.Server]:
    """Give the MariaDB server of this session, shared by its tests."""
    with running(servers.MariaDB) as server:
        yield server


@pytest.fixture
def postgresql_url(postgresql_server: servers.Server) -> Iterator[str]:
    """Give the URL of an empty PostgreSQL database."""
    with postgresql_server.database() as url:
        yield url


@pytest.fixture
def mysql_url(mysql_server: servers.Server) -> Iterator[str]:
    """Give the URL of an empty MariaDB database."""
    with mysql_server.database() as url:
        yield url


@pytest.fixture
def sqlite_url(tmp_path: pathlib.Path) -> str:
    """Give the URL of an SQLite database that does not exist yet."""
    return f"sqlite:///{tmp_path / 'database.sqlite'}"


@pytest.fixture(params=KINDS)
def database_url(request: pytest.FixtureRequest) -> str:
    """Give the URL of an empty database of each kind in turn."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url
