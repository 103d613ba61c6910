# SPDX-License-Identifier: Apache-2.0
"""What befalls the atoms of a task in a trial, and the probe that counts.

A type is put under trial by :func:`disturbed`: every atom of its graph then
runs inside a :class:`Disturbance`, which also hears of each safe point.
"""

import collections
from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import dataclasses
import functools
import threading
import time
import types
from typing import Any

from taskflow import flow as taskflow_flow

from glance_tasks import context
from glance_tasks import exceptions
from glance_tasks import plugin
from glance_tasks import ports
from glance_tasks.testing.certification import effects

#: An atom and which side of it: ``execute`` or ``revert``.
Place = tuple[str, str]


class Crashed(exceptions.RunInterrupted):
    """Ends a run in this process as a kill would end the process."""


class Disturbance:
    """Lets everything be as it is; its subclasses do not.

    :ivar points: safe points that were passed, by place
    :ivar gaps: the longest time between two of them, in seconds, by place
    :ivar order: the places in the order they were entered
    :ivar finals: the atoms that do what cannot be undone
    :ivar effects: that are about to be made
    """

    def __init__(self) -> None:
        """Begin with nothing counted."""
        self.points: collections.Counter[Place] = collections.Counter()
        self.gaps: dict[Place, float] = {}
        self.order: list[Place] = []
        self.finals: set[str] = set()
        self.effects = effects.Effects()

    def execute(self, atom: str, call: Callable[[], Any]) -> Any:
        """Stand around an atom's ``execute``."""
        return call()

    def revert(self, atom: str, call: Callable[[], Any]) -> Any:
        """Stand around an atom's ``revert``."""
        return call()

    def passed(self, place: Place, number: int) -> None:
        """Hear of a safe point; 0 is where the atom begins."""


class Probe:
    """A stop signal that tells of each safe point, before it goes on.

    It lets through first and tells then: whoever is frozen in here has just
    been told that it may go on.
    """

    def __init__(
        self, signal: ports.StopSignal, disturbance: Disturbance
    ) -> None:
        """Let ``signal`` decide."""
        self._signal, self._disturbance = signal, disturbance
        self._local = threading.local()
        self._last: Place | None = None
        self._since: dict[Place, float] = {}

    def check(self) -> None:
        """Return at once while the run may go on; see the port."""
        self._disturbance.effects.end()
        self._signal.check()
        self._tell()

    def undoing(self) -> contextlib.AbstractContextManager[None]:
        """Hear no verdict in this thread meanwhile."""
        return self._signal.undoing()

    def wait(self, seconds: float) -> None:
        """Wait that long, or until the run must stop."""
        self._disturbance.effects.end()
        self._signal.wait(seconds)
        self._tell()

    @contextlib.contextmanager
    def inside(self, place: Place) -> Iterator[None]:
        """Say that this thread is in ``place`` meanwhile."""
        self._local.place = self._last = place
        self._since[place] = time.monotonic()
        self._disturbance.order.append(place)
        self._disturbance.passed(place, 0)
        try:
            yield
        finally:
            self._disturbance.effects.end()
            self._note_gap(place)
            self._local.place = self._last = None

    def _tell(self) -> None:
        # A thread that an atom has started is where that atom is.
        place = getattr(self._local, "place", None) or self._last
        if place is None:
            return
        self._note_gap(place)
        self._disturbance.points[place] += 1
        self._disturbance.passed(place, self._disturbance.points[place])

    def _note_gap(self, place: Place) -> None:
        now = time.monotonic()
        gaps = self._disturbance.gaps
        gap = now - self._since.get(place, now)
        gaps[place] = max(gaps.get(place, 0.0), gap)
        self._since[place] = now


def disturbed(
    task_type: type[plugin.TaskType], disturbance: Disturbance
) -> type[plugin.TaskType]:
    """Give the type with ``disturbance`` around each atom that it builds."""

    def build(
        self: plugin.TaskType, ctx: context.BuildContext
    ) -> taskflow_flow.Flow:
        if ctx.stop is None:
            # It is only drawn or compared.
            return task_type.build(self, ctx)
        probe = Probe(ctx.stop, disturbance)
        fence = effects.Fence(ctx.fence, disturbance.effects)
        watched = dataclasses.replace(ctx, stop=probe, fence=fence)
        flow = task_type.build(self, watched)
        for atom in _atoms(flow):
            atom.ctx = atom.ctx or watched
            if atom.final:
                disturbance.finals.add(atom.name)
            _surround(atom, probe, disturbance)
        return flow

    return type(
        task_type.__name__,
        (task_type,),
        {"build": build, "__doc__": task_type.__doc__},
    )


def _atoms(flow: taskflow_flow.Flow) -> Iterator[plugin.Atom]:
    for node, _ in flow.iter_nodes():
        if isinstance(node, taskflow_flow.Flow):
            yield from _atoms(node)
        elif isinstance(node, plugin.Atom):
            yield node


def _surround(
    atom: plugin.Atom, probe: Probe, disturbance: Disturbance
) -> None:
    """Put the disturbance under the atom's own guard, where its code is."""
    for side in ("execute", "revert"):
        method = getattr(type(atom), side)
        plain = getattr(method, "__wrapped__", method)
        around = getattr(disturbance, side)

        def call(
            self: plugin.Atom,
            *args: Any,
            _plain: Callable[..., Any] = plain,
            _around: Callable[..., Any] = around,
            _side: str = side,
            **kwargs: Any,
        ) -> Any:
            with probe.inside((self.name, _side)):
                return _around(
                    self.name, lambda: _plain(self, *args, **kwargs)
                )

        guarded = plugin.guarded(
            functools.wraps(plain)(call), undoes=side == "revert"
        )
        setattr(atom, side, types.MethodType(guarded, atom))
