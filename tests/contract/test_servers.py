# SPDX-License-Identifier: Apache-2.0
"""What the tests rely on of the database servers they start."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest
import sqlalchemy as sa

from glance_tasks.testing import servers
from tests.support import databases
from tests.support import engines

ROOT = pathlib.Path(__file__).parents[2]
KINDS = ("postgresql_server", "mysql_server")

KILLED = """
import os, sys
from glance_tasks.testing import servers
with servers.running(getattr(servers, sys.argv[1])) as server:
    print(server.process.pid, server.directory, flush=True)
    os._exit(9)
"""


def alive(pid):
    # An orphan that nobody has waited for yet is dead too.
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return state.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize("kind", KINDS)
def test_each_test_gets_an_empty_database(request, kind):
    server = request.getfixturevalue(kind)
    tables = []

    for _ in range(2):
        with server.database() as url:
            used = sa.create_engine(url)
            with used.begin() as connection:
                tables.append(sa.inspect(connection).get_table_names())
                connection.execute(sa.text("CREATE TABLE leftover (id INT)"))
            used.dispose()

    assert tables == [[], []]


@pytest.mark.parametrize("kind", KINDS)
def test_a_database_in_use_is_dropped_all_the_same(request, kind):
    server = request.getfixturevalue(kind)
    with server.database() as url:
        used = sa.create_engine(url)
        connection = used.connect()
        connection.execute(sa.text("CREATE TABLE busy (id INT)"))
        connection.commit()
        connection.execute(sa.text("SELECT * FROM busy"))

    connection.invalidate()
    used.dispose()


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="no setpriv")
@pytest.mark.parametrize("kind", KINDS)
def test_a_server_ends_though_its_tests_are_killed(request, kind):
    name = type(request.getfixturevalue(kind)).__name__
    died = subprocess.run(
        [sys.executable, "-c", KILLED, name],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert died.returncode == 9, died.stderr
    pid, directory = died.stdout.split()

    try:
        engines.until(lambda: not alive(int(pid)), "its end", limit=30)
    finally:
        shutil.rmtree(directory)


@pytest.mark.parametrize(
    ("ci", "outcome"),
    [("true", pytest.fail.Exception), ("", pytest.skip.Exception)],
)
def test_an_absent_server_is_a_failure_only_in_ci(monkeypatch, ci, outcome):
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)

    with (
        pytest.raises(outcome, match="PostgreSQL cannot be tested"),
        databases.running(servers.PostgreSQL),
    ):
        pass
