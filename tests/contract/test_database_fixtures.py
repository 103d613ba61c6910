# SPDX-License-Identifier: Apache-2.0
"""Databases of real servers for suites that know no pytest fixtures."""

import shutil

import pytest
import sqlalchemy as sa

import glance_tasks as gt
from glance_tasks import testing
from tests.support import task_types

KINDS = {
    "postgresql": testing.PostgreSQLFixture,
    "mysql": testing.MariaDBFixture,
}


@pytest.fixture(params=KINDS)
def kind(request):
    """Give the fixture of each kind, where its server is installed."""
    request.getfixturevalue(f"{request.param}_server")
    return KINDS[request.param]


@pytest.fixture(params=KINDS)
def running(request):
    """Give the fixture of each kind and a server of the session."""
    server = request.getfixturevalue(f"{request.param}_server")
    return KINDS[request.param], server


def test_a_server_of_its_own_is_gone_with_the_fixture(kind):
    with kind(durable=False) as database:
        used = sa.create_engine(database.url)
        with used.begin() as connection:
            assert sa.inspect(connection).get_table_names() == []
        used.dispose()
        process, home = database.server.process, database.server.directory
        assert home.exists()

    assert process.poll() is not None
    assert not home.exists()


def test_a_server_that_runs_already_goes_on(running):
    kind, server = running

    with kind(server) as one, kind(server) as other:
        assert one.url != other.url
        assert one.server is other.server is server

    assert server.process.poll() is None


def test_an_engine_works_in_it(running, tmp_path):
    kind, server = running
    world = task_types.World(tmp_path / "world")

    with (
        kind(server) as database,
        testing.EngineFixture(
            types=task_types.TYPES, connection=database.url
        ) as kit,
    ):
        ended = kit.run(kit.engine.submit("line", world.given()).id)

        assert ended.status is gt.Status.SUCCESS
        assert testing.find_leftovers(kit.engine) == []


@pytest.mark.parametrize("kind", KINDS.values())
def test_an_absent_server_can_be_told_from_a_broken_one(monkeypatch, kind):
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)

    with pytest.raises(testing.ServerAbsent, match="no program"):
        kind().setUp()
