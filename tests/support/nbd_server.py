# SPDX-License-Identifier: Apache-2.0
"""A server of NBD in a few lines, which may misbehave."""

from collections.abc import Callable
from collections.abc import Iterable
import socket
import struct
import threading
from typing import Self

_HELLO = b"NBDMAGIC" + b"IHAVEOPT" + struct.pack(">H", 3)
_GO, _ACKNOWLEDGED, _INFORMATION = 7, 1, 3

Asked = list[tuple[int, int]]


def option_reply(option: int, kind: int, data: bytes = b"") -> bytes:
    """Give one reply to an option."""
    head = struct.pack(">QIII", 0x3E889045565A9, option, kind, len(data))
    return head + data


#: What ends the reply to the option that chooses the export.
ACKNOWLEDGED = option_reply(_GO, _ACKNOWLEDGED)


def information(size: int, kind: int = 0) -> bytes:
    """Give what tells the size of the export."""
    data = struct.pack(">HQH", kind, size, 1)
    return option_reply(_GO, _INFORMATION, data)


def reply(offset: int, data: bytes, error: int = 0) -> bytes:
    """Give a simple reply."""
    return struct.pack(">IIQ", 0x67446698, error, offset) + data


def chunk(kind: int, offset: int, data: bytes, flags: int = 1) -> bytes:
    """Give a chunk of a structured reply."""
    head = struct.pack(">IHHQI", 0x668E33EF, flags, kind, offset, len(data))
    return head + data


class Server:
    """Speaks NBD over one end of a pair of sockets, in a thread.

    :ivar asked: offset and length of every request so far
    """

    def __init__(
        self,
        greeting: bytes,
        answer: Callable[[Asked], Iterable[bytes]],
        options: tuple[int, ...] = (6,),
    ) -> None:
        """Answer every request by what ``answer`` makes of those so far.

        :param greeting: sent behind the first option, for all of them
        :param options: how many bytes of data each option has
        """
        self.connection, self._ours = socket.socketpair()
        self.connection.settimeout(0.05)
        self.asked: Asked = []
        self._greeting, self._answer = greeting, answer
        self._options = options
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()
        self._thread.join(5)
        self._ours.close()

    def _serve(self) -> None:
        self._ours.sendall(_HELLO)
        first, *rest = self._options
        if len(self._read(4 + 16 + first)) == 4 + 16 + first:
            self._ours.sendall(self._greeting)
        for length in rest:
            self._read(16 + length)
        while len(request := self._read(28)) == 28:
            _, _, kind, offset, _, length = struct.unpack(">IHHQQI", request)
            if kind == 2:
                break
            self.asked.append((offset, length))
            for answer in self._answer(self.asked):
                self._ours.sendall(answer)
        self._ours.shutdown(socket.SHUT_RDWR)

    def hang_up(self) -> None:
        """Close the connection, as a server that dies does."""
        self._ours.shutdown(socket.SHUT_RDWR)

    def _read(self, length: int) -> bytes:
        try:
            return self._ours.recv(length, socket.MSG_WAITALL)
        except OSError:
            return b""
