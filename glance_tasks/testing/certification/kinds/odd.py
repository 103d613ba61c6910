# SPDX-License-Identifier: Apache-2.0
"""Results that are no JSON, and exceptions that cannot be stored."""

from collections.abc import Callable
from collections.abc import Iterator
import decimal
import pathlib
import threading
from typing import Any
from typing import NoReturn

from glance_tasks.testing.certification import case as cases
from glance_tasks.testing.certification import disturbances
from glance_tasks.testing.certification import kinds
from glance_tasks.testing.certification import lives


class _Mute(Exception):
    """An exception that cannot even be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


def _raising(error: BaseException) -> Callable[[], NoReturn]:
    def fail() -> NoReturn:
        raise error

    return fail


def _looped() -> list[Any]:
    looped: list[Any] = []
    looped.append(looped)
    return looped


#: What an atom gives or raises, and the code its task must fail with.
_ODD: dict[str, tuple[Callable[[], Any], str]] = {
    "gives-bytes": (lambda: b"bytes", "result_invalid"),
    "gives-nan": (lambda: float("nan"), "result_invalid"),
    "gives-path": (lambda: pathlib.Path("x"), "result_invalid"),
    "gives-itself": (_looped, "result_invalid"),
    "gives-much": (lambda: "x" * (1 << 20), "result_invalid"),
    "gives-decimal": (lambda: decimal.Decimal(1), "result_invalid"),
    "raises-unicode": (
        _raising(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no text")),
        "internal",
    ),
    "raises-path": (_raising(ValueError(pathlib.Path("x"))), "internal"),
    "raises-lock": (_raising(ValueError(threading.Lock())), "internal"),
    "raises-mute": (_raising(_Mute()), "internal"),
    "raises-exit": (_raising(SystemExit(3)), "internal"),
    "raises-group": (
        _raising(ExceptionGroup("many", [ValueError("one")])),
        "internal",
    ),
}


class Odd(kinds.Kind):
    """Makes an atom give or raise something odd once it did its work."""

    name = "odd"
    what = "results that are no JSON, exceptions that cannot be stored"

    def variants(self, case: cases.Case) -> list[str]:
        """Give the atoms, each with everything odd."""
        return [
            f"{atom}:{odd}" for atom in case.reference.atoms for odd in _ODD
        ]

    def run(self, case: cases.Case, variant: str) -> Iterator[str]:
        """Give or raise it."""
        atom, _, name = variant.rpartition(":")
        odd, code = _ODD[name]
        with case.fresh() as place:
            ended = lives.played(place, disturbances.Returns(atom, odd))
        for line in case.undone(ended, code):
            yield f"{atom} {name.replace('-', ' ')}: {line}"
