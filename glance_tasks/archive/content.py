# SPDX-License-Identifier: Apache-2.0
"""The bytes of the disk image in an archive, unpacked as they are read."""

from collections.abc import Callable
import zlib

from glance_tasks import exceptions
from glance_tasks.archive import caps as archive_caps
from glance_tasks.archive import compression
from glance_tasks.archive import member as members
from glance_tasks.archive import refusal
from glance_tasks.imagefile import reader

# Bytes put into a decompressor at a time.
_PIECE = 64 << 10

# Each stream costs a new decompressor and a copy of the input behind it: a
# MiB of empty zstd frames took 2.9 s. The shortest that are written on
# purpose, by bgzip, unpack to 64 KiB.
_MANY_STREAMS = 10_000
_SHORT_STREAM = 4 << 10


class Content:
    """A member as a stream; one thread reads it.

    :ivar unpacked: bytes that came out so far
    :ivar position: packed bytes that were read so far
    """

    def __init__(
        self,
        archive: reader.Reader,
        member: members.Member,
        caps: archive_caps.Caps,
        check: Callable[[], None],
    ) -> None:
        """Begin at the start.

        :param check: called for every piece; leaves by raising
        :raises ArchiveError: when what the archive says breaks a cap already
        """
        caps.require(member.size or 0, member.length)
        self._archive, self._member = archive, member
        self._caps, self._check = caps, check
        self._decoder: compression.Decoder | None = None
        if member.codec is not None:
            self._decoder = member.codec.fresh(caps.memory)
        self._crc32 = self._streams = 0
        self.unpacked = self.position = 0

    def readinto(self, buffer: memoryview) -> int:
        """Fill ``buffer``; give how many bytes there were.

        Fewer than it has room for are the last ones, and what the archive
        says of the image was true.

        :raises ArchiveError: ``archive_malformed``, or a limit's code
        :raises OSError: when the archive cannot be read
        """
        filled = 0
        while filled < len(buffer):
            self._check()
            piece = self._next(len(buffer) - filled)
            if piece is None:
                self._require_whole()
                break
            buffer[filled : filled + len(piece)] = piece
            filled += len(piece)
            self.unpacked += len(piece)
            self._require_no_more()
            if self._member.crc32 is not None:
                self._crc32 = zlib.crc32(piece, self._crc32)
        return filled

    def _next(self, limit: int) -> bytes | None:
        """Give some bytes, perhaps none yet; None when there are no more."""
        codec, decoder = self._member.codec, self._decoder
        if codec is None or decoder is None:
            return self._packed(limit) or None
        if decoder.eof:
            packed = self._following(codec, decoder.unused_data)
            if packed is None:
                return None
            decoder = self._decoder = self._next_stream(codec)
        elif decoder.needs_input:
            packed = self._packed(_PIECE)
            if not packed:
                raise refusal.malformed(
                    f"the {codec.name} archive ends after"
                    f" {self._member.length} bytes in the middle of a stream;"
                    " expected it whole and nothing else behind it"
                )
        else:
            packed = b""
        return self._decoded(codec, decoder, packed, limit)

    def _next_stream(self, codec: compression.Codec) -> compression.Decoder:
        self._streams += 1
        if self._streams > _MANY_STREAMS + self.unpacked // _SHORT_STREAM:
            raise refusal.unfit(
                f"the {codec.name} archive is made of more than"
                f" {self._streams - 1} streams with {self.unpacked} bytes in"
                f" them; expected at least {_SHORT_STREAM} in each"
            )
        return codec.fresh(self._caps.memory)

    def _packed(self, limit: int) -> bytes:
        length = min(limit, self._member.length - self.position)
        packed = self._archive.some(self._member.start + self.position, length)
        self.position += len(packed)
        return packed

    def _following(
        self, codec: compression.Codec, packed: bytes
    ) -> bytes | None:
        """Give the beginning of the next stream; None when there is none.

        Parallel compressors write several, and tapes end with zeros.
        """
        if codec.lone:
            if packed or self.position < self._member.length:
                raise refusal.malformed(
                    f"the {codec.name} archive has bytes behind the end of"
                    " its data; expected none"
                )
            return None
        while not (packed := packed.lstrip(b"\0")):
            self._check()
            packed = self._packed(_PIECE)
            if not packed:
                return None
        return packed

    def _decoded(
        self,
        codec: compression.Codec,
        decoder: compression.Decoder,
        packed: bytes,
        limit: int,
    ) -> bytes:
        try:
            return decoder.decompress(packed, limit)
        except codec.error as error:
            if compression.wants_memory(error):
                raise exceptions.ArchiveError(
                    f"the {codec.name} archive needs more than"
                    f" {self._caps.memory} bytes of memory to be unpacked;"
                    " expected no more",
                    code="unpack_memory_limit",
                ) from error
            raise refusal.malformed(
                f"the {codec.name} archive is damaged, or followed by"
                f" something else, before its byte {self.position};"
                " expected it whole and nothing else"
            ) from error

    def _require_no_more(self) -> None:
        """Stop what does not stop where the archive says, or a cap."""
        said = self._member.size
        if said is not None and self.unpacked > said:
            raise refusal.malformed(
                f"the {self._member.archive} archive unpacks to more than"
                f" the {said} bytes that it tells of; expected no more"
            )
        self._caps.require(self.unpacked, self._member.length)

    def _require_whole(self) -> None:
        """Compare what came with what the archive says of it."""
        said = self._member.size
        if said not in (None, self.unpacked):
            raise refusal.malformed(
                f"the {self._member.archive} archive unpacks to"
                f" {self.unpacked} bytes; expected the {said} that it tells"
                " of"
            )
        if self._member.crc32 not in (None, self._crc32):
            raise refusal.malformed(
                f"what the {self._member.archive} archive unpacks to has the"
                f" CRC-32 {self._crc32:08x}; expected"
                f" {self._member.crc32:08x}"
            )
