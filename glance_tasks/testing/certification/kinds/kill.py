# SPDX-License-Identifier: Apache-2.0
"""kill -9 at the safe points, of real processes."""

from collections.abc import Iterator

from glance_tasks.testing.certification import case as cases
from glance_tasks.testing.certification import disturbances
from glance_tasks.testing.certification import kinds
from glance_tasks.testing.certification import lives
from glance_tasks.testing.certification import processes

_SUCCEEDING, _FAILING = "success", "failure"


class Kill(kinds.AtPoints):
    """Kills the process at one safe point; this one goes on with the task.

    Of a task that succeeds, and of one whose last atom fails, so that every
    ``revert`` has its points too.
    """

    name = "kill"
    what = "kill -9 at safe points, of real processes"

    def variants(self, case: cases.Case) -> list[str]:
        """Give the points; 0 is where an atom begins."""
        if not case.reference.atoms:
            return []
        forward = [
            f"{_SUCCEEDING}:{atom}:execute:{number}"
            for atom in case.reference.atoms
            for number in range(
                case.reference.points.get((atom, "execute"), 0) + 1
            )
        ]
        back = [
            f"{_FAILING}:{atom}:revert:{number}"
            for atom in case.reference.atoms
            for number in range(
                case.reference.points.get((atom, "revert"), 0) + 1
            )
        ]
        return forward + back

    def run(self, case: cases.Case, variant: str) -> Iterator[str]:
        """Kill one process."""
        course, _, where = variant.partition(":")
        atom, side, number = where.rsplit(":", 2)
        fail = case.reference.atoms[-1] if course == _FAILING else None
        struck = {"atom": atom, "side": side, "number": int(number)}
        with case.fresh() as place:
            with processes.started(
                place,
                submit=True,
                disturbance={"fail": fail, "signal": "SIGKILL", **struck},
            ) as worker:
                worker.reached()
            ended = lives.finish(
                place, disturbances.Fails(fail) if fail else None
            )
        faults = case.undone(ended) if fail else case.differs(ended)
        for line in faults:
            yield f"killed in {side} of {atom}: {line}"
