# SPDX-License-Identifier: Apache-2.0
"""A server that sends what bytes it is told to, and hangs up."""

from collections.abc import Callable
import contextlib
import socket
import threading
import types
from typing import Self

#: Gives the answer to a request's head.
Script = Callable[[bytes], bytes]


class Wire:
    """The server; a context that runs it on a free port of loopback.

    :ivar script: what answers; may be changed between requests
    """

    def __init__(self, script: Script) -> None:
        """Bind; requests are answered inside the context, one by one."""
        self.script = script
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._serve, name="wire")

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            piece = connection.recv(65536)
            # Whoever speaks TLS would wait for our part of its handshake.
            if not piece or piece.startswith(b"\x16"):
                return
            head += piece
        connection.sendall(self.script(head))
        # A close with bytes unread resets the connection, and what was sent
        # may then be lost.
        connection.shutdown(socket.SHUT_WR)

    def url(self, path: str = "/image", host: str = "127.0.0.1") -> str:
        """Give an address at this server."""
        return f"http://{host}:{self.port}{path}"

    def __enter__(self) -> Self:
        self._thread.start()
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
        self._thread.join()
