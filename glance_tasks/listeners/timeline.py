# SPDX-License-Identifier: Apache-2.0
"""Turns TaskFlow's notifications into a task's phase, steps and timeline."""

from collections.abc import Callable
from collections.abc import Mapping
import logging
import time
from typing import Any
from typing import Protocol

from taskflow import states
from taskflow.listeners import base
from taskflow.types import failure as taskflow_failure
from taskflow.types import notifier

from glance_tasks import task

LOG = logging.getLogger(__name__)


class Steps(Protocol):
    """Takes what the run is at."""

    def step(self, name: str, phase: task.Phase) -> None:
        """Say which atom is at work."""

    def done(self, name: str) -> None:
        """Say that an atom is no longer at work."""

    def append(
        self,
        kind: str,
        text: str = "",
        *,
        atom: str | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        """Note an event."""


_AT_WORK = frozenset({states.RUNNING, states.REVERTING})


class TimelineListener(base.Listener):  # type: ignore[misc]
    """Reports every change of an atom's state while a flow runs."""

    def __init__(
        self,
        engine: Any,
        report: Steps,
        *,
        task_id: str,
        phases: Mapping[str, task.Phase],
        reduce: Callable[[Any, str], Mapping[str, Any]],
        starting: Callable[[str], None] = lambda name: None,
    ) -> None:
        """Listen to ``engine``.

        :param phases: what the task shows while an atom runs, by its name
        :param reduce: makes a scrubbed record of a failure
        :param starting: called with the name of an atom before it executes
        """
        super().__init__(
            engine,
            task_listen_for=(notifier.Notifier.ANY,),
            flow_listen_for=(),
            retry_listen_for=(),
        )
        self._report = report
        self._task_id = task_id
        self._phases = phases
        self._reduce = reduce
        self._starting = starting
        self._began: dict[str, float] = {}

    def _task_receiver(self, state: str, details: Mapping[str, Any]) -> None:
        name = details["task_name"]
        if state not in _AT_WORK:
            self._report.done(name)
        if state == states.RUNNING:
            self._started(name)
        elif state == states.SUCCESS:
            self._note("atom_finished", name, f"in {self._took(name):.2f} s")
        elif state == states.FAILURE:
            self._failed("atom_failed", name, details)
        elif state == states.REVERTING:
            self._began[name] = time.monotonic()
            self._report.step(name, task.Phase.REVERTING)
        elif state == states.REVERTED:
            self._note("atom_reverted", name, f"in {self._took(name):.2f} s")
        elif state == states.REVERT_FAILURE:
            self._failed("revert_failed", name, details)

    def _started(self, name: str) -> None:
        self._starting(name)
        self._began[name] = time.monotonic()
        self._report.step(name, self._phases.get(name, task.Phase.PROCESSING))
        self._note("atom_started", name, "")

    def _took(self, name: str) -> float:
        return time.monotonic() - self._began.get(name, time.monotonic())

    def _note(self, kind: str, name: str, text: str) -> None:
        LOG.debug("Task %s: %s %s %s", self._task_id, name, kind, text)
        self._report.append(kind, text, atom=name)

    def _failed(
        self, kind: str, name: str, details: Mapping[str, Any]
    ) -> None:
        result = details.get("result")
        if not isinstance(result, taskflow_failure.Failure):
            return
        kept = self._reduce(result, name)
        self._report.append(
            kind,
            kept["failure"]["summary"],
            atom=name,
            detail={
                key: kept[key]
                for key in ("types", "text", "traceback", "detail")
            }
            | {
                "code": kept["failure"]["code"],
                "support_id": kept["failure"]["support_id"],
            },
        )
