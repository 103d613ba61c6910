# SPDX-License-Identifier: Apache-2.0
"""The schema is what the models say, on every database."""

import subprocess
import sys
import threading

from alembic.autogenerate import api
from alembic.runtime import migration
from alembic.script import ScriptDirectory
import pytest
import sqlalchemy as sa

from glance_tasks import exceptions
from glance_tasks.persistence import database as db
from glance_tasks.persistence import migrations
from glance_tasks.persistence import models
from glance_tasks.testing import cuts

TABLES = {table.name for table in models.METADATA.sorted_tables}


@pytest.fixture
def database(database_url):
    database = db.Database(database_url)
    yield database
    database.close()


def tables(database):
    return set(sa.inspect(database.engine).get_table_names())


def test_an_empty_database_is_behind(database):
    with pytest.raises(exceptions.SchemaBehind, match="revision none"):
        migrations.check(database)
    assert migrations.version(database) is None


def test_a_sync_brings_every_table(database):
    migrations.sync(database)

    migrations.check(database)
    assert migrations.version(database) == migrations.HEAD
    assert tables(database) == TABLES | {migrations.VERSION_TABLE}


def test_a_second_sync_changes_nothing(database):
    migrations.sync(database)
    with database.write() as connection:
        connection.execute(
            sa.insert(models.LOCKS).values(
                resource="image", task_id="task", exclusive=True
            )
        )

    migrations.sync(database)

    with database.read() as connection:
        rows = connection.execute(sa.select(models.LOCKS)).all()
    assert len(rows) == 1


def test_the_tables_are_those_of_the_models(database):
    migrations.sync(database)

    with database.read() as connection:
        context = migration.MigrationContext.configure(
            connection,
            opts={
                "version_table": migrations.VERSION_TABLE,
                "compare_type": True,
            },
        )
        differences = api.compare_metadata(context, models.METADATA)

    assert differences == []


def constraints(database):
    inspector = sa.inspect(database.engine)
    return {
        (constraint["name"], constraint["sqltext"])
        for table in TABLES
        for constraint in inspector.get_check_constraints(table)
    }


def test_the_checks_are_those_of_the_models(database):
    migrations.sync(database)
    migrated = constraints(database)
    with database.write() as connection:
        models.METADATA.drop_all(connection)
        models.METADATA.create_all(connection)

    assert len(migrated) >= 6
    assert constraints(database) == migrated


def test_the_release_needs_the_newest_revision():
    location = migrations.__path__[0]

    assert ScriptDirectory(location).get_current_head() == migrations.HEAD


def test_another_services_version_is_left_alone(database):
    with database.write() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE alembic_version (version_num VARCHAR(32))"
        )
        connection.exec_driver_sql(
            "INSERT INTO alembic_version VALUES ('glance33')"
        )
        connection.exec_driver_sql("CREATE TABLE tasks (id VARCHAR(36))")

    migrations.sync(database)

    with database.read() as connection:
        found = connection.exec_driver_sql("SELECT * FROM alembic_version")
        assert found.scalar() == "glance33"
    assert {"tasks", "alembic_version"} < tables(database)


def test_a_database_that_is_newer_is_left_alone(database):
    migrations.sync(database)
    with database.write() as connection:
        connection.exec_driver_sql(
            "UPDATE glance_tasks_version SET version_num = '9999'"
        )

    for ask in (migrations.check, migrations.sync):
        with pytest.raises(exceptions.SchemaBehind, match="9999"):
            ask(database)


SYNC = """
import sys
from glance_tasks.persistence import database, migrations
found = database.Database(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
migrations.sync(found)
"""


def test_several_processes_sync_at_once(database, database_url):
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SYNC, database_url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for process in processes:
        process.stdout.readline()

    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    errors = [process.communicate(timeout=60)[1] for process in processes]

    assert [process.returncode for process in processes] == [0, 0, 0], errors
    migrations.check(database)


def test_databases_of_one_process_are_synced_at_once(tmp_path):
    found = [db.Database(f"sqlite:///{tmp_path / str(n)}") for n in range(8)]
    failed = []

    def sync(database):
        try:
            migrations.sync(database)
            migrations.check(database)
        except Exception as error:  # noqa: BLE001 - shown by the assertion
            failed.append(error)

    # A daemon: what waits for ever must not hold up the end of the tests.
    threads = [
        threading.Thread(target=sync, args=(database,), daemon=True)
        for database in found
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert not any(thread.is_alive() for thread in threads)
    assert failed == []
    assert [tables(d) >= TABLES for d in found] == [True] * 8
    for database in found:
        database.close()


def test_a_sync_that_was_cut_is_done_again(database):
    # MariaDB commits at every CREATE TABLE: a cut leaves some of them.
    for number in range(1, 30, 3):
        cutter = cuts.Cutter(cuts.Cut(number, "after"), ddl=True)
        with cutter.watching(database.engine):
            try:
                migrations.sync(database)
            except cuts.PowerCut:
                continue
        break

    migrations.sync(database)

    migrations.check(database)
    assert tables(database) == TABLES | {migrations.VERSION_TABLE}
