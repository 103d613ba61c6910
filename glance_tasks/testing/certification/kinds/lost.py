# SPDX-License-Identifier: Apache-2.0
"""Artifacts that are gone when another machine goes on."""

from collections.abc import Iterator
import pathlib
import shutil

from glance_tasks.testing.certification import case as cases
from glance_tasks.testing.certification import disturbances
from glance_tasks.testing.certification import kinds
from glance_tasks.testing.certification import lives


class Lost(kinds.Kind):
    """Ends a life where an atom begins, and empties the work directory."""

    name = "lost"
    what = "artifacts lost between atoms"

    def variants(self, case: cases.Case) -> list[str]:
        """Give the atoms that have one before them."""
        return list(case.reference.atoms[1:])

    def run(self, case: cases.Case, variant: str) -> Iterator[str]:
        """Lose what all atoms before this one left."""
        with case.fresh() as place:
            lives.die(place, disturbances.Crashes(variant, "begin"))
            work = pathlib.Path(place.home) / "data" / "work"
            shutil.rmtree(work, ignore_errors=True)
            ended = lives.finish(place)
        for line in case.differs(ended):
            yield f"artifacts lost before {variant}: {line}"
