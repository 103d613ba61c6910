# SPDX-License-Identifier: Apache-2.0
"""Why a run must not go on though no atom failed, in its owner's words."""

from glance_tasks import exceptions
from glance_tasks import task
from glance_tasks.persistence import database as db
from glance_tasks.persistence import events

#: Why a cancelled task waits: a conductor of its release may live.
UNDOING = "it is cancelled, and cannot be undone here"

#: The code of a task that was cancelled.
CANCELLED = "cancelled"

# How many claims the operator is shown.
_CLAIMS = 20


def cancelled(note: str | None) -> exceptions.TaskError:
    """Give the verdict on a task that was cancelled.

    :param note: by whom, and why
    """
    return exceptions.TaskError(f"cancelled {note or ''}", code=CANCELLED)


def too_late(held: task.Task) -> exceptions.TaskError:
    """Give the verdict on a task whose deadline has passed."""
    return exceptions.TaskError(
        f"the task took longer than the {held.time_limit} s that it may",
        code="deadline_passed",
    )


def gave_up(database: db.Database, held: task.Task) -> exceptions.TaskError:
    """Give the verdict on a task that killed its conductors in a row.

    The operator is shown when it was claimed, and by whom.
    """
    claims = [
        {"at": event.at.isoformat(), "claimed": event.text}
        for event in events.of_task(database, held.id)
        if event.kind == "claimed"
    ]
    step = held.progress.get("step")
    return exceptions.TaskError(
        f"the service died {held.attempts} times in a row"
        + (f" in {step}" if step else "")
        + " without getting any further",
        code="gave_up",
        detail={"attempts": claims[-_CLAIMS:]},
    )
