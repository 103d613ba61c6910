# SPDX-License-Identifier: Apache-2.0
"""The compressions that are unpacked, each by its own library.

What they make of a piece of input is bounded by the caller, and their memory
by a number: neither depends on what the archive says.
"""

from collections.abc import Callable
import dataclasses
import lzma
import sys
from typing import Protocol
import zlib

# From Python 3.14 on it is in the standard library.
if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


class Decoder(Protocol):
    """One stream being decompressed, as lzma and zstd have it."""

    @property
    def eof(self) -> bool:
        """Whether the stream has ended, with its checksum right."""

    @property
    def needs_input(self) -> bool:
        """Whether nothing more comes out before more is put in."""

    @property
    def unused_data(self) -> bytes:
        """What was put in and lies behind the stream's end."""

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """Put ``data`` in; give at most ``max_length`` bytes."""


class Inflater:
    """zlib's decompressor with the manners of the others."""

    def __init__(self, window_bits: int) -> None:
        """Begin a stream.

        :param window_bits: as zlib has it: 31 for gzip, -15 for bare deflate
        """
        self._inner = zlib.decompressobj(window_bits)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        """Whether the stream has ended, with its checksum right."""
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        """What was put in and lies behind the stream's end."""
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """Put ``data`` in; give at most ``max_length`` bytes."""
        piece = self._inner.decompress(
            self._inner.unconsumed_tail + data, max_length
        )
        # Even with all input taken, the window may hold output that had no
        # room.
        self.needs_input = (
            not self._inner.unconsumed_tail and len(piece) < max_length
        )
        return piece


@dataclasses.dataclass(frozen=True, slots=True)
class Codec:
    """One way of compressing.

    :ivar name: for messages
    :ivar fresh: begins a stream, with that many bytes of memory at most
    :ivar error: what its library raises
    :ivar lone: whether nothing may follow the first stream
    """

    name: str
    fresh: Callable[[int], Decoder]
    error: type[Exception]
    lone: bool = False


def _xz(memory: int) -> Decoder:
    return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=memory)


def _zstd(memory: int) -> Decoder:
    window = zstd.DecompressionParameter.window_log_max
    least, most = window.bounds()
    bits = min(max(memory.bit_length() - 1, least), most)
    return zstd.ZstdDecompressor(options={window: bits})


#: A window of 32 KiB, whoever made it.
GZIP = Codec("gzip", lambda memory: Inflater(31), zlib.error)
DEFLATE = Codec("zip", lambda memory: Inflater(-15), zlib.error, lone=True)
XZ = Codec("xz", _xz, lzma.LZMAError)
ZSTD = Codec("zstd", _zstd, zstd.ZstdError)


def wants_memory(error: Exception) -> bool:
    """Tell whether a library refused because of the memory it may use.

    Both have one class for all their errors, and these words for this one:
    "Memory usage limit exceeded", "Frame requires too much memory for
    decoding".
    """
    return "memory" in str(error).lower()
