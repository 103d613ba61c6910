# SPDX-License-Identifier: Apache-2.0
"""The kinds of trial, one a file."""

import abc
from collections.abc import Iterator
from collections.abc import Sequence
import random

from glance_tasks.testing.certification import case as cases


class Kind(abc.ABC):
    """One way to disturb a task, in many variants.

    :cvar name: one word, the first of a token
    :cvar what: what is tried, as the certificate says it
    """

    name: str
    what: str

    @abc.abstractmethod
    def variants(self, case: cases.Case) -> list[str]:
        """Name the trials there are; each is the rest of a token."""

    @abc.abstractmethod
    def run(self, case: cases.Case, variant: str) -> Iterator[str]:
        """Make one trial; give what is wrong, a line each."""

    def costly(self, variant: str) -> bool:
        """Tell whether such variants are so many, or so slow, that a sample
        of them must do.
        """
        return False

    def absence(self) -> str | None:
        """Say why it cannot be tried on this machine; None when it can."""
        return None


class AtPoints(Kind):
    """A kind whose variants are safe points, of which there are hundreds."""

    def costly(self, variant: str) -> bool:
        """Say that they are."""
        return True


def drawn(items: Sequence[str], number: int, seed: int) -> list[str]:
    """Draw a sample of variants, in their order; 0 is all of them.

    The first two and the last point of each atom are always in it, because
    an atom makes its effects at its ends.

    :param number: of the sample, unless those are more
    """
    if not number or number >= len(items):
        return list(items)
    groups: dict[str, list[str]] = {}
    for item in items:
        groups.setdefault(item.rpartition(":")[0], []).append(item)
    chosen = {
        item for group in groups.values() for item in (*group[:2], group[-1])
    }
    rest = [item for item in items if item not in chosen]
    chooser = random.Random(seed)
    chosen.update(
        chooser.sample(rest, min(len(rest), max(0, number - len(chosen))))
    )
    return [item for item in items if item in chosen]
