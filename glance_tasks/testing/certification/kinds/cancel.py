# SPDX-License-Identifier: Apache-2.0
"""A verdict in the midst of each atom: what it had half done is undone."""

from collections.abc import Iterator

from glance_tasks import exceptions
from glance_tasks import runner
from glance_tasks.testing.certification import case as cases
from glance_tasks.testing.certification import disturbances
from glance_tasks.testing.certification import kinds
from glance_tasks.testing.certification import lives
from glance_tasks.testing.certification import living


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
        before = living.Living()
        with case.fresh() as place:
            with place.engine(point) as engine:
                lives.submit(engine, place)
                lives.run(engine, current.append)
            ended = lives.finish(place, point)
        if not point.reached:
            return
        # The last point of an atom may be too late to stop it.
        faults = (
            case.undone(ended, atom=atom)
            if ended and ended.status == "failure"
            else case.differs(ended)
        )
        for line in (*faults, *before.leaks()):
            yield f"cancelled in {atom}: {line}"
