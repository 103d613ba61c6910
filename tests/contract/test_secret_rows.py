# SPDX-License-Identifier: Apache-2.0
"""The rows of secrets, on every database."""

import pytest

from glance_tasks import ports
from glance_tasks.persistence import database as db
from glance_tasks.persistence import secrets
from tests.support import engines
from tests.support import task_types

NAMES = ("a", "b", "c")
GONE = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def database(clean_database_url):
    database = db.Database(clean_database_url)
    yield database
    database.close()


def kept(key_id="key", sealed=bytes(range(256))):
    return dict.fromkeys(NAMES, ports.KeptSecret(key_id, sealed))


def add(database, task_id, *, elsewhere=False, **chosen):
    with database.write() as connection:
        secrets.add(connection, task_id, kept(**chosen), elsewhere=elsewhere)


def test_what_is_written_is_read(database):
    add(database, "here")
    add(database, "there", elsewhere=True)

    for task_id, elsewhere in (("here", False), ("there", True)):
        rows = secrets.of_task(database, task_id)
        assert [row.name for row in rows] == list(NAMES)
        assert {row.kept for row in rows} == set(kept().values())
        assert {row.elsewhere for row in rows} == {elsewhere}


def test_shredding_leaves_the_notes_of_what_lies_elsewhere(database):
    add(database, "here")
    add(database, "kept")
    add(database, "there", elsewhere=True)

    with database.write() as connection:
        secrets.shred(connection, ["here", "there"])

    tasks = ("here", "kept", "there")
    left = [len(secrets.of_task(database, task_id)) for task_id in tasks]
    assert left == [0, 3, 3]


def test_what_was_intended_is_no_secret_until_it_is_kept(database):
    with database.write() as connection:
        secrets.intend(connection, GONE, NAMES)

    intended = secrets.of_task(database, GONE)
    add(database, GONE, elsewhere=True)

    assert [row.kept for row in intended] == [None] * 3
    assert all(row.elsewhere for row in intended)
    assert {row.kept for row in secrets.of_task(database, GONE)} == set(
        kept().values()
    )


def test_strays_are_of_tasks_that_ended_or_never_began(
    clean_database_url, database, tmp_path
):
    world = task_types.World(tmp_path / "world")
    with engines.opened(
        tmp_path / "home", database_url=clean_database_url
    ) as engine:
        ended = engine.submit("line", world.given())
        engines.run_all(engine)
        living = engine.submit("line", world.given())
    for task_id in (ended.id, living.id, GONE):
        add(database, task_id, elsewhere=True)
    with database.write() as connection:
        secrets.intend(connection, "about", NAMES)

    now = secrets.strays(database)
    later = secrets.strays(database, older_than=60.0)
    of_one = secrets.strays(database, task_id=ended.id)

    assert {row.task_id for row in now} == {ended.id, GONE, "about"}
    assert {row.task_id for row in later} == {ended.id, GONE}
    assert {row.task_id for row in of_one} == {ended.id}


def test_rows_that_another_key_sealed_come_in_pages(database):
    for task_id in ("one", "two", "three"):
        add(database, task_id)
    add(database, "new", key_id="new")
    add(database, "there", elsewhere=True)

    pages, last = [], None
    while page := secrets.sealed_otherwise(
        database, "new", after=last, limit=2
    ):
        pages.append(len(page))
        last = page[-1]

    assert pages == [2, 2, 2, 2, 1]
    assert (last.task_id, last.name) == ("two", "c")


def test_a_row_is_replaced_only_as_it_was_read(database):
    add(database, "one")
    row = secrets.of_task(database, "one")[0]
    new = ports.KeptSecret("new", b"sealed again")

    with database.write() as connection:
        done = [secrets.replace(connection, row, new) for _ in range(2)]

    assert done == [True, False]
    assert secrets.of_task(database, "one")[0].kept == new


def test_a_row_that_is_removed_takes_no_other_with_it(database):
    add(database, "one", elsewhere=True)
    add(database, "two", elsewhere=True)

    secrets.remove(database, secrets.of_task(database, "one")[0])

    assert len(secrets.of_task(database, "one")) == 2
    assert len(secrets.of_task(database, "two")) == 3
