# SPDX-License-Identifier: Apache-2.0
"""Each atom executed twice, as after a crash before its checkpoint."""

from collections.abc import Iterator

from glance_tasks.testing.certification import case as cases
from glance_tasks.testing.certification import disturbances
from glance_tasks.testing.certification import kinds
from glance_tasks.testing.certification import lives


class Rerun(kinds.Kind):
    """Ends a life behind an atom's work; the next one executes it again."""

    name = "rerun"
    what = "each atom executed twice"

    def variants(self, case: cases.Case) -> list[str]:
        """Give the atoms."""
        return list(case.reference.atoms)

    def run(self, case: cases.Case, variant: str) -> Iterator[str]:
        """Execute one atom twice."""
        with case.fresh() as place:
            ended = lives.played(place, disturbances.Crashes(variant))
        for line in case.differs(ended):
            yield f"{variant} executed twice: {line}"
