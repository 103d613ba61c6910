# SPDX-License-Identifier: Apache-2.0
"""What is to go is said where it is used, and by the doctor."""

from oslo_config import cfg
import pytest

from glance_tasks import deprecations
from glance_tasks import opts
from glance_tasks import testing
from tests.support import task_types


class OldTask(task_types.LineTask):
    """A type that is to go."""

    deprecated = "gone after 3.0; use 'line'"


class OldInputTask(task_types.LineTask):
    """A type with an input that is to go."""

    input_schema = {
        **task_types.LineTask.input_schema,
        "properties": {
            **task_types.LineTask.input_schema["properties"],
            "note": {
                "type": "string",
                "deprecated": True,
                "description": "leave it out",
            },
        },
    }


TYPES = {"line": task_types.LineTask, "old": OldTask, "noted": OldInputTask}


@pytest.fixture
def kit():
    with testing.EngineFixture(types=TYPES) as kit:
        yield kit


def said(kit, task):
    events = kit.engine.events(task.id)
    return [event.text for event in events if event.kind == "deprecated"]


@pytest.mark.parametrize(
    ("kind", "more", "text"),
    [
        ("old", {}, ["the type 'old' is to go: gone after 3.0; use 'line'"]),
        ("noted", {"note": "x"}, ["/note is to go: leave it out"]),
        ("noted", {}, []),
        ("line", {}, []),
    ],
)
def test_a_task_says_what_it_uses(kit, world, kind, more, text):
    task = kit.engine.submit(kind, world.given() | more)

    assert said(kit, task) == text
    assert kit.run(task.id).status == "success"


def test_an_option_that_is_set_is_named(monkeypatch):
    old = cfg.StrOpt(
        "old_one",
        deprecated_for_removal=True,
        deprecated_reason="use new_one",
    )
    unset = cfg.StrOpt("older_one", deprecated_for_removal=True)
    group = [*opts.GROUPS["glance_tasks"], old, unset]
    monkeypatch.setitem(opts.GROUPS, "glance_tasks", group)
    conf = cfg.ConfigOpts()
    opts.register_opts(conf)
    conf([], default_config_files=[])
    conf.set_override("old_one", "x", "glance_tasks")

    found = list(deprecations.of_options(conf))

    assert found == ["[glance_tasks] old_one is to go: use new_one"]
