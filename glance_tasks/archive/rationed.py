# SPDX-License-Identifier: Apache-2.0
"""An archive as a file for the standard library's readers, on a ration.

zipfile reads a whole directory at once, tarfile a whole extended header, of
whatever length the archive says. Here they get a few megabytes in all, which
bounds their time and their memory.
"""

from collections.abc import Iterator
import contextlib
import io
import os

from glance_tasks.archive import refusal
from glance_tasks.imagefile import reader

# One entry of a zip or two headers of a tar for an image; a descriptor of a
# megabyte is read apart.
_RATION = 4 << 20
# Reading nothing costs something too.
_LEAST = 64

_BROKE: tuple[type[Exception], ...] = (
    *(ArithmeticError, LookupError, RuntimeError, ValueError),
)


class RationedFile(io.RawIOBase):
    """A file that can be read from anywhere, but not much."""

    def __init__(self, archive: reader.Reader) -> None:
        """Begin at the start of the archive, which stays the caller's."""
        self._archive = archive
        self._place = 0
        self._left = _RATION

    def readable(self) -> bool:
        """Say yes."""
        return True

    def seekable(self) -> bool:
        """Say yes."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to an offset from the start, from here, or from the end."""
        base = (0, self._place, self._archive.size)[whence]
        self._place = max(0, base + offset)
        return self._place

    def tell(self) -> int:
        """Give the offset from the start."""
        return self._place

    def read(self, size: int | None = -1, /) -> bytes:
        """Give that many bytes, or all; fewer where the archive ends.

        :raises ArchiveError: ``archive_unfit``, when the ration is used up
        """
        length = max(0, self._archive.size - self._place)
        if size is not None and size >= 0:
            length = min(length, size)
        self._left -= max(length, _LEAST)
        if self._left < 0:
            raise refusal.unfit(
                "the archive's lists of what is in it are longer than"
                f" {_RATION} bytes; expected those of one disk image"
            )
        piece = self._archive.some(self._place, length)
        self._place += len(piece)
        return piece


@contextlib.contextmanager
def explained(archive: str, *errors: type[Exception]) -> Iterator[None]:
    """Put into words what a reader of hostile bytes raises.

    :param errors: its own; the others are those of what it calls
    :raises ArchiveError: ``archive_malformed``
    """
    known = errors + _BROKE
    try:
        yield
    except known as error:
        raise refusal.malformed(
            f"the {archive} archive's lists of what is in it cannot be read;"
            " expected them whole"
        ) from error
