# SPDX-License-Identifier: Apache-2.0
"""Telling work from a standstill: by what moves, and by how long it takes.

A conductor that is dead or frozen shows in its lease. Here it is about one
that lives: its atom has moved no byte for long, or has its own time limit
behind it.
"""

from collections.abc import Iterable
from collections.abc import Mapping
import dataclasses
from typing import Any

from glance_tasks import exceptions
from glance_tasks import reporting
from glance_tasks import task
from glance_tasks.persistence import repository


@dataclasses.dataclass(frozen=True, slots=True)
class Patience:
    """How long an atom may take, in seconds.

    :ivar limit: at all; None is without end
    :ivar stall: without a byte or a step; 0 is without end
    """

    limit: float | None
    stall: float


def patience(atoms: Iterable[Any], stall_after: float) -> dict[str, Patience]:
    """Give how long atoms may take, by their names.

    :param stall_after: for those that do not say; seconds
    """
    found = {}
    for atom in atoms:
        own = getattr(atom, "stall_after", None)
        found[atom.name] = Patience(
            getattr(atom, "time_limit", None),
            stall_after if own is None else own,
        )
    return found


class Watch:
    """Judges the atoms of one run; asked by its conductor's pulse.

    :ivar restarts: whether the run is to be left, as if its conductor had died
    """

    def __init__(
        self,
        tasks: repository.TaskRepository,
        held: task.Task,
        report: reporting.Report,
        patience: Mapping[str, Patience],
        *,
        on_stall: str,
    ) -> None:
        """Judge by what ``report`` was told.

        :param patience: by the names of the atoms
        :param on_stall: see :class:`glance_tasks.TaskType`
        """
        self.restarts = False
        self._tasks = tasks
        self._held = held
        self._report = report
        self._patience = patience
        self._on_stall = on_stall
        self._stalled = False

    def look(self) -> exceptions.TaskError | None:
        """Give the verdict, if the task must not go on; note a standstill.

        :raises DatabaseUnreachable: when the database is away
        """
        return self._overdue() or self._stall()

    def _overdue(self) -> exceptions.TaskError | None:
        for name, seconds in self._report.working().items():
            limit = self._patience[name].limit
            if limit is not None and seconds > limit:
                return exceptions.TaskError(
                    f"{name} took longer than the {limit:g} s that it may",
                    code="step_deadline_passed",
                )
        return None

    def _stall(self) -> exceptions.TaskError | None:
        idle = self._report.idle()
        if self._too_long(idle) is self._stalled:
            return None
        stall = task.Stall(idle, self._reason()) if not self._stalled else None
        self._tasks.set_stall(self._held.id, self._held.fence, stall)
        self._stalled = stall is not None
        if stall is None:
            self._report.append("moving")
            return None
        text = f"nothing moved for {idle:.0f} s ({stall.reason})"
        self._report.append("stalled", text)
        self.restarts = self._on_stall == "restart"
        if self._on_stall == "fail":
            return exceptions.TaskError(text, code="stalled")
        return None

    def _too_long(self, idle: float) -> bool:
        """Tell whether that is too long for every atom at work."""
        limits = [
            self._patience[name].stall for name in self._report.working()
        ]
        return bool(limits) and 0 not in limits and idle > max(limits)

    def _reason(self) -> task.StallReason:
        if self._report.transferring:
            return task.StallReason.FAR_END_SILENT
        return task.StallReason.NO_PROGRESS
