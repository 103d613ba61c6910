# SPDX-License-Identifier: Apache-2.0
"""Digests of a stream of bytes, computed beside whoever reads or writes it.

Each algorithm has a thread of its own: hashlib releases the GIL, so md5 and
sha512 together are as fast as the slower of the two (500 MiB/s here).
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import concurrent.futures
import contextlib
import hashlib
import os
import types
from typing import Protocol
from typing import Self

#: Bytes of one buffer. With 64 KiB a thread switch costs as much as the work.
BUFFER_SIZE = 1 << 20


class State(Protocol):
    """A running hash, as hashlib gives it."""

    def update(self, data: memoryview, /) -> None:
        """Take more bytes."""

    def hexdigest(self) -> str:
        """Give the digest of all bytes so far, lower-case hexadecimal."""

    def copy(self) -> "State":
        """Give a running hash of its own with the same bytes behind it."""


def fresh_states(algorithms: Iterable[str]) -> dict[str, State]:
    """Give a running hash of no bytes for each algorithm that is named."""
    return {
        name: hashlib.new(name, usedforsecurity=False) for name in algorithms
    }


class Snapshot:
    """The digests of all bytes handed over up to one moment."""

    def __init__(
        self, copies: Mapping[str, concurrent.futures.Future[State]]
    ) -> None:
        self._copies = copies

    def states(self) -> dict[str, State]:
        """Give the running hashes, once the threads have come that far."""
        return {name: copy.result() for name, copy in self._copies.items()}

    def hexdigests(self) -> dict[str, str]:
        """Give the digests, once the threads have come that far."""
        return {name: s.hexdigest() for name, s in self.states().items()}


class Digests:
    """Computes digests of one stream, each in a thread of its own.

    One thread uses it: it takes a buffer, fills it, hands the filled part
    over and may read from it (to write it to a file) until it takes the next
    buffer. Close it, or use it as a context, to end the threads.
    """

    def __init__(
        self,
        algorithms: Iterable[str],
        *,
        states: Mapping[str, State] | None = None,
        buffers: int = 8,
        size: int = BUFFER_SIZE,
    ) -> None:
        """Start the threads.

        :param algorithms: names that hashlib knows
        :param states: running hashes to go on with, instead of empty ones
        :param buffers: how many buffers go round
        :param size: of one buffer, in bytes
        """
        begin = fresh_states(algorithms)
        if states is not None:
            begin = {name: states[name].copy() for name in begin}
        self._states = begin
        self._threads = {
            name: concurrent.futures.ThreadPoolExecutor(
                1, thread_name_prefix=f"digest-{name}"
            )
            for name in self._states
        }
        self._ring = [memoryview(bytearray(size)) for _ in range(buffers)]
        self._taken = 0
        self._pending: dict[int, list[concurrent.futures.Future[None]]] = {
            id(buffer.obj): [] for buffer in self._ring
        }

    def buffer(self) -> memoryview:
        """Give the next buffer, as soon as no thread needs its bytes.

        Buffers go round: several may be out at a time (for requests in
        flight), but fewer than there are.
        """
        buffer = self._ring[self._taken % len(self._ring)]
        self._taken += 1
        pending = self._pending[id(buffer.obj)]
        for future in pending:
            future.result()
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

    def snapshot(self) -> Snapshot:
        """Take the digests of what was handed over so far; does not wait."""
        return Snapshot(
            {
                name: self._threads[name].submit(state.copy)
                for name, state in self._states.items()
            }
        )

    def hexdigests(self) -> dict[str, str]:
        """Give the digests of what was handed over so far; waits."""
        return self.snapshot().hexdigests()

    def close(self) -> None:
        """End the threads; what they have not hashed yet is dropped."""
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


def _read_fully(fd: int, buffer: memoryview, offset: int) -> int:
    done = 0
    while done < len(buffer):
        count = os.preadv(fd, [buffer[done:]], offset + done)
        if not count:
            break
        done += count
    return done


def hash_file(
    digests: Digests,
    fd: int,
    start: int,
    end: int,
    check: Callable[[], None],
) -> int:
    """Hand the bytes ``start`` to ``end`` of an open file to ``digests``.

    :param check: called for every buffer; leaves by raising
    :returns: how many bytes there were; fewer when the file ends before
    """
    offset = start
    while offset < end:
        check()
        buffer = digests.buffer()[: end - offset]
        count = _read_fully(fd, buffer, offset)
        digests.update(buffer[:count])
        offset += count
        if count < len(buffer):
            break
    return offset - start


def verified_prefix(
    fd: int,
    marks: Sequence[tuple[int, Mapping[str, str]]],
    algorithms: Sequence[str],
    check: Callable[[], None],
) -> tuple[int, dict[str, State]]:
    """Find how far a file still holds what its ledger vouches for.

    Hashes the file from its start and compares at each mark; it stops at the
    first that does not fit.

    :param marks: ``(offset, digests of the bytes before it)``, ascending
    :param check: called for every buffer; leaves by raising
    :returns: the last good mark's offset (0 when there is none) and the
        running hashes of the bytes before it
    """
    good, offset = fresh_states(algorithms), 0
    with Digests(algorithms) as digests:
        for end, expected in marks:
            if hash_file(digests, fd, offset, end, check) < end - offset:
                break
            snapshot = digests.snapshot()
            if snapshot.hexdigests() != dict(expected):
                break
            good, offset = snapshot.states(), end
    return offset, good


@contextlib.contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[int]:
    """Open a file to be hashed; gives its descriptor, follows no link."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)
