# SPDX-License-Identifier: Apache-2.0
"""Waiting for a task to end, by looking at it."""

from collections.abc import Callable
import time

from glance_tasks import task

# Seconds between two looks: most small tasks end within the first few.
_FIRST_S, _LAST_S = 0.02, 1.0


def until_ended(
    look: Callable[[], task.Task], timeout: float | None
) -> task.Task:
    """Give the task once it has ended.

    :param look: gives the task as it is
    :param timeout: seconds; None waits for ever
    :raises TimeoutError: when it has not ended by then
    """
    until = None if timeout is None else time.monotonic() + timeout
    pause = _FIRST_S
    while not (found := look()).ended:
        if until is not None and time.monotonic() >= until:
            raise TimeoutError(
                f"task {found.id} is still {found.phase} after {timeout:g} s"
            )
        time.sleep(pause)
        pause = min(pause * 1.5, _LAST_S)
    return found
