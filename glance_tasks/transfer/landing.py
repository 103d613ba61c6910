# SPDX-License-Identifier: Apache-2.0
"""Where the bytes arrive: hashed, written, and marked in the ledger.

A kill loses what was asked for after the last durable mark. A mark is begun
every quarter of a chunk, one at a time and beside the bytes that follow; no
more than half a chunk is read ahead of the last one that is durable. That
leaves the other half to what lies in the kernel's buffers on both sides.
"""

from collections.abc import Callable
from collections.abc import Mapping
import concurrent.futures
import time

from glance_tasks.transfer import ledger
from glance_tasks.transfer import pipeline
from glance_tasks.transfer import workfile

# A slow source must not wait for a quarter of a chunk: a task that moves
# between two deaths of its conductor is not given up.
_MARK_SECONDS = 10.0


class Landing:
    """Takes the bytes of one file in their order. For one thread."""

    def __init__(
        self,
        work: workfile.WorkFile,
        states: Mapping[str, pipeline.State],
        offset: int,
        chunk_size: int,
        advanced: Callable[[], None],
    ) -> None:
        """Start the threads; :meth:`close` ends them and closes ``work``.

        :param states: running hashes of the bytes before ``offset``
        :param chunk_size: bytes that a kill may cost
        :param advanced: called after each durable mark, by the caller's
            thread
        """
        size = min(pipeline.BUFFER_SIZE, chunk_size // 8)
        self._interval = chunk_size // 4
        self._reach = chunk_size // 2 - size
        self._work, self._advanced = work, advanced
        self._flow = pipeline.Pipeline(
            states, work.write, offset=offset, size=size
        )
        self._marker = concurrent.futures.ThreadPoolExecutor(
            1, thread_name_prefix="transfer-mark"
        )
        self._mark: concurrent.futures.Future[ledger.Mark] | None = None
        self._durable, self._marked_at = offset, time.monotonic()

    @property
    def offset(self) -> int:
        """How many bytes of the file have arrived."""
        return self._flow.offset

    def borrow(self, check: Callable[[], None]) -> pipeline.Buffer:
        """Give a buffer to be filled, once there is need for more bytes.

        :param check: called while waiting; leaves by raising
        :raises OSError: when earlier bytes could not be written
        """
        while True:
            if self._mark is None:
                if self._is_due():
                    self._mark = self._begin_mark(done=False)
            elif self._mark.done() or self._ahead > self._reach:
                self._settle(self._mark, check)
            if self._ahead <= self._reach:
                return self._flow.borrow(check)

    def send(self, buffer: pipeline.Buffer, count: int) -> None:
        """Take the first ``count`` bytes of a borrowed buffer."""
        self._flow.send(buffer, count)

    def finish(self, check: Callable[[], None]) -> ledger.Mark:
        """Say that the file is whole; give the last mark once it is durable.

        :raises OSError: when something could not be written
        """
        if self._mark is not None:
            self._settle(self._mark, check)
        return self._settle(self._begin_mark(done=True), check)

    def close(self) -> None:
        """End the threads and close the file."""
        self._flow.close()
        self._marker.shutdown(wait=True)
        self._work.close()

    @property
    def _ahead(self) -> int:
        return self._flow.offset - self._durable

    def _is_due(self) -> bool:
        waited = time.monotonic() - self._marked_at
        return self._ahead >= self._interval or (
            self._ahead > 0 and waited >= _MARK_SECONDS
        )

    def _begin_mark(
        self, *, done: bool
    ) -> "concurrent.futures.Future[ledger.Mark]":
        self._marked_at = time.monotonic()
        return self._marker.submit(
            self._work.save, self._flow.snapshot(), self._flow.offset, done
        )

    def _settle(
        self,
        mark: "concurrent.futures.Future[ledger.Mark]",
        check: Callable[[], None],
    ) -> ledger.Mark:
        durable = pipeline.await_result(mark, check)
        self._mark, self._durable = None, durable.offset
        self._advanced()
        return durable
