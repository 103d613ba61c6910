# SPDX-License-Identifier: Apache-2.0
"""How soon an atom leaves when it is told to, and whether it goes on."""

from collections.abc import Iterator
import contextlib
import threading
import time

from glance_tasks import exceptions
from glance_tasks import runner
from glance_tasks.testing.certification import case as cases
from glance_tasks.testing.certification import disturbances
from glance_tasks.testing.certification import kinds
from glance_tasks.testing.certification import lives

#: The port asks for a look at the signal at least once a second; twice that
#: is given, for machines that are busy.
LIMIT_S = 2.0

_GAP = "gap"


class Stop(kinds.AtPoints):
    """Tells a run to stop at a safe point, and measures until it has left."""

    name = "stop"
    what = f"told to stop: left within {LIMIT_S:.0f} s, resumed"

    def variants(self, case: cases.Case) -> list[str]:
        """Give the safe points, and the longest silence of each atom."""
        return [
            *(f"{a}:{s}:{_GAP}" for a, s in case.reference.gaps),
            *(
                f"{atom}:{side}:{number}"
                for (atom, side), count in case.reference.points.items()
                for number in range(1, count + 1)
            ),
        ]

    def costly(self, variant: str) -> bool:
        """Look at every silence; that costs nothing."""
        return not variant.endswith(f":{_GAP}")

    def run(self, case: cases.Case, variant: str) -> Iterator[str]:
        """Stop a run at one point, or look at one silence."""
        atom, side, number = variant.rsplit(":", 2)
        if number == _GAP:
            gap = case.reference.gaps[(atom, side)]
            if gap > LIMIT_S:
                yield (
                    f"{side} of {atom} looked at the stop signal only after"
                    f" {gap:.1f} s; expected at least once a second"
                )
            return
        current: list[runner.Run] = []
        told: list[float] = []

        def interrupt() -> None:
            told.append(time.monotonic())
            # By another thread, as a conductor does.
            thread = threading.Thread(target=current[-1].interrupt)
            thread.start()
            thread.join()

        point = disturbances.AtPoint(atom, side, int(number), interrupt)
        fails = None
        if side == "revert":
            fails = disturbances.Fails(case.reference.atoms[-1])
        both = disturbances.Both(point, fails) if fails else point
        with case.fresh() as place:
            went_on = False
            with place.engine(both) as engine:
                lives.submit(engine, place)
                with contextlib.suppress(exceptions.RunInterrupted):
                    went_on = lives.run(engine, current.append)
                left = time.monotonic()
            ended = lives.finish(place, fails)
        if not told:
            return
        if went_on:
            yield f"{side} of {atom} did not leave when it was told to"
        elif left - told[0] > LIMIT_S:
            yield (
                f"told to stop in {side} of {atom} the run left"
                f" {left - told[0]:.1f} s later; expected a second at most"
            )
        faults = case.undone(ended) if fails else case.differs(ended)
        for line in faults:
            yield f"stopped in {atom} and resumed: {line}"
