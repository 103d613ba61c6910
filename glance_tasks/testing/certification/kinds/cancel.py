# SPDX-License-Identifier: Apache-2.0
"""A verdict in the midst of each atom: what it had half done is undone."""

from collections.abc import Iterator
import threading
import time

import psutil

from glance_tasks import exceptions
from glance_tasks import runner
from glance_tasks.testing.certification import case as cases
from glance_tasks.testing.certification import disturbances
from glance_tasks.testing.certification import kinds
from glance_tasks.testing.certification import lives

# Seconds that threads and processes get to end by themselves.
_PATIENCE_S = 2.0


class Cancel(kinds.AtPoints):
    """Condemns the run at a safe point, as a cancel or a deadline does."""

    name = "cancel"
    what = "cancelled at safe points: files, threads, processes left"

    def variants(self, case: cases.Case) -> list[str]:
        """Give every safe point of every atom that executes."""
        return [
            f"{atom}:{number}"
            for (atom, side), count in case.reference.points.items()
            if side == "execute"
            for number in range(1, count + 1)
        ]

    def run(self, case: cases.Case, variant: str) -> Iterator[str]:
        """Condemn the run at one point."""
        atom, _, number = variant.rpartition(":")
        verdict = exceptions.TaskError(
            "the trial cancels it", code=disturbances.CODE
        )
        current: list[runner.Run] = []
        point = disturbances.AtPoint(
            atom,
            "execute",
            int(number),
            lambda: current[-1].condemn(verdict),
        )
        before = _Alive()
        with case.fresh() as place:
            with place.engine(point) as engine:
                lives.submit(engine, place)
                lives.run(engine, current.append)
            ended = lives.finish(place, point)
        if not point.reached:
            return
        # The last point of an atom may be too late to stop it.
        faults = (
            case.undone(ended)
            if ended and ended.status == "failure"
            else case.differs(ended)
        )
        for line in (*faults, *before.leaks()):
            yield f"cancelled in {atom}: {line}"


class _Alive:
    """The threads and child processes of this process, at one moment."""

    def __init__(self) -> None:
        self._threads = set(threading.enumerate())
        self._children = {p.pid for p in psutil.Process().children(True)}

    def leaks(self) -> Iterator[str]:
        """Say what has come since and does not go."""
        until = time.monotonic() + _PATIENCE_S
        while (found := self._more()) and time.monotonic() < until:
            time.sleep(0.01)
        yield from found
        for child in self._strays():
            # Else the next trial would find it too.
            child.kill()
            child.wait()

    def _more(self) -> list[str]:
        threads = [
            f"the thread {thread.name} goes on"
            for thread in set(threading.enumerate()) - self._threads
            # One executor is shared by all runs, as a conductor's is.
            if not thread.name.startswith("ThreadPoolExecutor")
        ]
        strays = [
            f"the process {child.name()} goes on" for child in self._strays()
        ]
        return threads + strays

    def _strays(self) -> list[psutil.Process]:
        return [
            child
            for child in psutil.Process().children(True)
            if child.pid not in self._children
        ]
