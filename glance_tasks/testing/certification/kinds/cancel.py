# SPDX-License-Identifier: Apache-2.0
"""Cancelled in the midst of each atom: what it had half done is undone."""

from collections.abc import Iterator
import threading
import time

from glance_tasks import engine as task_engine
from glance_tasks import runner
from glance_tasks import verdicts
from glance_tasks.persistence import controls
from glance_tasks.testing.certification import case as cases
from glance_tasks.testing.certification import disturbances
from glance_tasks.testing.certification import kinds
from glance_tasks.testing.certification import lives
from glance_tasks.testing.certification import living


class Cancel(kinds.AtPoints):
    """Cancels the task at a safe point, while it works or is undone."""

    name = "cancel"
    what = "cancelled at safe points: files, threads, processes left"

    def variants(self, case: cases.Case) -> list[str]:
        """Give every safe point of every atom."""
        return [
            f"{atom}:{side}:{number}"
            for (atom, side), count in case.reference.points.items()
            for number in range(1, count + 1)
        ]

    def run(self, case: cases.Case, variant: str) -> Iterator[str]:
        """Cancel the task at one point."""
        atom, side, number = variant.rsplit(":", 2)
        fails = None
        if side == "revert":
            fails = disturbances.Fails(case.reference.atoms[-1])
        asker = _Asker()
        point = disturbances.AtPoint(atom, side, int(number), asker.cancel)
        both = disturbances.Both(point, fails) if fails else point
        before = living.Living()
        with case.fresh() as place:
            with place.engine(both) as engine:
                lives.submit(engine, place)
                asker.engine = engine
                lives.run(engine, asker.runs.append)
            ended = lives.finish(place, both)
        if not point.reached:
            return
        code = disturbances.CODE if fails else verdicts.CANCELLED
        # The last point of an atom may be too late to stop it, and what
        # nothing can undo is not stopped.
        faults = (
            case.undone(ended, code, atom=atom)
            if ended and ended.status == "failure"
            else case.differs(ended)
        )
        for line in (*faults, *before.leaks()):
            yield f"cancelled in {side} of {atom}: {line}"


class _Asker:
    """Whoever cancels the task, and the conductor that hears of it.

    :ivar runs: the runs of the task, the last one at work
    """

    engine: task_engine.TaskEngine

    def __init__(self) -> None:
        self.runs: list[runner.Run] = []

    def cancel(self) -> None:
        """Cancel it, by another thread, as those two do."""
        thread = threading.Thread(target=self._cancel)
        thread.start()
        thread.join()

    def _cancel(self) -> None:
        run, engine = self.runs[-1], self.engine
        task_id = run.claim.task.id
        engine.cancel(task_id)
        asked = controls.asked(engine.database, [task_id])
        run.hear(asked.get(task_id), time.monotonic())
