# SPDX-License-Identifier: Apache-2.0
"""An image file as the disk inside it: raw bytes at any offset.

qemu-nbd serves it read-only on a Unix socket. Reading a view once gives
digests and a sparse copy together, and goes on at a byte offset after a kill;
``qemu-img convert`` can do neither.
"""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import dataclasses
import pathlib
import socket
import types
from typing import Self

from glance_tasks import directio
from glance_tasks import exceptions
from glance_tasks import ports
from glance_tasks.imagefile import nbd
from glance_tasks.imagefile import process
from glance_tasks.imagefile import qemu
from glance_tasks.imagefile import restraint

# A reader writes no files; its messages need some room.
_FILE_SIZE = 1 << 20


@contextlib.contextmanager
def _listening(connection: socket.socket) -> Iterator[socket.socket]:
    """Give a socket for a server, with ``connection`` the first in its queue.

    The kernel chooses its name, which is no file: a kill -9 leaves nothing.
    Whoever else finds that name is not served: one client is all it takes.
    """
    with socket.socket(socket.AF_UNIX) as serving:
        serving.bind("")
        serving.listen(1)
        connection.connect(serving.getsockname())
        yield serving


class RawView:
    """The disk in an image file, while a qemu-nbd serves it.

    A context, used by the one thread that enters it; nothing runs any more
    when it is left. Every method raises what ``stop.check()`` raises.
    """

    def __init__(
        self,
        path: pathlib.Path,
        disk_format: str,
        *,
        limits: restraint.Limits,
        stop: ports.StopSignal,
        extents: bool = False,
    ) -> None:
        """Keep what is needed to start it.

        :param disk_format: Glance's name
        :param limits: of the whole view, from entering it to leaving it
        :param extents: whether :meth:`data` will be asked for
        """
        self._path, self._format = path, disk_format
        self._limits = dataclasses.replace(limits, file_size=_FILE_SIZE)
        self._stop, self._extents = stop, extents
        self._closing = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Start the server and connect.

        :raises ConvertError: when the image cannot be opened as a disk
        """
        with contextlib.ExitStack() as stack:
            connection = stack.enter_context(socket.socket(socket.AF_UNIX))
            connection.settimeout(process.PAUSE)
            words = ["qemu-nbd", "--read-only"]
            if directio.supported(self._path):
                words.append("--cache=none")
            words += qemu.source_words(self._path, self._format)
            with _listening(connection) as serving:
                self._server = stack.enter_context(
                    process.Process(
                        words,
                        self._limits,
                        self._stop,
                        serving=serving.fileno(),
                    )
                )
            with self._explained():
                self._client = nbd.Client(
                    connection, self._server.check, extents=self._extents
                )
            self._closing = stack.pop_all()
        return self

    @property
    def pid(self) -> int:
        """The number of the server's process."""
        return self._server.pid

    @property
    def size(self) -> int:
        """Bytes of the disk."""
        return self._client.size

    def read(self, offset: int, length: int) -> bytes:
        """Give ``length`` bytes at ``offset``.

        :raises ConvertError: when they cannot be read
        """
        self._server.check()
        with self._explained():
            return self._client.read(offset, length)

    def data(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Give the stretches between that may be something but zeros.

        :raises ConvertError: when the image cannot be read
        """
        with self._explained():
            for stretch in self._client.data(start, end):
                self._server.check()
                yield stretch

    def stream(
        self,
        start: int,
        buffer: Callable[[], memoryview],
        end: int | None = None,
    ) -> Iterator[memoryview]:
        """Give the bytes from ``start`` to ``end``, in order.

        :param buffer: gives the buffer that the next bytes are read into;
            four are in use at a time
        :param end: None is the end of the disk
        :raises ConvertError: when they cannot be read
        """
        with self._explained():
            for piece in self._client.stream(start, buffer, end):
                self._server.check()
                yield piece

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except nbd.ReadFailed as error:
            raise exceptions.ConvertError(
                f"the {self._format} image cannot be read: {error}; expected"
                " it to be readable to its end"
            ) from error
        except nbd.ProtocolError as error:
            # It closes its sockets a moment before it can be reaped.
            self._server.wait(process.PAUSE)
            raise self._server.failure() from error

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: types.TracebackType | None,
    ) -> None:
        self._closing.close()
