# SPDX-License-Identifier: Apache-2.0
"""``glance-tasks upgrade check``: what a release would strand."""

import sqlite3

import pytest

from glance_tasks.persistence import database as db
from tests.support import importing
from tests.support import installation


@pytest.fixture
def here(tmp_path):
    return installation.Installation(tmp_path)


def test_a_new_installation_is_ready(here):
    done = here.run("upgrade", "check")

    assert done.code == 0
    assert done.out.count("Result: Success") == 3


def test_a_task_whose_type_is_gone_is_named(here):
    here.submit(importing.given("https://example.com/disk"))
    (database,) = here.data_dir.glob("*.sqlite")
    # Some ids could be broken at a hyphen, and this one is.
    renamed = "352c03f0-8a86-4b7f-82fb-dee3df69c223"
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE gt_tasks SET type = 'long-gone'")
        connection.execute("UPDATE gt_tasks SET id = ?", (renamed,))

    done = here.run("upgrade", "check")

    assert done.code == 2
    assert "Result: Failure" in done.out
    assert renamed in done.out
    assert "no task type" in " ".join(done.out.replace("|", "").split())
    assert "Traceback" not in done.out + done.err


def test_a_schema_that_is_behind_is_a_warning(tmp_path, postgresql_url):
    here = installation.Installation(tmp_path, connection=postgresql_url)

    done = here.run("upgrade", "check")

    assert done.code == 1
    assert "db sync" in done.out
    assert done.out.count("Result: Warning") == 3


def test_a_database_that_is_away_is_said_to_be(tmp_path):
    url = "postgresql+psycopg2://me:hunter2@127.0.0.1:1/absent"
    here = installation.Installation(tmp_path, connection=url)

    done = here.run("upgrade", "check")

    assert done.code == 3
    assert "hunter2" not in done.out + done.err
    assert db.Database(url).dialect == "postgresql"
