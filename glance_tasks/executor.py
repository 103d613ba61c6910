# SPDX-License-Identifier: Apache-2.0
"""The thread pool of a conductor's parallel flows."""

import concurrent.futures
import threading
from typing import Any

import futurist


class CountingExecutor(futurist.ThreadPoolExecutor):
    """One thread pool for every parallel flow of a conductor.

    A BaseException makes a parallel engine return at once while other atoms
    of its flow go on; :meth:`join` waits for them, so that the resumed run
    does not meet them beside itself.
    """

    def __init__(self, max_workers: int) -> None:
        """Make a pool of ``max_workers`` threads."""
        super().__init__(max_workers=max_workers)
        self._out: dict[int, set[concurrent.futures.Future[Any]]] = {}

    def submit(  # type: ignore[override]  # positional as TaskFlow calls it
        self, fn: Any, *args: Any, **kwargs: Any
    ) -> Any:
        """Run ``fn``, on the account of the calling thread."""
        future = super().submit(fn, *args, **kwargs)
        out = self._out.setdefault(threading.get_ident(), set())
        out.add(future)
        future.add_done_callback(out.discard)
        return future

    def join(self) -> None:
        """Wait for what the calling thread has out."""
        concurrent.futures.wait(
            list(self._out.pop(threading.get_ident(), set()))
        )
