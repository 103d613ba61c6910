# SPDX-License-Identifier: Apache-2.0
"""Writing and reading past the page cache, where the file system lets us.

An image is written once and is seldom read soon, so cached it only takes the
place of what is. A new page of the cache costs, too: on a virtual machine
whose host backs memory late 1 GiB took 0.2 to 2.6 s through the cache, from
one run to the next, and 0.4 to 0.5 s past it.
"""

import contextlib
import errno
import mmap
import os

# The largest logical block of a disk that is common.
_BLOCK = 4096
# Past the cache a write waits for the disk: a small one costs as much as one
# of this size.
_LEAST = 256 << 10


def buffer(size: int) -> memoryview:
    """Give memory that can be written from past the cache.

    :param size: in bytes
    """
    return memoryview(mmap.mmap(-1, size))


class _Direct:
    """The file of a descriptor opened once more, past the cache."""

    def __init__(self, fd: int, how: int) -> None:
        self._fd, self._how = fd, how
        self._tried = False
        self._direct: int | None = None

    def fits(self, piece: memoryview, offset: int) -> int | None:
        """Give the descriptor; None where the cache is needed."""
        if len(piece) < _LEAST or offset % _BLOCK:
            return None
        if not self._tried:
            self._tried = True
            with contextlib.suppress(OSError):
                # Not by its name: another file may have that by now.
                self._direct = os.open(
                    f"/proc/self/fd/{self._fd}",
                    self._how | os.O_DIRECT | os.O_CLOEXEC,
                )
        return self._direct

    def close(self) -> None:
        if self._direct is not None:
            os.close(self._direct)
            self._direct = None


def _whole(piece: memoryview) -> memoryview:
    """Give the whole blocks of a piece."""
    return piece[: len(piece) - len(piece) % _BLOCK]


def supported(path: str | os.PathLike[str]) -> bool:
    """Tell whether the file at ``path`` can be read past the cache."""
    with contextlib.suppress(OSError):
        os.close(os.open(path, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC))
        return True
    return False


class Writer:
    """Writes to a file that is open already; one thread at a time.

    What is large and lies on whole blocks, in the file and in memory, goes
    past the cache, the rest through it. Both are seen by who reads the file;
    neither is durable before ``fdatasync``.
    """

    def __init__(self, fd: int) -> None:
        """Keep the descriptor, which stays the caller's."""
        self._fd = fd
        self._past = _Direct(fd, os.O_WRONLY)

    def write(self, piece: memoryview, offset: int) -> None:
        """Write all of ``piece``.

        :raises OSError: when the disk is full or broken
        """
        while piece:
            count = self._write_some(piece, offset)
            piece, offset = piece[count:], offset + count

    def _write_some(self, piece: memoryview, offset: int) -> int:
        whole = _whole(piece)
        direct = self._past.fits(whole, offset)
        if direct is not None:
            try:
                return os.pwrite(direct, whole, offset)
            except OSError as error:
                # The memory does not begin at a block.
                if error.errno != errno.EINVAL:
                    raise
        return os.pwrite(self._fd, piece, offset)

    def close(self) -> None:
        """Close what was opened here."""
        self._past.close()


class Reader:
    """Reads a file that is open already; one thread at a time.

    What is large and lies on whole blocks, in the file and in memory, comes
    past the cache, the rest through it. To ask the cache first (RWF_NOWAIT)
    makes the kernel read ahead into it: the disk then reads all of it twice.
    """

    def __init__(self, fd: int) -> None:
        """Keep the descriptor, which stays the caller's."""
        self._fd = fd
        self._past = _Direct(fd, os.O_RDONLY)

    def read(self, piece: memoryview, offset: int) -> int:
        """Read into ``piece``; give how many bytes, 0 at the file's end.

        :raises OSError: when the disk is broken
        """
        whole = _whole(piece)
        direct = self._past.fits(whole, offset)
        if direct is not None:
            try:
                return os.preadv(direct, [whole], offset)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
        return os.preadv(self._fd, [piece], offset)

    def close(self) -> None:
        """Close what was opened here."""
        self._past.close()
