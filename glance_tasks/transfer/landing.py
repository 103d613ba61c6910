# SPDX-License-Identifier: Apache-2.0
"""Where the bytes arrive: hashed, written, and marked in the ledger.

A kill loses what was asked for after the last durable mark. A mark is begun
every quarter of a chunk, one at a time and beside the bytes that follow; no
more than half a chunk is read ahead of the last one that is durable. That
leaves the other half to what lies in the kernel's buffers on both sides.
"""

from collections.abc import Callable
from collections.abc import Mapping
import time

from glance_tasks import digest
from glance_tasks import ledger
from glance_tasks.transfer import workfile

# A slow source must not wait for a quarter of a chunk: a task that moves
# between two deaths of its conductor is not given up.
_MARK_SECONDS = 10.0


class Landing:
    """Takes the bytes of one file in their order. For one thread."""

    def __init__(
        self,
        work: workfile.WorkFile,
        states: Mapping[str, digest.State],
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
        self._size = size = min(digest.BUFFER_SIZE, chunk_size // 8)
        self._interval = chunk_size // 4
        self._reach = chunk_size // 2 - size
        self._work, self._marked_at = work, time.monotonic()
        self._flow = digest.Digests(
            states, write=work.write, offset=offset, size=size
        )
        self._marker = ledger.Marker(work.notes, work.fd, offset, advanced)

    @property
    def offset(self) -> int:
        """How many bytes of the file have arrived."""
        return self._flow.offset

    def borrow(self, check: Callable[[], None]) -> memoryview:
        """Give a buffer to be filled, once there is need for more bytes.

        :param check: called while waiting; leaves by raising
        :raises OSError: when earlier bytes could not be written
        """
        while True:
            if self._marker.poll() and self._is_due():
                self._marked_at = time.monotonic()
                snapshot = self._flow.snapshot()
                self._marker.add(self.offset, snapshot, check)
            if self._ahead <= self._reach:
                # Up to where a full one ends: those can pass by the cache.
                return self._flow.buffer(check)[
                    : self._size - self.offset % self._size
                ]
            self._marker.wait(check)

    def send(self, piece: memoryview) -> None:
        """Take the part of a borrowed buffer that was filled."""
        self._flow.update(piece)

    def settle(self, check: Callable[[], None]) -> None:
        """Make what has arrived durable, though more may come.

        :raises OSError: when something could not be written
        """
        self._marker.wait(check)
        if self._ahead:
            self._marker.add(self.offset, self._flow.snapshot(), check)
            self._marker.wait(check)

    def finish(self, check: Callable[[], None]) -> ledger.Mark:
        """Say that the file is whole; give the last mark once it is durable.

        :raises OSError: when something could not be written
        """
        snapshot = self._flow.snapshot()
        return self._marker.finish(self.offset, snapshot, check)

    def close(self) -> None:
        """End the threads and close the file."""
        self._flow.close()
        self._marker.close()
        self._work.close()

    @property
    def _ahead(self) -> int:
        return self.offset - self._marker.durable

    def _is_due(self) -> bool:
        waited = time.monotonic() - self._marked_at
        return self._ahead >= self._interval or (
            self._ahead > 0 and waited >= _MARK_SECONDS
        )
