# SPDX-License-Identifier: Apache-2.0
"""A client of the NBD protocol that reads: what qemu-nbd gives as a disk.

There is none on PyPI, and Debian's binding of libnbd cannot be in a virtual
environment. Fixed newstyle negotiation, one export without a name, and simple
replies, unless it is to be told which parts of the disk are zeros; see the
protocol's doc/proto.md.
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
_CHUNK_LENGTH = struct.Struct(">I")
_EXTENT = struct.Struct(">II")

_OPTION_REPLY_MAGIC = 0x3E889045565A9
_REQUEST_MAGIC = 0x25609513
_REPLY_MAGIC, _CHUNK_MAGIC = 0x67446698, 0x668E33EF

_FIXED_NEWSTYLE = 1
_GO, _STRUCTURED_REPLY, _SET_META_CONTEXT = 7, 8, 10
_ACKNOWLEDGED, _INFORMATION, _META_CONTEXT, _REFUSED = 1, 3, 4, 1 << 31
_READ, _BLOCK_STATUS = 0, 7
_DO_NOT_FRAGMENT = 1 << 2
_ALLOCATION = b"base:allocation"

# Of a chunk of a reply: its flags above its kind, in one number.
_LAST = 1 << 16
_DATA, _STATUS, _ERROR = 1, 5, 1 << 15
_READS_AS_ZEROS = 2

# Requests under way at a time: enough to keep qemu-nbd busy while we hash.
_IN_FLIGHT = 4
# Bytes whose state is asked for at a time.
_MOST_ASKED = 1 << 30
# No reply to an option of ours is longer.
_MAX_OPTION_REPLY = 4096
# qemu-nbd gives at most 131,072 extents at a time.
_MAX_STATUS = 2 << 20


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
        self,
        connection: socket.socket,
        idle: Callable[[], None],
        *,
        extents: bool = False,
    ) -> None:
        """Negotiate.

        :param connection: with a timeout set
        :param idle: called whenever nothing came for that timeout; leaves by
            raising
        :param extents: whether :meth:`data` will be asked for
        :raises ProtocolError: when the server does not speak NBD
        """
        self._connection, self._idle = connection, idle
        magic, option, flags = _SERVER_HELLO.unpack(
            self._take(_SERVER_HELLO.size)
        )
        if (magic, option) != (b"NBDMAGIC", b"IHAVEOPT") or not flags & 1:
            raise ProtocolError(f"the server began with {magic!r}, {flags:#x}")
        self._send(struct.pack(">I", _FIXED_NEWSTYLE))
        # A reply in chunks may come in many, unless it is told not to.
        self._flags = _DO_NOT_FRAGMENT if extents else 0
        if extents:
            self._ask_for_extents()
        self.size = self._export_size()

    def _option(self, option: int, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Ask for something; give kind and data of each word of the reply."""
        self._send(_OPTION.pack(b"IHAVEOPT", option, len(data)) + data)
        kind = 0
        while kind != _ACKNOWLEDGED and not kind & _REFUSED:
            magic, _, kind, length = _OPTION_REPLY.unpack(
                self._take(_OPTION_REPLY.size)
            )
            if magic != _OPTION_REPLY_MAGIC or length > _MAX_OPTION_REPLY:
                raise ProtocolError(f"the server replied {magic:#x}")
            yield kind, self._take(length)

    def _ask_for_extents(self) -> None:
        # Of the export without a name, one context.
        name = struct.pack(">III", 0, 1, len(_ALLOCATION)) + _ALLOCATION
        for option, data, expected in (
            (_STRUCTURED_REPLY, b"", [_ACKNOWLEDGED]),
            (_SET_META_CONTEXT, name, [_META_CONTEXT, _ACKNOWLEDGED]),
        ):
            kinds = [kind for kind, _ in self._option(option, data)]
            if kinds != expected:
                raise ProtocolError(f"the server replied {kinds}")

    def _export_size(self) -> int:
        size = -1
        # An export without a name, and no further information asked for.
        for kind, data in self._option(_GO, struct.pack(">IH", 0, 0)):
            if kind == _ACKNOWLEDGED and size >= 0:
                return size
            if kind != _INFORMATION:
                raise ProtocolError(f"the server refused with {kind:#x}")
            if len(data) == _EXPORT.size and data[:2] == b"\x00\x00":
                size = _EXPORT.unpack(data)[1]
        raise ProtocolError("the server gave no size")

    def read(self, offset: int, length: int) -> bytes:
        """Give ``length`` bytes at ``offset``.

        :raises ReadFailed: when the server cannot read them
        :raises ProtocolError: when it has gone away
        """
        piece = memoryview(bytearray(length))
        self._ask(offset, piece)
        self._receive({offset: piece})
        return bytes(piece)

    def data(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Give the stretches between that may be something but zeros.

        Nothing else may be under way. Needs ``extents``.

        :raises ReadFailed: when the server cannot tell
        :raises ProtocolError: when it has gone away
        """
        while start < end:
            for length, flags in self._extents(start, end):
                following = min(start + length, end)
                if not flags & _READS_AS_ZEROS:
                    yield start, following
                start = following

    def _extents(self, start: int, end: int) -> list[tuple[int, int]]:
        """Ask what is at ``start``: lengths and flags, as far as it knows."""
        asked = min(end - start, _MOST_ASKED)
        self._send(
            _REQUEST.pack(
                _REQUEST_MAGIC, 0, _BLOCK_STATUS, start, start, asked
            )
        )
        magic, kind, cookie = _REPLY.unpack(self._take(_REPLY.size))
        if magic != _CHUNK_MAGIC or cookie != start:
            raise ProtocolError(f"the server replied {magic:#x}")
        found = self._take(self._chunk_length(kind, _STATUS, _MAX_STATUS))
        # A number that names the context comes first.
        extents = list(_EXTENT.iter_unpack(found[4:]))
        if not extents or not all(length for length, _ in extents):
            raise ProtocolError("the server gave an extent of no bytes")
        return extents

    def _chunk_length(self, kind: int, wanted: int, most: int) -> int:
        """Give the length of the only chunk of a reply."""
        (length,) = _CHUNK_LENGTH.unpack(self._take(_CHUNK_LENGTH.size))
        if kind & _ERROR and 4 <= length <= _MAX_OPTION_REPLY:
            (error,) = _CHUNK_LENGTH.unpack(self._take(length)[:4])
            raise ReadFailed(f"error {error}")
        if kind != _LAST | wanted or length > most:
            raise ProtocolError(f"a chunk {kind:#x} of {length} bytes came")
        return int(length)

    def stream(
        self,
        start: int,
        buffer: Callable[[], memoryview],
        end: int | None = None,
    ) -> Iterator[memoryview]:
        """Give the bytes from ``start`` to ``end``, in order.

        Several requests are under way at a time; each of them fills one
        buffer.

        :param buffer: gives the buffer of the next request
        :param end: None is the end of the disk
        :raises ReadFailed: when the server cannot read them
        :raises ProtocolError: when it has gone away
        """
        waiting: dict[int, memoryview] = {}
        arrived: dict[int, memoryview] = {}
        asked = given = start
        end = self.size if end is None else end
        while given < end:
            while asked < end and len(waiting) + len(arrived) < _IN_FLIGHT:
                piece = buffer()[: end - asked]
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
            _REQUEST.pack(
                _REQUEST_MAGIC, self._flags, _READ, offset, offset, len(piece)
            )
        )

    def _receive(self, waiting: dict[int, memoryview]) -> int:
        """Fill the buffer that the next reply is for; give its offset."""
        magic, error, offset = _REPLY.unpack(self._take(_REPLY.size))
        wanted = _CHUNK_MAGIC if self._flags else _REPLY_MAGIC
        if magic != wanted or offset not in waiting:
            raise ProtocolError(f"the server replied {magic:#x}")
        if self._flags:
            self._begin_data(error, offset, len(waiting[offset]))
        elif error:
            raise ReadFailed(f"error {error} at byte {offset}")
        self._fill(waiting[offset])
        return int(offset)

    def _begin_data(self, kind: int, offset: int, length: int) -> None:
        """Take what stands before the bytes in a chunk of data."""
        found = self._chunk_length(kind, _DATA, 8 + length)
        place = int.from_bytes(self._take(8), "big")
        if (found, place) != (8 + length, offset):
            raise ProtocolError(f"{found} bytes at {place} came")

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
