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
    """Whether a block took too long, or somebody else had no patience.

    :ivar lost: whether it took too long
    """

    lost = False
    _ended = False

    def _lose(self, *_: Any) -> None:
        self.lost = True
        # As a crash: what an atom catches is an Exception.
        raise disturbance.Crashed("the trial takes too long")

    def _end(self, *_: Any) -> None:
        self._ended = True
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_S, _AGAIN_S)
        raise disturbance.Crashed("the certification is ended")


@contextlib.contextmanager
def limited() -> Iterator[Patience]:
    """End the block, as a crash would, when it takes longer than that.

    By a signal, which only the main thread hears: in another one there is no
    limit.

    :raises KeyboardInterrupt: on SIGINT and SIGTERM. Raised at once it would
        be one of the things that an atom may raise
    """
    patience = Patience()
    if threading.current_thread() is not threading.main_thread():
        yield patience
        return
    handlers = {
        signal.SIGALRM: patience._lose,
        signal.SIGINT: patience._end,
        signal.SIGTERM: patience._end,
    }
    before = {name: signal.signal(name, do) for name, do in handlers.items()}
    signal.setitimer(signal.ITIMER_REAL, LIMIT_S, _AGAIN_S)
    try:
        with contextlib.suppress(disturbance.Crashed):
            yield patience
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for name, handler in before.items():
            signal.signal(name, handler)
    if patience._ended:
        raise KeyboardInterrupt
