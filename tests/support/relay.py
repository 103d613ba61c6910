# SPDX-License-Identifier: Apache-2.0
"""A relay before a real server: counts bytes, and cuts what it is told to."""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import socket
import threading
import types
from typing import Self

_PIECE = 64 << 10


class Relay:
    """The relay; a context that runs it on a free port of loopback.

    :ivar port: where it listens
    :ivar up: bytes that clients have sent so far
    :ivar down: bytes that the server has sent so far
    :ivar cut_down_at: where ``down`` comes to it, that connection is cut,
        once; None cuts nothing
    :ivar cutting: called before the cut
    """

    def __init__(self, port: int) -> None:
        """Bind; connections are passed on to ``port`` inside the context."""
        self._server = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.up = self.down = 0
        self.cut_down_at: int | None = None
        self.cuts = 0
        self.cutting: Callable[[], object] = lambda: None
        self._counting = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept, name="relay")]

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._pair(client)

    def _pair(self, client: socket.socket) -> None:
        server = socket.create_connection(("127.0.0.1", self._server))
        self._open |= {client, server}
        for words in ((client, server, "up"), (server, client, "down")):
            thread = threading.Thread(target=self._pass_on, args=words)
            self._threads.append(thread)
            thread.start()

    def _pass_on(
        self, source: socket.socket, target: socket.socket, way: str
    ) -> None:
        try:
            for piece in _pieces(source):
                target.sendall(piece)
                if self._count(way, len(piece)):
                    self.cutting()
                    raise ConnectionAbortedError
            target.shutdown(socket.SHUT_WR)
        except OSError:
            # Both ways, as when a line breaks.
            for connection in (source, target):
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def _count(self, way: str, size: int) -> bool:
        with self._counting:
            if way == "up":
                self.up += size
                return False
            self.down += size
            limit = self.cut_down_at
            if limit is None or self.down < limit:
                return False
            self.cut_down_at = None
            self.cuts += 1
            return True

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: types.TracebackType | None,
    ) -> None:
        # Closing alone does not end an accept().
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for connection in self._open:
            connection.close()


def _pieces(source: socket.socket) -> Iterator[bytes]:
    while piece := source.recv(_PIECE):
        yield piece
