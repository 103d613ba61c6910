# SPDX-License-Identifier: Apache-2.0
"""Threads and processes that go on when they should have ended."""

from collections.abc import Iterator
import contextlib
import threading
import time

import psutil

from glance_tasks.testing.certification import lives

# Seconds that they get to end by themselves.
_PATIENCE_S = 2.0


class Living:
    """The threads and child processes of this process, at one moment."""

    def __init__(self) -> None:
        """Take note of them."""
        # Conductors share such threads between runs; these are the kit's.
        lives.warm_up()
        self._threads = set(threading.enumerate())
        self._children = {p.pid for p in psutil.Process().children(True)}

    def leaks(self) -> Iterator[str]:
        """Say what has come since and does not go."""
        until = time.monotonic() + _PATIENCE_S
        while (found := self._more()) and time.monotonic() < until:
            time.sleep(0.01)
        yield from found
        for child in self._strays():
            # Else the next trial would find it too.
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
                child.wait()

    def _more(self) -> list[str]:
        threads = [
            f"the thread {thread.name} goes on"
            for thread in set(threading.enumerate()) - self._threads
        ]
        strays = []
        for child in self._strays():
            # It may end between being listed and being asked.
            with contextlib.suppress(psutil.NoSuchProcess):
                strays.append(f"the process {child.name()} goes on")
        return threads + strays

    def _strays(self) -> list[psutil.Process]:
        return [
            child
            for child in psutil.Process().children(True)
            if child.pid not in self._children
        ]
