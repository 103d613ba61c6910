# SPDX-License-Identifier: Apache-2.0
"""Telling a calling service what becomes of tasks, after it was recorded."""

from collections.abc import Mapping
import logging
import time
from typing import Any

from glance_tasks import exceptions
from glance_tasks import ports
from glance_tasks import task
from glance_tasks.persistence import database as db
from glance_tasks.persistence import notices
from glance_tasks.persistence import repository

LOG = logging.getLogger(__name__)

_BATCH = 50

# Seconds until what could not be told is tried again, or what somebody took
# who died over it.
_AGAIN_S = 30.0


class Announcer:
    """Tells a notifier; safe to share between threads and processes."""

    def __init__(
        self,
        database: db.Database,
        tasks: repository.TaskRepository,
        notifier: ports.Notifier,
    ) -> None:
        """Tell ``notifier``."""
        self._database = database
        self._tasks = tasks
        self._notifier = notifier

    def announce(self) -> int:
        """Tell what is to be told now; give how much was.

        :raises DatabaseUnreachable: when the database is away
        """
        until = time.monotonic() + _AGAIN_S / 2
        told = 0
        for notice in notices.take(self._database, _BATCH, _AGAIN_S):
            # After that it may be somebody else's: left to them.
            if time.monotonic() > until:
                break
            told += self._told(notice)
        return told

    def _told(self, notice: notices.Notice) -> bool:
        try:
            told = payload(self._tasks.get(notice.task_id))
            self._notifier.notify(notice.event_type, told)
        except exceptions.TaskNotFound:
            LOG.warning("Task %s was reaped untold", notice.task_id)
        except exceptions.DatabaseUnreachable:
            raise
        except Exception:  # a plugin raises anything
            LOG.exception(
                "Task %s: %s could not be told; it is tried again",
                *(notice.task_id, notice.event_type),
            )
            return False
        notices.done(self._database, notice)
        return True


def payload(told: task.Task) -> Mapping[str, Any]:
    """Give a task as a notification has it: Glance's keys, and ours."""
    times = ("created_at", "updated_at", "expires_at", "finished_at")
    same = (
        *("id", "type", "owner", "message", "image_id", "request_id"),
        *("user_id", "retry_of", "parent_id"),
    )
    return {
        **{name: getattr(told, name) for name in same},
        **{name: _written(getattr(told, name)) for name in times},
        "status": told.status.value,
        "phase": told.phase.value,
        "result": None if told.result is None else dict(told.result),
        "failure": told.failure.to_dict() if told.failure else None,
    }


def _written(moment: Any) -> str | None:
    return None if moment is None else moment.isoformat()
