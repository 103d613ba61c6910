# SPDX-License-Identifier: Apache-2.0
"""How long fuzzers run: as many examples as a profile says, or a time.

With ``GLANCE_TASKS_FUZZ_SECONDS`` the time is shared out among the targets,
and each is run again and again, with other examples, until its share is used
up.
"""

from collections.abc import Callable
import dataclasses
import functools
import os
import time
from typing import Any
import zlib

import hypothesis

SECONDS = float(os.environ.get("GLANCE_TASKS_FUZZ_SECONDS", "0"))

#: Hypothesis' settings: a few seconds for all, or many examples a round.
PROFILES = {
    "ci": {"max_examples": 50, "database": None},
    "long": {"max_examples": 100},
}


def load_profile() -> None:
    """Make the settings of this run those of every test that has no others.

    A failure prints what reproduces it.
    """
    for name, own in PROFILES.items():
        hypothesis.settings.register_profile(
            name,
            deadline=None,
            derandomize=False,
            print_blob=True,
            # The directory of a target is emptied by each of its examples.
            suppress_health_check=list(hypothesis.HealthCheck),
            **own,
        )
    hypothesis.settings.load_profile("long" if SECONDS else "ci")


def examples(percent: int) -> hypothesis.settings:
    """Give a target more or fewer examples than the profile says."""
    usual = hypothesis.settings().max_examples
    return hypothesis.settings(max_examples=max(1, usual * percent // 100))


def sampled(data: bytes, one_of: int) -> bool:
    """Choose one of so many examples, always the same ones."""
    return zlib.crc32(data) % one_of == 0


@dataclasses.dataclass
class Target:
    """One fuzzed test and how many examples it has had.

    :ivar weight: its part of the time, relative to the others'
    """

    weight: float
    examples: int = 0

    def counting(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        """Give ``inner`` so that its calls are counted."""

        @functools.wraps(inner)
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.examples += 1
            return inner(*args, **kwargs)

        return counted


class TimeBox:
    """Shares out a time among targets that run one after another."""

    def __init__(self, seconds: float) -> None:
        """Begin when the first target runs.

        :param seconds: for all of them; 0 runs each once
        """
        self._seconds = seconds
        self._targets: dict[str, Target] = {}
        self._waiting: list[str] = []
        self._end: float | None = None

    def add(self, name: str, weight: float) -> Target:
        """Take a target in; all are known before the first one runs."""
        self._targets[name] = Target(weight)
        self._waiting.append(name)
        return self._targets[name]

    def run(self, name: str, once: Callable[[], None]) -> None:
        """Run a target once, then until its share of the time is used up.

        What one leaves unused is the others'.
        """
        now = time.monotonic()
        if self._end is None:
            self._end = now + self._seconds
        weights = sum(self._targets[n].weight for n in self._waiting)
        share = self._targets[name].weight / weights
        until = now + (self._end - now) * share
        self._waiting.remove(name)
        once()
        while time.monotonic() < until:
            once()

    def account(self) -> list[str]:
        """Give a line for each target: its examples and its name."""
        return [
            f"{target.examples:>9,} {name}"
            for name, target in self._targets.items()
        ]
