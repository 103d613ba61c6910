# SPDX-License-Identifier: Apache-2.0
"""Who is told what becomes of tasks."""

from collections.abc import Mapping
from typing import Any
from typing import Protocol


class Notifier(Protocol):
    """Takes notifications; what it raises is tried again later."""

    def notify(self, event_type: str, payload: Mapping[str, Any]) -> None:
        """Pass one on.

        It is told of each at least once, and of one task's in their order:
        after a crash of a second time, so look at the task's id.

        :param event_type: ``task.create``, ``task.success`` or
            ``task.failure``, as Glance names them
        :param payload: JSON: the task as it is when this is told, without its
            input
        """
