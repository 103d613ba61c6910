# SPDX-License-Identifier: Apache-2.0
"""What a service writes against the library; never run, only type checked.

``assert_type`` fails in mypy when a public name lost its type on the way.
"""

from collections.abc import Mapping
from typing import Any
from typing import assert_type

from oslo_config import cfg

import glance_tasks


def engine_of(conf: cfg.ConfigOpts) -> glance_tasks.TaskEngine:
    """Make an engine of a configuration of the service's own."""
    glance_tasks.register_opts(conf)
    return glance_tasks.TaskEngine(conf)


def import_image(
    engine: glance_tasks.TaskEngine, project_id: str, uri: str
) -> str:
    """Submit an import for a project; say what became of it."""
    requester = glance_tasks.Requester(project_id=project_id)
    task = engine.submit(
        "import",
        {"import_from": uri, "import_from_format": "qcow2"},
        requester=requester,
    )
    assert_type(task, glance_tasks.Task)
    ended = engine.wait(task.id, 60.0, requester)
    assert_type(ended.status, glance_tasks.Status)
    assert_type(ended.result, Mapping[str, Any] | None)
    if ended.failure:
        assert_type(ended.failure, glance_tasks.Failure)
        return ended.failure.advice
    return ended.image_id or ""


def queued(engine: glance_tasks.TaskEngine) -> list[str]:
    """Give the ids of the tasks that wait."""
    found = engine.find(filters={"status": glance_tasks.Status.PENDING})
    assert_type(found, list[glance_tasks.Task])
    return [task.id for task in found]


def explain(error: glance_tasks.GlanceTasksError) -> list[tuple[str, str]]:
    """Tell the errors apart that a service answers differently."""
    if isinstance(error, glance_tasks.InvalidInput):
        assert_type(error.errors, list[tuple[str, str]])
        return error.errors
    if isinstance(error, glance_tasks.TaskError):
        assert_type(error.code, str)
        return [("", error.advice)]
    return [("", str(error))]


def work(engine: glance_tasks.TaskEngine) -> None:
    """Run a conductor inside the service until there is nothing to do."""
    conductor = glance_tasks.Conductor(engine)
    conductor.start()
    conductor.stop()
