# SPDX-License-Identifier: Apache-2.0
"""A body in chunks, read as RFC 9112 writes it and in no other way.

http.client takes sizes of ``-5``, ``0x5`` and ``1_0``, chunks that do not end
where they should, 64 KiB of extension for each byte, and trailers for ever.
"""

import io
import re

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?")
# Of a size and its extension: no server in use sends any extension.
_MAX_LINE = 256
_MAX_TRAILER = 16 << 10


class Malformed(Exception):
    """These are no chunks."""


class Ended(Exception):
    """The connection ended before the last chunk."""


class ChunkReader:
    """Gives the bytes in the chunks; for one thread."""

    def __init__(self, source: io.BufferedIOBase) -> None:
        """Begin before the first chunk's size."""
        self._source = source
        self._left = 0
        self._begun = self._over = False

    def readinto(self, view: memoryview) -> int:
        """Read what has come of one chunk, at least a byte; 0 at the end.

        :raises Malformed: when what comes is not in chunks
        :raises Ended: when nothing comes any more
        """
        if not self._left and not self._over:
            self._next()
        if self._over:
            return 0
        count = self._source.readinto1(view[: self._left])
        if not count:
            raise Ended
        self._left -= count
        return count

    def _next(self) -> None:
        if self._begun and self._line(2):
            raise Malformed("a chunk is longer than its size")
        self._begun = True
        found = _SIZE.fullmatch(self._line(_MAX_LINE))
        if found is None:
            raise Malformed("a chunk has no size")
        self._left = int(found[1], 16)
        if not self._left:
            self._skip_trailer()
            self._over = True

    def _skip_trailer(self) -> None:
        left = _MAX_TRAILER
        while line := self._line(left):
            left -= len(line) + 2
            if left <= 0:
                raise Malformed("the trailer does not end")

    def _line(self, limit: int) -> bytes:
        """Give the next line, of at most ``limit`` bytes, without its end."""
        line = self._source.readline(limit)
        if line.endswith(b"\r\n"):
            return line[:-2]
        if line.endswith(b"\n") or len(line) == limit:
            raise Malformed("a line of the framing does not end in CRLF")
        raise Ended
