# SPDX-License-Identifier: Apache-2.0
"""For services that make tasks of their calls: what to answer, what to run.

A call of an older API that takes long submits a task and answers with
:func:`accepted`; whoever works for the service needs but one method for tasks
of all types, :func:`execute_task`.
"""

from collections.abc import Mapping
import dataclasses
from typing import Any
from typing import Protocol

from glance_tasks import exceptions
from glance_tasks import task

#: Where Glance's API has its tasks.
PREFIX = "/v2/tasks/"


class Runner(Protocol):
    """What runs tasks: a :class:`glance_tasks.TaskEngine`."""

    def get(
        self, task_id: str, requester: task.Requester | None = None
    ) -> task.Task:
        """Give a task."""

    def run(
        self, task_id: str, requester: task.Requester | None = None
    ) -> task.Task:
        """Run a task; give it as it ends."""


@dataclasses.dataclass(frozen=True, slots=True)
class Accepted:
    """An HTTP answer: that something was begun, and where to look for it.

    :ivar status: 202
    :ivar headers: ``Location`` is the task's link
    :ivar body: JSON
    """

    status: int
    headers: Mapping[str, str]
    body: Mapping[str, Any]


def link(task_id: str) -> str:
    """Give the path of a task in the Tasks API."""
    return f"{PREFIX}{task_id}"


def accepted(submitted: task.Task) -> Accepted:
    """Give what a call answers that made this task."""
    where = link(submitted.id)
    body = {
        "id": submitted.id,
        "type": submitted.type,
        "status": submitted.status.value,
        "image_id": submitted.image_id,
        "request_id": submitted.request_id,
        "self": where,
    }
    return Accepted(202, {"Location": where}, {"task": body})


def execute_task(
    engine: Runner,
    task_ref: task.Task | str,
    image_id: str | None = None,
    requester: task.Requester | None = None,
) -> task.Task:
    """Run a task of whatever type in this thread; give it as it ended.

    Whoever is told of a task by a queue of its own needs no conductor. Where
    one holds it already, waits for that one; a paused task is waited for.

    :param task_ref: a task, its id, or its link
    :param image_id: of the image that the caller takes it to be about
    :raises TaskNotFound: when there is none the requester may see
    :raises TaskConflict: when it is about another image; it is not run then
    """
    task_id = task_ref.id if isinstance(task_ref, task.Task) else task_ref
    found = engine.get(task_id.rsplit("/", 1)[-1], requester)
    if image_id is not None and found.image_id != image_id:
        raise exceptions.TaskConflict(
            f"task {found.id} is about the image {found.image_id}; expected"
            f" {image_id}"
        )
    return engine.run(found.id, requester)
