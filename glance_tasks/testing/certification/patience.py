# SPDX-License-Identifier: Apache-2.0
"""An end to trials that have none: atoms that loop for ever, or wait."""

from collections.abc import Iterator
import contextlib
import signal
import threading
from typing import Any

from glance_tasks.testing.certification import disturbance

#: Seconds that one trial may take. They take one or two.
LIMIT_S = 120.0

# Whoever goes on after that is ended again as often.
_AGAIN_S = 0.5


class Patience:
    """Whether a block took too long.

    :ivar lost: whether it did
    """

    lost = False

    def _lose(self, *_: Any) -> None:
        self.lost = True
        # As a crash: what an atom catches is an Exception.
        raise disturbance.Crashed("the trial takes too long")


@contextlib.contextmanager
def limited() -> Iterator[Patience]:
    """End the block, as a crash would, when it takes longer than that.

    By a signal, which only the main thread hears: in another one there is no
    limit.
    """
    patience = Patience()
    if threading.current_thread() is not threading.main_thread():
        yield patience
        return
    before = signal.signal(signal.SIGALRM, patience._lose)
    signal.setitimer(signal.ITIMER_REAL, LIMIT_S, _AGAIN_S)
    try:
        with contextlib.suppress(disturbance.Crashed):
            yield patience
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
