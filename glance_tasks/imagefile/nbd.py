# SPDX-License-Identifier: Apache-2.0
"""A client of the NBD protocol that reads: what qemu-nbd gives as a disk.

There is none on PyPI, and Debian's binding of libnbd cannot be in a virtual
environment. Fixed newstyle negotiation, one export without a name, simple
replies; see the protocol's doc/proto.md.
"""

from collections.abc import Callable
from collections.abc import Iterator
import socket
import struct

_SERVER_HELLO = struct.Struct(">8s8sH")
_OPTION = struct.Struct(">8sII")
_OPTION_REPLY = struct.Struct(">QIII")
_EXPORT = struct.Struct(">HQH")
_REQUEST = struct.Struct(">IHHQQI")
_REPLY = struct.Struct(">IIQ")

_OPTION_REPLY_MAGIC = 0x3E889045565A9
_REQUEST_MAGIC = 0x25609513
_REPLY_MAGIC = 0x67446698

_FIXED_NEWSTYLE = 1
_GO = 7
_ACKNOWLEDGED, _INFORMATION = 1, 3
_READ = 0

# Requests under way at a time: enough to keep qemu-nbd busy while we hash.
_IN_FLIGHT = 4
# No reply to an option of ours is longer.
_MAX_OPTION_REPLY = 4096


class ProtocolError(Exception):
    """The server does not speak NBD as we do, or has gone away."""


class ReadFailed(Exception):
    """The server could not read a part of the disk."""


class Client:
    """One connection to a server, reading its only export.

    Used by one thread.

    :ivar size: of the export, in bytes
    """

    def __init__(
        self, connection: socket.socket, idle: Callable[[], None]
    ) -> None:
        """Negotiate.

        :param connection: with a timeout set
        :param idle: called whenever nothing came for that timeout; leaves by
            raising
        :raises ProtocolError: when the server does not speak NBD
        """
        self._connection, self._idle = connection, idle
        magic, option, flags = _SERVER_HELLO.unpack(
            self._take(_SERVER_HELLO.size)
        )
        if (magic, option) != (b"NBDMAGIC", b"IHAVEOPT") or not flags & 1:
            raise ProtocolError(f"the server began with {magic!r}, {flags:#x}")
        self._send(struct.pack(">I", _FIXED_NEWSTYLE))
        # An export without a name, and no further information asked for.
        data = struct.pack(">IH", 0, 0)
        self._send(_OPTION.pack(b"IHAVEOPT", _GO, len(data)) + data)
        self.size = self._export_size()

    def _export_size(self) -> int:
        size = -1
        while True:
            magic, _, kind, length = _OPTION_REPLY.unpack(
                self._take(_OPTION_REPLY.size)
            )
            if magic != _OPTION_REPLY_MAGIC or length > _MAX_OPTION_REPLY:
                raise ProtocolError(f"the server replied {magic:#x}")
            data = self._take(length)
            if kind == _ACKNOWLEDGED and size >= 0:
                return size
            if kind != _INFORMATION:
                raise ProtocolError(f"the server refused with {kind:#x}")
            if len(data) == _EXPORT.size and data[:2] == b"\x00\x00":
                size = _EXPORT.unpack(data)[1]

    def read(self, offset: int, length: int) -> bytes:
        """Give ``length`` bytes at ``offset``.

        :raises ReadFailed: when the server cannot read them
        :raises ProtocolError: when it has gone away
        """
        piece = memoryview(bytearray(length))
        self._ask(offset, piece)
        self._receive({offset: piece})
        return bytes(piece)

    def stream(
        self, start: int, buffer: Callable[[], memoryview]
    ) -> Iterator[memoryview]:
        """Give the bytes from ``start`` to the end, in order.

        Several requests are under way at a time; each of them fills one
        buffer.

        :param buffer: gives the buffer of the next request
        :raises ReadFailed: when the server cannot read them
        :raises ProtocolError: when it has gone away
        """
        waiting: dict[int, memoryview] = {}
        arrived: dict[int, memoryview] = {}
        asked = given = start
        while given < self.size:
            while asked < self.size and len(waiting) + len(arrived) < (
                _IN_FLIGHT
            ):
                piece = buffer()[: self.size - asked]
                self._ask(asked, piece)
                waiting[asked] = piece
                asked += len(piece)
            # qemu-nbd may answer the later request first.
            while given not in arrived:
                offset = self._receive(waiting)
                arrived[offset] = waiting.pop(offset)
            piece = arrived.pop(given)
            given += len(piece)
            yield piece

    def _ask(self, offset: int, piece: memoryview) -> None:
        # The offset serves as the cookie: no two requests share it.
        self._send(
            _REQUEST.pack(_REQUEST_MAGIC, 0, _READ, offset, offset, len(piece))
        )

    def _receive(self, waiting: dict[int, memoryview]) -> int:
        """Fill the buffer that the next reply is for; give its offset."""
        magic, error, offset = _REPLY.unpack(self._take(_REPLY.size))
        if magic != _REPLY_MAGIC or offset not in waiting:
            raise ProtocolError(f"the server replied {magic:#x}")
        if error:
            raise ReadFailed(f"error {error} at byte {offset}")
        self._fill(waiting[offset])
        return int(offset)

    def _take(self, length: int) -> bytes:
        data = bytearray(length)
        self._fill(memoryview(data))
        return bytes(data)

    def _fill(self, piece: memoryview) -> None:
        done = 0
        while done < len(piece):
            try:
                count = self._connection.recv_into(piece[done:])
            except TimeoutError:
                self._idle()
                continue
            except OSError as error:
                raise ProtocolError(f"connection lost: {error}") from error
            if not count:
                raise ProtocolError("the server closed the connection")
            done += count

    def _send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[self._connection.send(view) :]
            except TimeoutError:
                self._idle()
            except OSError as error:
                raise ProtocolError(f"connection lost: {error}") from error
