# SPDX-License-Identifier: Apache-2.0
"""Stand-ins for the ports, as small classes."""

from collections.abc import Callable
import contextlib
import threading

from glance_tasks import exceptions


class _Signal:
    """What every stop signal here has in common: no verdicts."""

    def undoing(self) -> contextlib.AbstractContextManager[None]:
        """Change nothing."""
        return contextlib.nullcontext()


class NeverStop(_Signal):
    """A stop signal that never comes; waiting takes no time."""

    def check(self) -> None:
        """Let the atom go on."""

    def wait(self, seconds: float) -> None:
        """Return at once."""


class StopAfter(_Signal):
    """A stop signal that comes with the ``number``-th check and stays."""

    def __init__(
        self, number: int, error: BaseException | None = None
    ) -> None:
        """Count from 1; ``error`` is raised, LeaseLost when None."""
        self._left = number
        self._error = error or exceptions.LeaseLost("told to stop")

    def check(self) -> None:
        """Count, and raise from the chosen number on."""
        self._left -= 1
        if self._left <= 0:
            raise self._error

    def wait(self, seconds: float) -> None:
        """Count as one check; waiting takes no time."""
        self.check()


class StopWhen(_Signal):
    """A stop signal that comes as soon as a condition holds."""

    def __init__(self, condition: Callable[[], bool]) -> None:
        """Ask ``condition`` at every check."""
        self._condition = condition
        self._waiting = threading.Event()

    def check(self) -> None:
        """Raise LeaseLost when the condition holds."""
        if self._condition():
            raise exceptions.LeaseLost("told to stop")

    def wait(self, seconds: float) -> None:
        """Wait in small steps, as the real one does."""
        self.check()
        self._waiting.wait(min(seconds, 0.05))
        self.check()


class RecordingProgress:
    """Keeps what was reported.

    :ivar reports: ``(done, total)`` in their order
    :ivar advances: how often something became durable
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.reports: list[tuple[int, int | None]] = []
        self.advances = 0

    def bytes(self, done: int, total: int | None) -> None:
        """Keep one report."""
        self.reports.append((done, total))

    def advanced(self) -> None:
        """Count one advance."""
        self.advances += 1


class OpenFence:
    """A fence that lets through; nobody else ever claims the task."""

    number = 1

    def check(self) -> None:
        """Let through."""


class LostFence:
    """The fence of a run whose task somebody else has claimed."""

    number = 1

    def check(self) -> None:
        """Raise LeaseLost, always."""
        raise exceptions.LeaseLost("claimed by another conductor")


class RecordingEvents:
    """Keeps the events.

    :ivar kinds: of the events, in their order
    """

    def __init__(self) -> None:
        """Begin with none."""
        self.kinds: list[str] = []

    def append(
        self,
        kind: str,
        text: str = "",
        *,
        atom: str | None = None,
        detail: object = None,
    ) -> None:
        """Keep one event's kind."""
        self.kinds.append(kind)
