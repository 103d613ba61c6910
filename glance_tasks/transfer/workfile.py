# SPDX-License-Identifier: Apache-2.0
"""The file being fetched, together with its ledger."""

from collections.abc import Mapping
import errno
import os
import pathlib
import stat
from typing import Any

from glance_tasks import directio
from glance_tasks import ledger

_EXISTING = os.O_NOFOLLOW | os.O_CLOEXEC


def open_existing(
    path: pathlib.Path, *, for_writing: bool = True
) -> int | None:
    """Open the file an earlier run left; None when there is no such file."""
    how = os.O_RDWR if for_writing else os.O_RDONLY
    try:
        fd = os.open(path, how | _EXISTING)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP):
            return None
        raise
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    return None


def size(path: pathlib.Path) -> int:
    """Give the size in bytes of what is at ``path``; 0 for nothing."""
    try:
        return path.lstat().st_size
    except FileNotFoundError:
        return 0


class WorkFile:
    """A file open for writing whose ledger vouches for its beginning.

    :ivar fd: the file's descriptor
    :ivar notes: its ledger
    """

    def __init__(
        self, path: pathlib.Path, fd: int, record: ledger.Record
    ) -> None:
        """Take over ``fd`` and put a ledger saying ``record`` in place."""
        self.fd = fd
        self._writer = directio.Writer(fd)
        try:
            self.notes = ledger.Ledger(path, record)
        except BaseException:
            os.close(fd)
            raise

    @classmethod
    def anew(cls, path: pathlib.Path, header: Mapping[str, Any]) -> "WorkFile":
        """Replace whatever is at ``path`` by an empty file.

        Nothing is truncated: a predecessor that was only frozen may still
        hold the old file open and must not write into ours.
        """
        ledger.remove(path)
        return cls(path, ledger.create_file(path), ledger.Record(header))

    def write(self, piece: memoryview, offset: int) -> None:
        """Write all of ``piece``; one thread at a time."""
        self._writer.write(piece, offset)

    def close(self) -> None:
        """Close the file and its ledger."""
        self.notes.close()
        self._writer.close()
        os.close(self.fd)
