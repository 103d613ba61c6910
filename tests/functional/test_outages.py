# SPDX-License-Identifier: Apache-2.0
"""A database that goes away is waited for."""

import contextlib
import os
import signal
import time

import pytest
from taskflow.patterns import linear_flow

import glance_tasks as gt
from glance_tasks.persistence import checkpoints
from glance_tasks.testing import servers
from tests.support import databases
from tests.support import engines
from tests.support import task_types
from tests.support.conducting import conducting
from tests.support.conducting import ended
from tests.support.conducting import noted


@pytest.fixture
def engine(home):
    # A lease this long never lapses in a test: whatever goes on at once does
    # so for another reason.
    with engines.opened(home, claim_ttl=3600.0) as engine:
        yield engine


@pytest.fixture(scope="module")
def postgresql():
    """Run a PostgreSQL server that tests may stop and freeze."""
    with databases.running(servers.PostgreSQL) as server:
        yield server


@pytest.fixture
def remote(postgresql, home):
    """Give an engine on that server, with short leases."""
    with postgresql.database() as url:
        with engines.opened(home, database_url=url, claim_ttl=2.0) as engine:
            yield engine
        if postgresql.process is None:
            postgresql.start()


def restart(server, *, kill):
    server.stop(kill=kill)
    server.start()


@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
def test_a_restart_of_the_database_between_checkpoints_is_not_noticed(
    remote, postgresql, world, kill
):
    task = remote.submit("line", world.given(wait_at="step-2"))
    with conducting(remote):
        noted(world, "execute step-2")

        restart(postgresql, kill=kill)
        world.open_gate()

        assert ended(remote, task).status == "success"
    assert not [line for line in world.journal() if "revert" in line]


def test_a_checkpoint_waits_for_the_database(remote, postgresql, world):
    task = remote.submit("line", world.given(wait_at="step-2"))
    with conducting(remote):
        noted(world, "execute step-2")

        postgresql.stop()
        world.open_gate()
        noted(world, "finished step-2")
        postgresql.start()

        assert ended(remote, task).status == "success"
    assert not [line for line in world.journal() if "revert" in line]


def test_a_checkpoint_waits_for_a_frozen_database(remote, postgresql, world):
    task = remote.submit("line", world.given(wait_at="step-2"))
    with conducting(remote):
        noted(world, "execute step-2")
        children = postgresql.run("SELECT pid FROM pg_stat_activity")

        freeze(postgresql, children, signal.SIGSTOP)
        world.open_gate()
        noted(world, "finished step-2")
        freeze(postgresql, children, signal.SIGCONT)

        assert ended(remote, task).status == "success"
    assert not [line for line in world.journal() if "revert" in line]


def freeze(server, children, number):
    for pid in [server.process.pid, *(row[0] for row in children)]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def test_a_run_that_waits_in_vain_for_the_database_is_resumed(
    remote, postgresql, world, monkeypatch
):
    monkeypatch.setattr(checkpoints, "OUTAGE_S", 0.5)
    task = remote.submit("line", world.given(wait_at="step-2"))
    with conducting(remote) as conductor:
        noted(world, "execute step-2")

        postgresql.stop()
        world.open_gate()
        engines.until(lambda: not conductor._runs, "the run's end")
        postgresql.start()

        assert ended(remote, task).status == "success"
    counts = world.counts()
    assert counts["execute step-2"] == 2
    assert counts["execute step-1"] == 1
    assert not [line for line in world.journal() if "revert" in line]


def test_an_atom_that_advances_while_the_database_is_away_goes_on(
    postgresql, home, world
):
    class Advancing(task_types.Mark):
        def execute(self):
            super().execute()
            self.run.progress.advanced()
            self.world.note("advanced")

    class AdvancingTask(task_types.LineTask):
        def build(self, ctx):
            return linear_flow.Flow("advancing").add(Advancing(ctx, name="a"))

    with (
        postgresql.database() as url,
        engines.opened(
            home, database_url=url, types={"advancing": AdvancingTask}
        ) as engine,
    ):
        task = engine.submit("advancing", world.given(wait_at="a"))
        with conducting(engine):
            noted(world, "execute a")
            postgresql.stop()
            world.open_gate()
            noted(world, "advanced")
            postgresql.start()

            assert ended(engine, task).status == "success"


def test_an_idle_conductor_outlives_its_database(remote, postgresql, world):
    with conducting(remote):
        restart(postgresql, kill=True)
        task = submit_when_possible(remote, world)

        assert ended(remote, task).status == "success"


def submit_when_possible(engine, world):
    deadline = time.monotonic() + 60
    while True:
        try:
            return engine.submit("line", world.given())
        except gt.DatabaseUnreachable:
            assert time.monotonic() < deadline


def test_a_service_is_told_that_its_database_is_away(
    remote, postgresql, world
):
    task = remote.submit("line", world.given())
    postgresql.stop()

    for ask in (
        lambda: remote.submit("line", world.given()),
        lambda: remote.get(task.id),
        remote.find,
        lambda: remote.events(task.id),
        lambda: remote.retry(task.id),
    ):
        with pytest.raises(gt.DatabaseUnreachable):
            ask()

    postgresql.start()
    assert remote.get(task.id) == task
