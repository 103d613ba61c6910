# SPDX-License-Identifier: Apache-2.0
"""What a run hears from outside while its atoms work, and does about it."""

from collections.abc import Callable
from collections.abc import Iterable
from typing import Any

from glance_tasks import boards
from glance_tasks import reporting
from glance_tasks import stalls
from glance_tasks import stopping
from glance_tasks import task
from glance_tasks import verdicts
from glance_tasks.persistence import controls
from glance_tasks.persistence import database as db
from glance_tasks.persistence import repository


class Hearing:
    """The ear of one run, for the pulse of its conductor."""

    def __init__(
        self,
        held: task.Task,
        signal: stopping.RunSignal,
        report: reporting.Report,
        *,
        ttl: float,
        interrupt: Callable[[], None],
    ) -> None:
        """Hear for the claim that ``held`` was read with.

        :param ttl: seconds of a lease
        :param interrupt: leaves the run where it is
        """
        self._held = held
        self._signal = signal
        self._report = report
        self._ttl = ttl
        self._interrupt = interrupt
        self._watch: stalls.Watch | None = None

    def watch(
        self,
        tasks: repository.TaskRepository,
        atoms: Iterable[Any],
        *,
        stall_after: float,
        on_stall: str,
    ) -> None:
        """Judge these atoms from now on.

        :param stall_after: seconds, for those that do not say
        """
        self._watch = stalls.Watch(
            *(tasks, self._held, self._report),
            stalls.patience(atoms, stall_after),
            on_stall=on_stall,
        )

    def look_at_the_clock(self, database: db.Database) -> None:
        """Judge a run that may be shorter than the pulse's pause.

        :raises DatabaseUnreachable: when the database is away
        """
        if self._held.deadline_at is not None:
            found = controls.asked(database, [self._held.id])
            if any(asked.late for asked in found.values()):
                self._signal.condemn(verdicts.too_late(self._held))

    @property
    def restarts(self) -> bool:
        """Whether the run is left because it stalled."""
        return self._watch is not None and self._watch.restarts

    def hear(self, asked: controls.Asked | None, since: float) -> float | None:
        """Do what is asked of the task, and judge what is at work.

        :param asked: None when the task has ended
        :param since: the monotonic clock before anybody looked
        :returns: seconds for which the lease must be renewed, as the answer
        :raises DatabaseUnreachable: when the database is away
        """
        if asked is None or asked.fence != self._held.fence:
            self._interrupt()
            return None
        self._signal.heard(since)
        if asked.control is task.Control.CANCEL:
            self._signal.condemn(verdicts.cancelled(asked.note))
        elif asked.control is task.Control.PAUSE and not self._report.undoing:
            self._interrupt()
        restarted = self.restarts
        self._judge(late=asked.late)
        if self.restarts:
            # It may not leave: then whoever claims it works on copies.
            return None if restarted else boards.CALL_S
        called = asked.lease_left <= min(boards.CALL_S, self._ttl / 2)
        return self._ttl if called else None

    def _judge(self, *, late: bool) -> None:
        """Look whether the task must not go on."""
        if late:
            self._signal.condemn(verdicts.too_late(self._held))
        if self._watch is None:
            return
        if verdict := self._watch.look():
            self._signal.condemn(verdict)
        if self._watch.restarts:
            self._interrupt()
