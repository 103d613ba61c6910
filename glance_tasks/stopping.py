# SPDX-License-Identifier: Apache-2.0
"""How a run is stopped: the signal its atoms look at, and the fence."""

from collections.abc import Iterator
import contextlib
import threading
import time

from glance_tasks import boards
from glance_tasks import exceptions
from glance_tasks import verdicts
from glance_tasks.persistence import repository

# Seconds after which the answer to who holds a task may be from before a
# freeze, and is asked for again; no lease is shorter than a second.
_STALE_S = 0.5
# How often, before the database is taken to be away.
_ASKS = 5


class RunSignal:
    """The stop signal of one run; safe to set from any thread.

    An *interrupt* makes the atom leave as a crash would. A *verdict* makes
    the next atom fail with it, so that TaskFlow reverts what was done.
    """

    def __init__(
        self, fence: "RunFence", claim_ttl: float, since: float
    ) -> None:
        """Begin with a run that may go on.

        :param claim_ttl: seconds that a lease is good for; when it was not
            renewed for so long the process may have been frozen, and the
            fence is asked before any atom goes on
        :param since: the monotonic clock before the lease was taken
        """
        self._fence = fence
        self._ttl = claim_ttl
        self._call = min(claim_ttl, boards.CALL_S)
        self._renewed = self._heard = since
        self._interrupted = threading.Event()
        self._verdict: exceptions.TaskError | None = None
        self._final = False
        self._undoing = threading.local()

    def interrupt(self) -> None:
        """Make every atom leave at its next safe point."""
        self._interrupted.set()

    def condemn(self, verdict: exceptions.TaskError) -> None:
        """Make the atom at work, or else the next one, fail.

        The first verdict is the one that counts, unless it came too late.
        """
        if self._verdict is None or self._too_late(self._verdict):
            self._verdict = verdict

    def enter_final(self, *, done: bool = False) -> None:
        """Hear no more that the task was cancelled, if it was not yet.

        An atom begins that does what nothing can undo.

        :param done: whether one has ended already, maybe in another run
        """
        self._final = self._final or done or self._verdict is None

    def _too_late(self, verdict: exceptions.TaskError) -> bool:
        return self._final and verdict.code == verdicts.CANCELLED

    @contextlib.contextmanager
    def undoing(self) -> Iterator[None]:
        """Hear no verdict in this thread meanwhile: it undoes by order."""
        before = getattr(self._undoing, "active", False)
        self._undoing.active = True
        try:
            yield
        finally:
            self._undoing.active = before

    @property
    def interrupted(self) -> bool:
        """Whether atoms must leave."""
        return self._interrupted.is_set()

    def renewed(self, since: float) -> None:
        """Hear that the lease was good at that time, by the monotonic clock.

        That is before anybody asked: the answer may lie in a frozen process
        for long.
        """
        self._renewed = self._heard = since

    def heard(self, since: float) -> None:
        """Hear that nobody else had claimed the task at that time.

        A lease that is good for longer can end :data:`boards.CALL_S` after
        that, when somebody asks something of the task.
        """
        self._heard = since

    def check_interrupt(self) -> None:
        """Return while the run holds its lease and was not told to stop.

        :raises RunInterrupted: when it was told to stop, or lost its lease
        """
        if self._interrupted.is_set():
            raise exceptions.RunInterrupted("the run was told to stop")
        # This clock goes on while the process is frozen.
        now = time.monotonic()
        late = now - self._renewed > self._ttl
        if late or now - self._heard > self._call:
            self._fence.check()
            self.renewed(now)

    def check(self) -> None:
        """Return at once while the run may go on; see the port."""
        self.check_interrupt()
        verdict = self._verdict
        if verdict is None or getattr(self._undoing, "active", False):
            return
        if not self._too_late(verdict):
            raise verdict

    def wait(self, seconds: float) -> None:
        """Wait that long, or until the run must stop."""
        self._interrupted.wait(seconds)
        self.check()


class RunFence:
    """The fence of one run, asked of the database each time."""

    def __init__(
        self, tasks: repository.TaskRepository, task_id: str, number: int
    ) -> None:
        """Guard the claim ``number`` of a task."""
        self._tasks = tasks
        self._task_id = task_id
        self._number = number

    @property
    def number(self) -> int:
        """This run's number; that of any successor is larger."""
        return self._number

    def check(self) -> None:
        """Return while this run holds the task.

        :raises LeaseLost: when it does not
        :raises DatabaseGone: when nobody can say
        """
        for _ in range(_ASKS):
            asked = time.monotonic()
            if not self._holds():
                raise exceptions.LeaseLost(
                    f"task {self._task_id} is no longer held by claim"
                    f" {self._number}"
                )
            # An answer that was long on its way may be from before a freeze:
            # 2 of 120 frozen conductors went on by one.
            if time.monotonic() - asked < _STALE_S:
                return
        raise exceptions.DatabaseGone(
            f"the database takes more than {_STALE_S:g} s to say who holds"
            f" task {self._task_id}"
        )

    def _holds(self) -> bool:
        try:
            return self._tasks.holds(self._task_id, self._number)
        except exceptions.DatabaseUnreachable as error:
            raise exceptions.DatabaseGone(str(error)) from error
