# SPDX-License-Identifier: Apache-2.0
"""One pass over the bytes: every digest and the writer in its own thread.

hashlib and pwrite release the GIL, so the pass is about as fast as its
slowest stage. The buffers go round and bound what is in memory.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import concurrent.futures
import hashlib
import itertools
import types
from typing import Protocol
from typing import Self
from typing import TypeVar

from glance_tasks.transfer import endpoint

#: Bytes of one buffer at most. With 64 KiB handing over costs as much as
#: hashing; over 1 MiB nothing is gained.
BUFFER_SIZE = 1 << 20

#: How many buffers go round.
BUFFERS = 8


Result = TypeVar("Result")


class State(Protocol):
    """A running hash, as hashlib gives it."""

    def update(self, data: memoryview, /) -> None:
        """Take more bytes."""

    def hexdigest(self) -> str:
        """Give the digest so far, lower-case hexadecimal."""

    def copy(self) -> "State":
        """Give one that goes on from here by itself."""


def fresh(algorithms: Iterable[str]) -> dict[str, State]:
    """Give running hashes of no bytes, by their names in hashlib."""
    return {
        name: hashlib.new(name, usedforsecurity=False) for name in algorithms
    }


def await_result(
    future: "concurrent.futures.Future[Result]", check: Callable[[], None]
) -> Result:
    """Give what a future gives, with ``check`` called while waiting."""
    while not future.done():
        check()
        concurrent.futures.wait([future], timeout=endpoint.SLICE)
    return future.result()


class Buffer:
    """A piece of memory on its way through the stages."""

    def __init__(self, size: int) -> None:
        """Allocate ``size`` bytes."""
        self.view = memoryview(bytearray(size))
        self.pending: list[concurrent.futures.Future[None]] = []


class Snapshot:
    """All that was sent before one moment, hashed and written.

    Several threads may wait for it.
    """

    def __init__(
        self,
        states: Mapping[str, "concurrent.futures.Future[State]"],
        written: Sequence["concurrent.futures.Future[None]"],
    ) -> None:
        """Keep what is still to come."""
        self._states, self._written = states, written

    def states(self) -> dict[str, State]:
        """Give the running hashes as they were at that moment; waits.

        :raises OSError: when something could not be written
        """
        for future in self._written:
            future.result()
        return {name: state.result() for name, state in self._states.items()}

    def digests(self) -> dict[str, str]:
        """Give the digests at that moment; waits.

        :raises OSError: when something could not be written
        """
        return {name: s.hexdigest() for name, s in self.states().items()}


class Pipeline:
    """Takes bytes in their order; used by one thread, as a context.

    What a stage raised comes out where it is next waited for.
    """

    def __init__(
        self,
        states: Mapping[str, State],
        write: Callable[[memoryview, int], None] | None,
        *,
        offset: int = 0,
        size: int = BUFFER_SIZE,
    ) -> None:
        """Start the threads.

        :param states: running hashes of the bytes before ``offset``; copied
        :param write: takes bytes and their offset; None writes nothing
        :param size: of one buffer, in bytes
        """
        self._states = {name: state.copy() for name, state in states.items()}
        self._write, self.offset = write, offset
        self._written: list[concurrent.futures.Future[None]] = []
        self._threads = {
            name: concurrent.futures.ThreadPoolExecutor(
                1, thread_name_prefix=f"transfer-{name}"
            )
            for name in [*self._states, "write"]
        }
        self._ring = itertools.cycle([Buffer(size) for _ in range(BUFFERS)])

    def borrow(self, check: Callable[[], None]) -> Buffer:
        """Give the next buffer once no stage needs it any more.

        :param check: called while waiting; leaves by raising
        """
        buffer = next(self._ring)
        while buffer.pending:
            await_result(buffer.pending.pop(), check)
        return buffer

    def send(self, buffer: Buffer, count: int) -> None:
        """Hand the first ``count`` bytes of ``buffer`` to every stage."""
        piece = buffer.view[:count]
        for name, state in self._states.items():
            done = self._threads[name].submit(state.update, piece)
            buffer.pending.append(done)
        if self._write is not None:
            done = self._threads["write"].submit(
                self._write, piece, self.offset
            )
            buffer.pending.append(done)
            self._written.append(done)
        self.offset += count

    def snapshot(self) -> Snapshot:
        """Take stock of what was sent so far; does not wait."""
        written, self._written = self._written, []
        copies = {
            name: self._threads[name].submit(state.copy)
            for name, state in self._states.items()
        }
        return Snapshot(copies, written)

    def close(self) -> None:
        """End the threads; what they had not begun is dropped."""
        for thread in self._threads.values():
            thread.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: types.TracebackType | None,
    ) -> None:
        self.close()
