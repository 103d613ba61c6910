# SPDX-License-Identifier: Apache-2.0
"""The disk in an image file, to be read without its holes."""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import errno
import os
import pathlib
from typing import Protocol

from glance_tasks import digest
from glance_tasks import ports
from glance_tasks.imagefile import formats
from glance_tasks.imagefile import restraint
from glance_tasks.imagefile import view


class Disk(Protocol):
    """A disk that can be read; used by one thread.

    Its methods raise what the stop signal raises.
    """

    @property
    def size(self) -> int:
        """Bytes of the disk."""

    def data(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Give the stretches between that may be something but zeros.

        In their order. The bytes of one may be read before the next is asked
        for.

        :raises ConvertError: when the image cannot be read
        """

    def stream(
        self,
        start: int,
        buffer: Callable[[], memoryview],
        end: int | None = None,
    ) -> Iterator[memoryview]:
        """Give the bytes from ``start`` to ``end``, in order.

        Every piece but the last fills its buffer.

        :param buffer: gives the buffer that the next bytes are read into;
            four may be in use at a time
        :param end: None is the end of the disk
        :raises ConvertError: when they cannot be read
        """


class PlainDisk:
    """A file that is its disk, byte for byte."""

    def __init__(self, fd: int, stop: ports.StopSignal) -> None:
        """Read from ``fd``, which stays the caller's."""
        self._fd, self._stop = fd, stop
        self.size = os.fstat(fd).st_size

    def data(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Give the stretches that are no holes of the file."""
        while start < end:
            self._stop.check()
            try:
                begin = os.lseek(self._fd, start, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:
                    return
                raise
            if begin >= end:
                return
            start = min(os.lseek(self._fd, begin, os.SEEK_HOLE), end)
            yield begin, start

    def stream(
        self,
        start: int,
        buffer: Callable[[], memoryview],
        end: int | None = None,
    ) -> Iterator[memoryview]:
        """Give the bytes from ``start`` to ``end``, fewer if it ends."""
        end = self.size if end is None else end
        while start < end:
            self._stop.check()
            piece = buffer()[: end - start]
            count = self._fill(piece, start)
            if not count:
                return
            yield piece[:count]
            start += count

    def _fill(self, piece: memoryview, offset: int) -> int:
        done = 0
        while done < len(piece):
            count = os.preadv(self._fd, [piece[done:]], offset + done)
            if not count:
                break
            done += count
        return done


@contextlib.contextmanager
def opened(
    path: pathlib.Path,
    disk_format: str,
    *,
    limits: restraint.Limits,
    stop: ports.StopSignal,
) -> Iterator[Disk]:
    """Open the disk in an image that was inspected.

    :param disk_format: Glance's name
    :param limits: of the program that reads it, if one is needed
    :raises ConvertError: when it cannot be opened as a disk
    """
    if disk_format in formats.PLAIN:
        with digest.opened(path) as fd:
            yield PlainDisk(fd, stop)
        return
    with view.RawView(
        path, disk_format, limits=limits, stop=stop, extents=True
    ) as shown:
        yield shown
