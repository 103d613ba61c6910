# SPDX-License-Identifier: Apache-2.0
"""Digests of a stream of bytes, computed beside whoever reads or writes it.

Each algorithm has a thread of its own, and so has the writer where there is
one: hashlib and pwrite release the GIL, so md5 and sha512 together are as
fast as the slower of the two (500 MiB/s here). Buffers that go round bound
what is in memory.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import concurrent.futures
import contextlib
import hashlib
import itertools
import os
import types
from typing import Protocol
from typing import Self
from typing import TypeVar

from glance_tasks import directio
from glance_tasks import merkle

#: Bytes of one buffer. With 64 KiB a thread switch costs as much as the work.
BUFFER_SIZE = 1 << 20

#: How many buffers go round.
BUFFERS = 8

# Seconds of waiting after which the stop signal is looked at.
_SLICE = 0.25

Result = TypeVar("Result")


class State(Protocol):
    """A running hash, as hashlib gives it."""

    def update(self, data: memoryview, /) -> None:
        """Take more bytes."""

    def hexdigest(self) -> str:
        """Give the digest of all bytes so far, lower-case hexadecimal."""

    def copy(self) -> "State":
        """Give a running hash of its own with the same bytes behind it."""


def fresh_states(algorithms: Iterable[str]) -> dict[str, State]:
    """Give a running hash of no bytes for each algorithm that is named.

    :param algorithms: names of hashlib's, or :data:`merkle.NAME`
    """
    return {
        name: merkle.Tree()
        if name == merkle.NAME
        else hashlib.new(name, usedforsecurity=False)
        for name in algorithms
    }


def await_result(
    future: concurrent.futures.Future[Result], check: Callable[[], None]
) -> Result:
    """Give what a future gives, with ``check`` called while waiting."""
    while not future.done():
        check()
        concurrent.futures.wait([future], timeout=_SLICE)
    return future.result()


class Snapshot:
    """All that was handed over before one moment, hashed and written.

    Any thread may wait for it.
    """

    def __init__(
        self,
        copies: Mapping[str, concurrent.futures.Future[State]],
        written: Sequence[concurrent.futures.Future[None]],
    ) -> None:
        self._copies, self._written = copies, written

    def states(self) -> dict[str, State]:
        """Give the running hashes, once the threads have come that far.

        :raises OSError: when something before could not be written
        """
        for future in self._written:
            future.result()
        return {name: copy.result() for name, copy in self._copies.items()}

    def hexdigests(self) -> dict[str, str]:
        """Give the digests, once the threads have come that far.

        :raises OSError: when something before could not be written
        """
        return {name: s.hexdigest() for name, s in self.states().items()}


class Digests:
    """Computes digests of one stream, each in a thread of its own.

    One thread uses it: it takes a buffer, fills it, hands the filled part
    over and may read from it until it takes the next buffer. What a thread of
    ours raised comes out where it is next waited for. Close it, or use it as
    a context, to end the threads.

    :ivar offset: where the next bytes lie in the stream
    """

    def __init__(
        self,
        states: Mapping[str, State],
        *,
        write: Callable[[memoryview, int], None] | None = None,
        offset: int = 0,
        buffers: int = BUFFERS,
        size: int = BUFFER_SIZE,
    ) -> None:
        """Start the threads.

        :param states: running hashes of the bytes before ``offset``; copied
        :param write: takes bytes and their offset, in a thread of its own
        :param buffers: how many buffers go round
        :param size: of one buffer, in bytes
        """
        self._states = {name: state.copy() for name, state in states.items()}
        self._write, self.offset = write, offset
        self._written: list[concurrent.futures.Future[None]] = []
        self._threads = {
            name: concurrent.futures.ThreadPoolExecutor(
                1, thread_name_prefix=f"digest-{name}"
            )
            for name in [*self._states, *(["write"] if write else [])]
        }
        ring = [directio.buffer(size) for _ in range(buffers)]
        self._ring = itertools.cycle(ring)
        self._pending: dict[int, list[concurrent.futures.Future[None]]] = {
            id(buffer.obj): [] for buffer in ring
        }

    def buffer(self, check: Callable[[], None]) -> memoryview:
        """Give the next buffer, as soon as no thread needs its bytes.

        Buffers go round: several may be out at a time (for requests in
        flight), but fewer than there are.

        :param check: called while waiting; leaves by raising
        """
        buffer = next(self._ring)
        pending = self._pending[id(buffer.obj)]
        for future in pending:
            await_result(future, check)
        pending.clear()
        return buffer

    def update(self, piece: memoryview) -> None:
        """Hand over the next bytes of the stream.

        :param piece: a slice of a buffer that :meth:`buffer` gave; it must
            not change until :meth:`buffer` gives that buffer again
        """
        pending = self._pending[id(piece.obj)]
        for name, state in self._states.items():
            pending.append(self._threads[name].submit(state.update, piece))
        if self._write is not None:
            written = self._threads["write"].submit(
                self._write, piece, self.offset
            )
            pending.append(written)
            self._written.append(written)
        self.offset += len(piece)

    def snapshot(self) -> Snapshot:
        """Take stock of what was handed over so far; does not wait.

        What was written belongs to the first snapshot after it.
        """
        written, self._written = self._written, []
        copies = {
            name: self._threads[name].submit(state.copy)
            for name, state in self._states.items()
        }
        return Snapshot(copies, written)

    def hexdigests(self) -> dict[str, str]:
        """Give the digests of what was handed over so far; waits."""
        return self.snapshot().hexdigests()

    def close(self) -> None:
        """End the threads; what they have not begun yet is dropped."""
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


def hash_file(
    digests: Digests,
    fd: int,
    start: int,
    end: int,
    check: Callable[[], None],
    passed: Callable[[int], None] | None = None,
) -> int:
    """Hand the bytes ``start`` to ``end`` of an open file to ``digests``.

    :param check: called for every buffer; leaves by raising
    :param passed: called after every buffer, with the offset behind it
    :returns: how many bytes there were; fewer when the file ends before
    """
    offset = start
    with contextlib.closing(directio.Reader(fd)) as reader:
        while offset < end:
            check()
            buffer = digests.buffer(check)[: end - offset]
            count = reader.read(buffer, offset)
            if not count:
                break
            digests.update(buffer[:count])
            offset += count
            if passed is not None:
                passed(offset)
    return offset - start


@contextlib.contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[int]:
    """Open a file to be hashed; gives its descriptor, follows no link."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)
