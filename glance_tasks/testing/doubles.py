# SPDX-License-Identifier: Apache-2.0
"""Stand-ins for the ports that a run fills in, as small classes.

They need no database and no TaskFlow. Each is for one atom in one test; they
may be shared between the threads of that atom.
"""

from collections.abc import Callable
from collections.abc import Mapping
import contextlib
import dataclasses
import threading
from typing import Any

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

    def __init__(self, number: int = 1) -> None:
        """Be the fence of the claim ``number``."""
        self.number = number

    def check(self) -> None:
        """Let through."""


class LostFence:
    """The fence of a run whose task somebody else has claimed."""

    def __init__(self, number: int = 1, *, after: int = 0) -> None:
        """Be the fence of the claim ``number``.

        :param after: how often it is asked before that happened
        """
        self.number = number
        self._left = after

    def check(self) -> None:
        """Raise LeaseLost, from then on always."""
        self._left -= 1
        if self._left < 0:
            raise exceptions.LeaseLost("claimed by another conductor")


@dataclasses.dataclass(frozen=True, slots=True)
class Noted:
    """One event as an atom gave it; nothing is scrubbed or shortened."""

    kind: str
    text: str = ""
    atom: str | None = None
    detail: Mapping[str, Any] | None = None


class RecordingEvents:
    """Keeps the events.

    :ivar noted: in their order
    """

    def __init__(self) -> None:
        """Begin with none."""
        self.noted: list[Noted] = []

    @property
    def kinds(self) -> list[str]:
        """The kinds of the events, in their order."""
        return [event.kind for event in self.noted]

    def append(
        self,
        kind: str,
        text: str = "",
        *,
        atom: str | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        """Keep one event."""
        self.noted.append(Noted(kind, text, atom, detail))
