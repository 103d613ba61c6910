# SPDX-License-Identifier: Apache-2.0
"""Nova's words: actions, their events, faults and task states of an image.

Computed of the tasks there are, until those are reaped:

* one *action* for each request that made tasks for the image. Of several
  tasks with one request id the oldest one that has no parent stands for it;
  of equally old ones that with the smaller id. A task without a request id is
  an action of its own.
* the *latest fault* is the failure that ended last, of a task that no later
  success of the same type has made good, and that was not cancelled.
* the *task state* is the type of the oldest task that lives and works on the
  image, or keeps others from it.
"""

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import dataclasses
import datetime
from typing import Any
from typing import Protocol

from glance_tasks import exceptions
from glance_tasks import task

_CANCELLED = "cancelled"

# Of one image; it has as many tasks as somebody made within their lifetime.
_PAGE = 1000


class Tasks(Protocol):
    """What gives tasks: a :class:`glance_tasks.TaskEngine`."""

    def get(
        self, task_id: str, requester: task.Requester | None = None
    ) -> task.Task:
        """Give a task."""

    def find(
        self,
        requester: task.Requester | None = None,
        *,
        filters: Mapping[str, str] | None = None,
        limit: int = 25,
        marker: str | None = None,
    ) -> list[task.Task]:
        """List tasks, newest first."""

    def holders(
        self, resource: str, requester: task.Requester | None = None
    ) -> list[task.Task]:
        """Give the living tasks that have locks on a resource."""

    def events(
        self, task_id: str, requester: task.Requester | None = None
    ) -> Sequence[Any]:
        """Give a task's timeline."""


@dataclasses.dataclass(frozen=True, slots=True)
class Action:
    """What somebody did with an image; the names are Nova's.

    :ivar result: ``Success`` or ``Error``; None while it works
    :ivar message: why it failed, as its owner may read it
    :ivar task_id: of the task that stands for it
    """

    action: str
    image_id: str
    request_id: str | None
    user_id: str | None
    project_id: str
    start_time: datetime.datetime
    finish_time: datetime.datetime | None
    updated_at: datetime.datetime
    result: str | None
    message: str | None
    task_id: str


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """Why the last thing done with an image failed; the names are Nova's.

    :ivar code: a key of :data:`glance_tasks.exceptions.FAILURES`, or a
        plugin's own
    :ivar details: what the owner can do
    """

    code: str
    created: datetime.datetime
    message: str
    details: str
    task_id: str


@dataclasses.dataclass(frozen=True, slots=True)
class ActionEvent:
    """One step of an action, for operators; the names are Nova's.

    :ivar event: the atom, or what happened to the task
    :ivar result: ``Success`` or ``Error``; None while it works, or where it
        is nothing that can fail
    """

    event: str
    start_time: datetime.datetime
    finish_time: datetime.datetime | None
    result: str | None
    message: str
    traceback: str | None = None


class NovaView:
    """Gives them; safe to share between threads."""

    def __init__(self, tasks: Tasks) -> None:
        """Look at the tasks of an engine."""
        self._tasks = tasks

    def actions(
        self, image_id: str, requester: task.Requester | None = None
    ) -> list[Action]:
        """Give what was done with an image, newest first."""
        roots = _roots(self._of_image(image_id, requester))
        return [self._action(one, requester) for one in roots]

    def latest_fault(
        self, image_id: str, requester: task.Requester | None = None
    ) -> Fault | None:
        """Give why the last thing done with an image failed, if it did."""
        made_good: set[str] = set()
        ended = [t for t in self._of_image(image_id, requester) if t.ended]
        for one in sorted(ended, key=_ending, reverse=True):
            if one.status is task.Status.SUCCESS:
                made_good.add(one.type)
            elif one.type not in made_good:
                with contextlib.suppress(exceptions.TaskNotFound):
                    fault = _fault(self._tasks.get(one.id, requester))
                    if fault.code != _CANCELLED:
                        return fault
        return None

    def task_state(
        self, image_id: str, requester: task.Requester | None = None
    ) -> str | None:
        """Give what is being done with an image; None for nothing."""
        working = self._tasks.holders(f"image:{image_id}", requester)
        working += [
            t for t in self._of_image(image_id, requester) if not t.ended
        ]
        oldest = min(working, key=_age, default=None)
        return None if oldest is None else oldest.type

    def events(self, task_id: str) -> list[ActionEvent]:
        """Give the steps of a task, oldest first; for operators.

        :raises TaskNotFound: when there is none
        """
        found: list[ActionEvent] = []
        began: dict[str, int] = {}
        for event in self._tasks.events(task_id):
            if event.kind == "atom_started":
                began[event.atom] = len(found)
                found.append(ActionEvent(event.atom, event.at, None, None, ""))
            elif event.kind in _ENDS and event.atom in began:
                number = began.pop(event.atom)
                found[number] = _ended(found[number], event)
            else:
                name = (
                    f"{event.atom} {event.kind}" if event.atom else event.kind
                )
                found.append(
                    ActionEvent(name, event.at, event.at, None, event.text)
                )
        return found

    def _of_image(
        self, image_id: str, requester: task.Requester | None
    ) -> list[task.Task]:
        return self._tasks.find(
            requester, filters={"image_id": image_id}, limit=_PAGE
        )

    def _action(
        self, root: task.Task, requester: task.Requester | None
    ) -> Action:
        message = None
        if root.status is task.Status.FAILURE:
            # It may be reaped by now.
            with contextlib.suppress(exceptions.TaskNotFound):
                message = self._tasks.get(root.id, requester).message
        return Action(
            action=root.type,
            image_id=root.image_id or "",
            request_id=root.request_id,
            user_id=root.user_id,
            project_id=root.owner,
            start_time=root.created_at,
            finish_time=root.finished_at,
            updated_at=root.updated_at,
            result=_RESULTS.get(root.status),
            message=message,
            task_id=root.id,
        )


_RESULTS = {task.Status.SUCCESS: "Success", task.Status.FAILURE: "Error"}
_ENDS = {"atom_finished": "Success", "atom_failed": "Error"}


def _age(one: task.Task) -> tuple[datetime.datetime, str]:
    return one.created_at, one.id


def _ending(one: task.Task) -> tuple[datetime.datetime, str]:
    assert one.finished_at is not None
    return one.finished_at, one.id


def _roots(tasks: Iterable[task.Task]) -> list[task.Task]:
    """Give the task that stands for each request, newest first."""
    groups: dict[tuple[str, str], list[task.Task]] = {}
    for one in tasks:
        # Whoever asks chooses the request's id.
        of = (one.owner, one.request_id or one.id)
        groups.setdefault(of, []).append(one)
    roots = [
        min(group, key=lambda one: (one.parent_id is not None, *_age(one)))
        for group in groups.values()
    ]
    return sorted(roots, key=_age, reverse=True)


def _fault(failed: task.Task) -> Fault:
    assert failed.failure is not None
    assert failed.finished_at is not None
    return Fault(
        code=failed.failure.code,
        created=failed.finished_at,
        message=failed.failure.summary,
        details=failed.failure.advice,
        task_id=failed.id,
    )


def _ended(began: ActionEvent, event: Any) -> ActionEvent:
    return dataclasses.replace(
        began,
        finish_time=event.at,
        result=_ENDS[event.kind],
        message=event.text,
        traceback=(event.detail or {}).get("traceback"),
    )
