# SPDX-License-Identifier: Apache-2.0
"""The disturbances there are, also for other processes, named in JSON."""

from collections.abc import Callable
from collections.abc import Mapping
import contextlib
import pathlib
import signal
import threading
from typing import Any

from glance_tasks import exceptions
from glance_tasks.testing.certification import disturbance

#: The code of the failures that the kit makes.
CODE = "check_refused"


class Fails(disturbance.Disturbance):
    """Makes one atom fail, before it did anything or when it did it all."""

    def __init__(self, atom: str, side: str = "after") -> None:
        """Let ``atom`` fail; ``side`` is ``before`` or ``after``."""
        super().__init__()
        self._atom, self._side = atom, side

    def execute(self, atom: str, call: Callable[[], Any]) -> Any:
        """Fail, if it is this atom's turn."""
        if atom != self._atom:
            return call()
        if self._side == "after":
            call()
        raise exceptions.TaskError("the trial makes it fail", code=CODE)


class RevertsTwice(Fails):
    """Makes one atom fail and ends each life behind one ``revert``.

    So each of them runs again, as it does after a crash.

    :ivar reverted: the atoms whose ``revert`` was cut off so
    """

    def __init__(self, atom: str) -> None:
        """Let ``atom`` fail once it did all."""
        super().__init__(atom)
        self.reverted: set[str] = set()

    def revert(self, atom: str, call: Callable[[], Any]) -> Any:
        """Revert, and die the first time."""
        value = call()
        if atom not in self.reverted:
            self.reverted.add(atom)
            raise disturbance.Crashed(f"behind revert of {atom}")
        return value


class Crashes(disturbance.Disturbance):
    """Ends the run once, behind one atom's work and before its checkpoint."""

    def __init__(self, atom: str, side: str = "execute") -> None:
        """Crash behind ``side`` of ``atom``; ``begin``: before it works."""
        super().__init__()
        self._atom, self._side = atom, side
        self.done = False

    def execute(self, atom: str, call: Callable[[], Any]) -> Any:
        """Crash, if it is this atom's turn."""
        if atom != self._atom or self.done:
            return call()
        if self._side == "execute":
            call()
        self.done = True
        raise disturbance.Crashed(f"at {self._side} of {atom}")


class Returns(disturbance.Disturbance):
    """Makes one atom give or raise something odd when it did its work."""

    def __init__(self, atom: str, odd: Callable[[], Any]) -> None:
        """Let ``atom`` give what ``odd`` gives, or raise what it raises."""
        super().__init__()
        self._atom, self._odd = atom, odd

    def execute(self, atom: str, call: Callable[[], Any]) -> Any:
        """Do the work and give something else."""
        value = call()
        return self._odd() if atom == self._atom else value


class AtPoint(disturbance.Disturbance):
    """Does something once, at one safe point.

    :ivar reached: whether it was
    """

    def __init__(
        self, atom: str, side: str, number: int, do: Callable[[], None]
    ) -> None:
        """Do it at the point ``number`` of that atom and side."""
        super().__init__()
        self._where, self._number = (atom, side), number
        self._do = do
        self.reached = False

    def passed(self, place: disturbance.Place, number: int) -> None:
        """Do it, if this is the point."""
        if (place, number) == (self._where, self._number) and not self.reached:
            self.reached = True
            self._do()


class Both(disturbance.Disturbance):
    """One disturbance within another; what is counted is the outer one's."""

    def __init__(
        self, outer: disturbance.Disturbance, inner: disturbance.Disturbance
    ) -> None:
        """Put ``inner`` next to the atoms."""
        super().__init__()
        self._outer, self._inner = outer, inner
        self.effects = outer.effects

    def execute(self, atom: str, call: Callable[[], Any]) -> Any:
        """Let both have their turn."""
        return self._outer.execute(
            atom, lambda: self._inner.execute(atom, call)
        )

    def revert(self, atom: str, call: Callable[[], Any]) -> Any:
        """Let both have their turn."""
        return self._outer.revert(atom, lambda: self._inner.revert(atom, call))

    def passed(self, place: disturbance.Place, number: int) -> None:
        """Let both hear of it."""
        self._outer.passed(place, number)
        self._inner.passed(place, number)


def of_dict(told: Mapping[str, Any]) -> disturbance.Disturbance:
    """Make the disturbance of a process of its own.

    :param told: ``fail``: the atom that fails, if any; ``signal``: what the
        process sends itself, at the safe point ``atom``, ``side``,
        ``number``, once it has made the file ``flag``
    """
    made: disturbance.Disturbance = disturbance.Disturbance()
    if told.get("fail"):
        made = Fails(told["fail"])
    if not told.get("signal"):
        return made

    def strike() -> None:
        frozen = told["signal"] == "SIGSTOP"
        # A kill may come at any time.
        with made.effects.none() if frozen else contextlib.nullcontext():
            pathlib.Path(told["flag"]).touch()
            # Not kill(), which stops whichever thread it finds: this one
            # would go on for a moment.
            signal.pthread_kill(
                threading.get_ident(), signal.Signals[told["signal"]]
            )

    struck = AtPoint(told["atom"], told["side"], told["number"], strike)
    return Both(made, struck)
