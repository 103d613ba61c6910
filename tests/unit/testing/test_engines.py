# SPDX-License-Identifier: Apache-2.0
"""An engine for a test: its own, complete, and gone afterwards."""

import functools

import fixtures
from oslo_config import cfg
import pytest

import glance_tasks as gt
from glance_tasks import testing
from tests.support import engines
from tests.support import importing
from tests.support import task_types


def kit(**chosen):
    return testing.EngineFixture(
        types=task_types.TYPES, checks=task_types.CHECKS, **chosen
    )


def test_a_task_runs_to_its_end_in_this_thread(world):
    with kit() as fixture:
        submitted = fixture.engine.submit("line", world.given())

        ended = fixture.run(submitted.id)

    assert ended.status is gt.Status.SUCCESS
    assert world.counts()["execute step-0"] == 1


def test_nothing_of_it_stays(world):
    with kit() as fixture:
        fixture.run(fixture.engine.submit("line", world.given()).id)
        assert (fixture.home / "glance-tasks.sqlite").exists()

    assert not fixture.home.exists()
    assert fixture.engine.database.engine.pool.checkedin() == 0


def test_a_directory_of_the_test_s_own_stays(tmp_path, world):
    with kit(home=tmp_path) as fixture:
        submitted = fixture.engine.submit("line", world.given())

    with kit(home=tmp_path) as fixture:
        ended = fixture.run(submitted.id)

    assert ended.status is gt.Status.SUCCESS


def test_a_restarted_engine_knows_its_tasks_and_goes_on(world):
    with kit() as fixture:
        task = fixture.engine.submit("line", world.given(die_at="step-3"))
        with pytest.raises(AssertionError, match="processing in its claim 1"):
            fixture.run(task.id)
        before = fixture.engine

        after = fixture.restart()
        world.open_gate()
        ended = fixture.run(task.id)

    assert after is fixture.engine is not before
    assert ended.status is gt.Status.SUCCESS
    assert world.counts()["execute step-0"] == 1
    assert world.counts()["execute step-3"] == 2


def test_a_task_that_somebody_else_holds_is_not_waited_for(world):
    with kit() as fixture:
        task = fixture.engine.submit("line", world.given())
        engines.claim(fixture.engine, task.id, "somebody")

        with pytest.raises(AssertionError, match="expected it to have ended"):
            fixture.run(task.id)


def test_options_of_every_group_are_chosen_by_name(world):
    settings = {"glance_tasks_fetch": {"max_bytes": 7}}

    with kit(settings=settings, max_attempts=3) as fixture:
        conf = fixture.engine.conf

    assert conf.glance_tasks.max_attempts == 3
    assert conf.glance_tasks_fetch.max_bytes == 7
    assert conf.glance_tasks_fetch.allowed_ports == []


def test_an_option_there_is_not_is_named():
    with pytest.raises(cfg.NoSuchOptError, match="frobnicate"):
        kit(frobnicate=True).setUp()


def test_two_engines_know_nothing_of_each_other(world):
    with kit() as one, kit() as other:
        task = one.engine.submit("line", world.given())

        with pytest.raises(gt.TaskNotFound):
            other.engine.get(task.id)


def test_without_types_those_installed_are_used():
    with testing.EngineFixture() as fixture:
        assert "import" in fixture.engine.registry.names()


def test_the_configured_store_and_catalogue_can_be_wrapped():
    faults = {
        "wrap_store": functools.partial(testing.FailingStore, side="after"),
        "wrap_catalogue": functools.partial(testing.FailingCatalogue, call=9),
    }
    with (
        testing.HttpSource() as source,
        testing.EngineFixture(types=importing.TYPES, **faults) as fixture,
    ):
        uri = source.put("/a", testing.Resource(importing.noise(1 << 16)))
        task = fixture.engine.submit("import", importing.given(uri))

        ended = fixture.run(task.id)

        assert ended.failure.code == "store_unavailable"
        assert fixture.engine.store.calls == ["put", "delete"]
        assert fixture.engine.catalogue.calls == []
        assert testing.find_leftovers(fixture.engine) == []


def test_an_error_of_setting_up_is_raised_as_it_is(tmp_path):
    class Outer(fixtures.Fixture):
        """A fixture that uses ours."""

        def _setUp(self):
            self.useFixture(kit(connection="nonsense"))

    with pytest.raises(gt.ConfigurationError, match="no database URL"):
        kit(connection="nonsense").setUp()
    with pytest.raises(fixtures.MultipleExceptions) as caught:
        Outer().setUp()
    assert caught.value.args[0][0] is gt.ConfigurationError
