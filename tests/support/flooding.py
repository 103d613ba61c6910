# SPDX-License-Identifier: Apache-2.0
"""A server that sends one thing, and then another for as long as it may."""

import contextlib
import socket
import threading
import types
from typing import Self


class Flood:
    """Answers every connection with ``begin`` and then ``piece`` for ever.

    :ivar sent: bytes that the kernel took, for all connections together
    :ivar connections: how many there were
    """

    def __init__(self, begin: bytes, piece: bytes) -> None:
        """Listen on a free port of loopback."""
        self._begin, self._piece = begin, piece
        self._server = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, name="flood")
        self.sent = self.connections = 0

    @property
    def uri(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._server.getsockname()[1]}/a"

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                self.connections += 1
                with client, contextlib.suppress(OSError):
                    client.recv(65536)
                    self._pour(client)

    def _pour(self, client: socket.socket) -> None:
        client.sendall(self._begin)
        while True:
            self.sent += client.send(self._piece)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: types.TracebackType | None,
    ) -> None:
        # Closing alone would not wake the thread that waits in accept.
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()
