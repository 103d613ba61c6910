# SPDX-License-Identifier: Apache-2.0
"""How fast each place answered lately, and which one to read from next.

For this node alone: the figures are in memory and, if asked for, in a file
that may be deleted at any time. They stand in no database and no answer of an
API. The module needs the standard library and nothing else, so that a client
can take it as it is.
"""

from collections.abc import Callable
from collections.abc import Iterable
import contextlib
import dataclasses
import json
import os
import pathlib
import random
import tempfile
import threading
from typing import Any
from typing import TypeVar

_T = TypeVar("_T")

# What was seen last counts this much: after seven readings all before them
# count for a tenth.
_WEIGHT = 0.28

# One choice in twenty goes to another place than the fastest, to see whether
# that is still so.
_PROBES = 0.05

# Reads are told apart by this many bytes, not by their first answer alone.
_TYPICAL_BYTES = 64 << 20

_MAX_PLACES = 1000


@dataclasses.dataclass(frozen=True, slots=True)
class Speed:
    """What one place did lately; averages in which the latest count most.

    :ivar latency: seconds until the first byte
    :ivar rate: bytes per second from then on
    :ivar errors: the part of the readings that failed, 0 to 1
    """

    latency: float = 0.0
    rate: float = 0.0
    errors: float = 0.0

    def cost(self) -> float:
        """Give the seconds that a typical read may be expected to take."""
        if self.rate <= 0:
            return float("inf")
        once = self.latency + _TYPICAL_BYTES / self.rate
        # As often as it fails it must be read again, perhaps elsewhere.
        return once / max(1 - self.errors, 0.01)


class SpeedBook:
    """Readings of many places; safe to share between threads.

    Places are texts of the caller's choice, such as a store's name or a host.
    """

    def __init__(
        self,
        path: pathlib.Path | None = None,
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Begin with what the file says, if there is one that can be read.

        :param path: of the file; None keeps nothing
        :param chance: gives numbers from 0 up to 1
        """
        self._path = path
        self._chance = chance
        self._lock = threading.Lock()
        self._speeds = _read(path)

    def note(self, place: str, *, latency: float, rate: float) -> None:
        """Take in a read that went well.

        :param latency: seconds until the first byte
        :param rate: bytes per second from then on
        """
        with self._lock:
            old = self._speeds.get(place, Speed(latency, rate))
            if old.rate <= 0:
                # It has only failed so far.
                old = dataclasses.replace(old, latency=latency, rate=rate)
            self._keep(
                place,
                Speed(
                    _mean(old.latency, latency),
                    _mean(old.rate, rate),
                    _mean(old.errors, 0.0),
                ),
            )

    def note_failure(self, place: str) -> None:
        """Take in a read that failed."""
        with self._lock:
            old = self._speeds.get(place, Speed())
            self._keep(
                place,
                dataclasses.replace(old, errors=_mean(old.errors, 1.0)),
            )

    def speed(self, place: str) -> Speed | None:
        """Give what is known of a place; None when nothing is."""
        with self._lock:
            return self._speeds.get(place)

    def rank(
        self, found: Iterable[_T], place: Callable[[_T], str] = str
    ) -> list[_T]:
        """Put the fastest first; what was never read comes before all.

        Now and then another one comes first, for the fastest may no longer
        be.

        :param place: gives the place of each
        """
        with self._lock:
            ranked = sorted(found, key=lambda one: self._cost(place(one)))
        if len(ranked) > 1 and self._chance() < _PROBES:
            other = 1 + int(self._chance() * (len(ranked) - 1))
            ranked.insert(0, ranked.pop(other))
        return ranked

    def _cost(self, place: str) -> float:
        known = self._speeds.get(place)
        return known.cost() if known else 0.0

    def _keep(self, place: str, speed: Speed) -> None:
        # The latest last, so that the first is the one to be forgotten.
        self._speeds.pop(place, None)
        self._speeds[place] = speed
        while len(self._speeds) > _MAX_PLACES:
            del self._speeds[next(iter(self._speeds))]

    def save(self) -> None:
        """Write the file, if there is one, whole or not at all.

        A disk that does not take it is no error: nothing depends on it.
        """
        if self._path is None:
            return
        with self._lock:
            stored = {
                place: dataclasses.asdict(speed)
                for place, speed in self._speeds.items()
            }
        with contextlib.suppress(OSError):
            _replace(self._path, json.dumps(stored))


def _mean(old: float, new: float) -> float:
    return old + _WEIGHT * (new - old)


def _replace(path: pathlib.Path, text: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".speed-")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        pathlib.Path(name).replace(path)
    except OSError:
        pathlib.Path(name).unlink(missing_ok=True)
        raise


def _read(path: pathlib.Path | None) -> dict[str, Speed]:
    """Read a file; what is no reading in it is left out."""
    if path is None:
        return {}
    try:
        stored = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(stored, dict):
        return {}
    found = {place: _speed(about) for place, about in stored.items()}
    return {place: speed for place, speed in found.items() if speed}


def _speed(about: Any) -> Speed | None:
    names = [field.name for field in dataclasses.fields(Speed)]
    if not isinstance(about, dict) or sorted(about) != sorted(names):
        return None
    numbers = [about[name] for name in names]
    if not all(
        isinstance(one, int | float) and 0 <= one < float("inf")
        for one in numbers
    ):
        return None
    return Speed(*numbers)
