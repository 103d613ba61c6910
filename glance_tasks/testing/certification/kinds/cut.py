# SPDX-License-Identifier: Apache-2.0
"""A cut before and after each write to the database, forward and back."""

from collections.abc import Iterator

from glance_tasks.testing import cuts
from glance_tasks.testing.certification import case as cases
from glance_tasks.testing.certification import disturbances
from glance_tasks.testing.certification import kinds
from glance_tasks.testing.certification import lives

_SUCCEEDING = "success"


class Cut(kinds.Kind):
    """Ends the process, in effect, at one write; another one goes on.

    Of a task that succeeds, and of one that fails at each atom in turn.
    """

    name = "cut"
    what = "a cut before and after every database write"

    def variants(self, case: cases.Case) -> list[str]:
        """Give both sides of each write of each run."""
        found = []
        for course in (_SUCCEEDING, *case.reference.atoms):
            with case.fresh() as place:
                writes = lives.die(place, _failing(course)).writes
            found += [
                f"{course}:{cut.side}:{cut.write}"
                for cut in cuts.every_cut(writes)
            ]
        return found

    def run(self, case: cases.Case, variant: str) -> Iterator[str]:
        """Cut once, and let others run the task to its end."""
        course, side, number = variant.rsplit(":", 2)
        cut = cuts.Cut(int(number), "before" if side == "before" else "after")
        with case.fresh() as place:
            lives.die(place, _failing(course), cut)
            ended = lives.finish(place, _failing(course))
        if course == _SUCCEEDING:
            yield from case.differs(ended)
        else:
            yield from case.undone(ended)


def _failing(course: str) -> disturbances.Fails | None:
    return None if course == _SUCCEEDING else disturbances.Fails(course)
