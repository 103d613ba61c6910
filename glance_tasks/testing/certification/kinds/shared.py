# SPDX-License-Identifier: Apache-2.0
"""Two tasks at a time: no file of one may be a file of the other."""

from collections.abc import Iterator
import os
import pathlib

from glance_tasks import exceptions
from glance_tasks.testing.certification import case as cases
from glance_tasks.testing.certification import disturbances
from glance_tasks.testing.certification import ending
from glance_tasks.testing.certification import ground
from glance_tasks.testing.certification import kinds
from glance_tasks.testing.certification import lives
from glance_tasks.testing.certification import processes

_PATHS = "paths"


class Shared(kinds.Kind):
    """Compares what two tasks write, and lets one run in another's midst."""

    name = "shared"
    what = "two tasks at a time: no artifact under a shared name"

    def variants(self, case: cases.Case) -> list[str]:
        """Give one look at all paths, and the atoms as places to meet at."""
        return [_PATHS, *case.reference.atoms]

    def run(self, case: cases.Case, variant: str) -> Iterator[str]:
        """Run two tasks."""
        with case.fresh() as place:
            if variant == _PATHS:
                yield from self._same_paths(place)
            else:
                yield from self._in_the_midst(case, place, variant)

    def _same_paths(self, place: ground.Ground) -> Iterator[str]:
        written = []
        for _ in range(2):
            with processes.started(place, submit=True) as worker:
                answer = worker.answer() or {}
            # One of which there can be no second writes nothing then.
            paths = answer.get("written", ())
            written.append({p for p in paths if _theirs(p)})
        for path in sorted(written[0] & written[1]):
            name = path.removeprefix(f"{place.home}/")
            yield f"{name} is written by every task: a shared name"

    def _in_the_midst(
        self, case: cases.Case, place: ground.Ground, atom: str
    ) -> Iterator[str]:
        lives.die(place, disturbances.Crashes(atom, "begin"))
        with place.engine() as engine:
            first = engine.find()[0].id
            try:
                second = lives.submit(engine, place).id
            except exceptions.TaskConflict:
                # Its locks keep two from meeting.
                return
            # Its lease has not lapsed, so only the second can be claimed.
            lives.run(engine)
            between = engine.get(second)
            lives.lapse(engine)
            lives.run(engine)
            ended = engine.get(first)
        for which, found in ("first", ended), ("second", between):
            got = ending.of_task(found, case.reference.ending.left)
            for line in case.differs(got):
                yield f"two tasks met at {atom}, the {which}: {line}"


def _theirs(path: str) -> bool:
    """Leave out what belongs to the engine, to Python and to the machine."""
    parts = pathlib.Path(path).parts
    return not (
        path.startswith(("/dev/", "/proc/"))
        or ".conductors" in parts
        or "__pycache__" in parts
        or ".sqlite" in os.path.basename(path)
    )
