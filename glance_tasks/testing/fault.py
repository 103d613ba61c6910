# SPDX-License-Identifier: Apache-2.0
"""The fault of a port's stand-in: which calls fail, and on which side."""

from collections.abc import Callable
from collections.abc import Collection
import threading
from typing import Literal
from typing import TypeVar

#: Before: the call never takes effect. After: only its answer is lost.
Side = Literal["before", "after"]

_Given = TypeVar("_Given")


class Fault:
    """Counts chosen calls and fails at some; safe to share between threads.

    :ivar calls: the names that were counted, in the order of their calls
    """

    def __init__(
        self,
        error: BaseException,
        *,
        known: Collection[str],
        of: Collection[str],
        call: int,
        times: int | None,
        side: Side,
    ) -> None:
        """Fail at the ``call``-th call of the names in ``of``.

        :param known: the names there are
        :param times: how many calls in a row fail; None all from then on
        :raises ValueError: when no call could be meant
        """
        if set(of) - set(known) or call < 1 or side not in ("before", "after"):
            raise ValueError(
                f"call {call} of {', '.join(sorted(of))} cannot fail {side};"
                f" expected call 1 or a later one of {', '.join(known)},"
                " before or after"
            )
        self.calls: list[str] = []
        self._error, self._side, self._of = error, side, frozenset(of)
        self._first = call
        self._last = None if times is None else call + times - 1
        self._lock = threading.Lock()

    def around(self, name: str, act: Callable[[], _Given]) -> _Given:
        """Give what ``act`` gives, or fail on the chosen side of it."""
        fails = self._fails(name)
        if fails and self._side == "before":
            raise self._error
        given = act()
        if fails:
            # A file that was opened is nobody's.
            getattr(given, "close", lambda: None)()
            raise self._error
        return given

    def _fails(self, name: str) -> bool:
        if name not in self._of:
            return False
        with self._lock:
            self.calls.append(name)
            number = len(self.calls)
        return self._first <= number and (
            self._last is None or number <= self._last
        )
