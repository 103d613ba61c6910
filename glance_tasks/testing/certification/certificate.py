# SPDX-License-Identifier: Apache-2.0
"""What a certification found: counts by kind, and faults with tokens."""

from collections.abc import Iterator
from collections.abc import Mapping
import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Fault:
    """Something that is wrong with the type.

    :ivar kind: of the trial that showed it
    :ivar token: makes that one trial again
    :ivar text: one line
    """

    kind: str
    token: str
    text: str


@dataclasses.dataclass(frozen=True)
class Count:
    """The trials of one kind.

    :ivar there: how many there are
    :ivar made: how many were made; fewer when they are sampled
    :ivar failed: how many of those showed a fault
    :ivar absent: why none could be made here, else None
    """

    kind: str
    what: str
    there: int = 0
    made: int = 0
    failed: int = 0
    absent: str | None = None


@dataclasses.dataclass(frozen=True)
class Certificate:
    """The outcome of a certification.

    :ivar version: of the type, ``major.minor``
    :ivar seed: the samples were drawn with it
    :ivar notes: what could not be told of the type, a line each
    :ivar seconds: that it took
    """

    name: str
    version: str
    database: str
    seed: int
    counts: tuple[Count, ...]
    faults: tuple[Fault, ...]
    notes: tuple[str, ...]
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether no trial showed a fault."""
        return not self.faults

    @property
    def made(self) -> int:
        """How many trials were made."""
        return sum(count.made for count in self.counts)

    def to_dict(self) -> Mapping[str, Any]:
        """Give it as JSON would."""
        return {
            **dataclasses.asdict(self),
            "passed": self.passed,
            "made": self.made,
        }

    def _alike(self) -> Iterator[list[Fault]]:
        """Give the faults that say the same of other trials together."""
        alike: dict[tuple[str, str], list[Fault]] = {}
        for fault in self.faults:
            said = fault.text.rpartition(": ")[2]
            alike.setdefault((fault.kind, said), []).append(fault)
        yield from alike.values()

    def lines(self, again: str = "") -> Iterator[str]:
        """Give the certificate as text, a line at a time.

        :param again: the command that a token is put behind, to see a fault
            again
        """
        yield (
            f"Certificate of {self.name!r}, version {self.version}, on"
            f" {self.database}; seed {self.seed}"
        )
        yield ""
        yield f"  {'kind':8} {'there':>6} {'made':>6} {'failed':>6}"
        for count in self.counts:
            figures = f"{count.there:6} {count.made:6} {count.failed:6}"
            yield f"  {count.kind:8} {figures}  {count.what}"
            if count.absent:
                yield f"  {'':8} not tried here: {count.absent}"
        yield ""
        for note in self.notes:
            yield f"note: {note}"
        for alike in self._alike():
            fault, more = alike[0], len(alike) - 1
            yield f"FAULT {fault.kind}: {fault.text}"
            yield f"      see it again: {again} --replay {fault.token}"
            if more:
                yield f"      and in {more} more trials of this kind"
        word = "passed" if self.passed else "FAILED"
        yield (
            f"{word}: {self.made} trials, {len(self.faults)} faults,"
            f" {self.seconds:.0f} s"
        )
