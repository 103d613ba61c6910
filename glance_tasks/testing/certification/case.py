# SPDX-License-Identifier: Apache-2.0
"""One input of the type under trial, and what it comes to undisturbed."""

from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import dataclasses
from typing import Any

from glance_tasks import exceptions
from glance_tasks.testing.certification import disturbance as disturbing
from glance_tasks.testing.certification import disturbances
from glance_tasks.testing.certification import ending
from glance_tasks.testing.certification import ground
from glance_tasks.testing.certification import grounds
from glance_tasks.testing.certification import lives
from glance_tasks.testing.certification import living
from glance_tasks.testing.certification import processes


@dataclasses.dataclass(frozen=True)
class Reference:
    """What undisturbed runs come to.

    :ivar volatile: what differs between them by nature
    :ivar before: what is there before anything happens
    :ivar points: safe points, by place
    :ivar gaps: the longest time between two, in seconds, by place
    :ivar settled: the atoms from the first on that nothing can undo
    """

    ending: ending.Ending
    volatile: frozenset[str]
    before: Mapping[str, str]
    atoms: tuple[str, ...]
    points: Mapping[disturbing.Place, int]
    gaps: Mapping[disturbing.Place, float]
    settled: tuple[str, ...] = ()


def _of(
    figures: Mapping[disturbing.Place, Any], side: str
) -> dict[disturbing.Place, Any]:
    return {place: n for place, n in figures.items() if place[1] == side if n}


class Case:
    """One input; makes grounds for trials of it.

    :ivar reference: set by :meth:`look`
    """

    reference: Reference

    def __init__(
        self, places: grounds.Grounds, given: Mapping[str, Any]
    ) -> None:
        """Take the input ``given``."""
        self.places, self.given = places, given

    def fresh(self) -> contextlib.AbstractContextManager[ground.Ground]:
        """Give a ground on which nothing has happened yet."""
        return self.places.fresh(self.given)

    def look(self) -> list[str]:
        """Run it twice undisturbed; give what is wrong with that already."""
        if dead := self._dead():
            return [dead]
        alive = living.Living()
        first, watch, before = self._undisturbed()
        second, again, _ = self._undisturbed()
        volatile = ending.unsteady(first, second)
        atoms = tuple(a for a, side in watch.order if side == "execute")
        # What is undone has safe points too, and silences.
        back = self._undoing(atoms)
        points = {**_of(watch.points, "execute"), **_of(back.points, "revert")}
        gaps = {
            place: min(gap, again.gaps.get(place, gap))
            for place, gap in {
                **_of(watch.gaps, "execute"),
                **_of(back.gaps, "revert"),
            }.items()
        }
        finals = [n for n, a in enumerate(atoms) if a in watch.finals]
        settled = atoms[finals[0] :] if finals else ()
        self.reference = Reference(
            first, volatile, before, atoms, points, gaps, settled
        )
        if first.status != "success":
            return [f"undisturbed it ends as {first.code}: {first.message}"]
        return [
            *alive.leaks(),
            *(
                f"a second run differs: {difference}"
                for difference in ending.differences(first, second, volatile)
            ),
        ]

    def _dead(self) -> str | None:
        """Say how a process ends that runs it, if before the task does."""
        with (
            self.fresh() as place,
            processes.started(place, submit=True) as worker,
        ):
            if worker.answer() is None:
                code = worker.process.returncode
                return f"it ends its process, with exit code {code}"
        return None

    def _undoing(self, atoms: tuple[str, ...]) -> disturbing.Disturbance:
        """Have all of it undone; give what was seen of that."""
        if not atoms:
            return disturbing.Disturbance()
        watch = disturbances.Fails(atoms[-1])
        with self.fresh() as place:
            lives.played(place, watch)
        return watch

    def notes(self) -> list[str]:
        """Say what cannot be told of this type by these trials."""
        silent = [
            f"{atom} never looks at the stop signal: nothing was tried in its"
            " midst"
            for atom in self.reference.atoms
            if (atom, "execute") not in self.reference.points
        ]
        return silent + [
            f"{name} differs from run to run: not compared"
            for name in sorted(self.reference.volatile)
        ]

    def _undisturbed(
        self,
    ) -> tuple[ending.Ending, disturbing.Disturbance, dict[str, str]]:
        watch = disturbing.Disturbance()
        with self.fresh() as place:
            with place.engine() as engine:
                before = place.left(engine)
            return lives.played(place, watch), watch, before

    def differs(self, got: ending.Ending | None) -> Iterator[str]:
        """Say how an ending is not that of an undisturbed run."""
        if got is not None:
            yield from ending.differences(
                self.reference.ending, got, self.reference.volatile
            )

    def undone(
        self,
        got: ending.Ending | None,
        code: str = disturbances.CODE,
        atom: str | None = None,
    ) -> Iterator[str]:
        """Say how an ending is no failure that leaves nothing behind.

        :param atom: where it failed; None where that may be anywhere
        """
        if got is None:
            return
        left = self.reference.before
        if self.reference.settled and atom in (None, *self.reference.settled):
            # Some of it may be done for good; there is nothing else.
            known = {**self.reference.ending.left, **left}
            settled = {
                name: got.left[name] if name.startswith("image ") else how
                for name, how in known.items()
                if name in got.left
            }
            left = left if got.left == left else settled
        expected = ending.Ending("failure", code, left=left)
        yield from ending.differences(expected, got)

    def completed(self, place: ground.Ground) -> Iterator[str]:
        """Say how a retry does not finish what could not be undone."""
        with place.engine() as engine:
            failed = engine.get(engine.find()[0].id)
            # They went with its end; whoever retries it gives them again.
            names = failed.plan.get("secrets", ())
            secrets = {name: place.given[name] for name in names}
            try:
                engine.retry(failed.id, secrets=secrets)
            except exceptions.InvalidInput:
                # There is nothing left to be done.
                got = lives.observed(engine, place, failed.id).left
                expected = self.reference.ending.left
                if got != expected:
                    yield f"a retry is refused, and there is {sorted(got)}"
                return
        yield from self.differs(lives.finish(place))
