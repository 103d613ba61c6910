# SPDX-License-Identifier: Apache-2.0
"""Each atom undone: after nothing, after all, and twice."""

from collections.abc import Iterator

from glance_tasks.testing.certification import case as cases
from glance_tasks.testing.certification import disturbances
from glance_tasks.testing.certification import kinds
from glance_tasks.testing.certification import lives

_AFTER = {
    "nothing": lambda atom: disturbances.Fails(atom, "before"),
    "all": lambda atom: disturbances.Fails(atom, "after"),
    "twice": disturbances.RevertsTwice,
}


class Undo(kinds.Kind):
    """Makes an atom fail, so that it and all before it are reverted.

    After half of its work is what the kind ``cancel`` tries.
    """

    name = "undo"
    what = "revert after nothing, after all, and twice"

    def variants(self, case: cases.Case) -> list[str]:
        """Give the atoms, each in three ways."""
        return [
            f"{atom}:{after}"
            for atom in case.reference.atoms
            for after in _AFTER
        ]

    def run(self, case: cases.Case, variant: str) -> Iterator[str]:
        """Let one atom fail."""
        atom, _, after = variant.rpartition(":")
        with case.fresh() as place:
            ended = lives.played(place, _AFTER[after](atom))
            faults = list(case.undone(ended, atom=atom))
            if not faults and atom in case.reference.settled:
                faults += case.completed(place)
        for line in faults:
            yield f"reverted after {after} of {atom}: {line}"
