# SPDX-License-Identifier: Apache-2.0
"""The ledger beside a fetched file: how much of it is durable and verified.

One JSON object a line: first what is being fetched, then marks, each written
after the bytes before its offset had reached the disk, at last the word that
the file is whole. So what it says is true after kill -9 and loss of power.
"""

from collections.abc import Iterator
from collections.abc import Mapping
import dataclasses
import json
import os
import pathlib
from typing import Any

from glance_tasks.transfer import endpoint

#: Of the form of the lines. A ledger of another one is as good as none.
VERSION = 1

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclasses.dataclass(frozen=True, slots=True)
class Header:
    """What is being fetched.

    :ivar source: SHA-256 of the whole address, which may hold secrets
    :ivar algorithms: of the digests in the marks, sorted
    """

    source: str
    identity: endpoint.Identity
    algorithms: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Mark:
    """The bytes before ``offset`` are on the disk and have these digests.

    :ivar done: whether they are all there are
    """

    offset: int
    digests: Mapping[str, str]
    done: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """What a ledger says; the marks by ascending offset."""

    header: Header
    marks: tuple[Mark, ...] = ()

    @property
    def done(self) -> Mark | None:
        """The mark of the whole file, when it was finished."""
        return self.marks[-1] if self.marks and self.marks[-1].done else None


def beside(path: pathlib.Path) -> pathlib.Path:
    """Give the place of the ledger of the file at ``path``."""
    return path.with_name(f"{path.name}.ledger")


def _draft(path: pathlib.Path) -> pathlib.Path:
    return path.with_name(f"{path.name}.new")


def remove(path: pathlib.Path) -> None:
    """Remove the file at ``path`` and its ledger; absence is no error.

    The ledger first: without it the file is nothing, but not the reverse.
    """
    place = beside(path)
    for leftover in (place, _draft(place), path):
        leftover.unlink(missing_ok=True)


def create(path: pathlib.Path) -> int:
    """Make a file that did not exist, open for writing, for us alone."""
    return os.open(path, _NEW, 0o600)


def sync_names(directory: pathlib.Path) -> None:
    """Make the names in a directory durable."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def read(path: pathlib.Path) -> Record | None:
    """Read the ledger of the file at ``path``.

    What follows a torn or senseless line is left out.

    :returns: None when there is none with a header of this version
    """
    try:
        # A line that was torn has no end of line behind it.
        lines = beside(path).read_bytes().split(b"\n")[:-1]
        header = _header(json.loads(lines[0]))
    except (FileNotFoundError, LookupError, TypeError, ValueError):
        return None
    return Record(header, tuple(_marks(lines[1:])))


def _header(line: Mapping[str, Any]) -> Header:
    if line["version"] != VERSION:
        raise ValueError(line["version"])
    return Header(
        str(line["source"]),
        endpoint.Identity(**line["identity"]),
        tuple(line["algorithms"]),
    )


def _marks(lines: list[bytes]) -> Iterator[Mark]:
    last = -1
    for line in lines:
        try:
            mark = Mark(**json.loads(line))
            if mark.offset < last:
                return
        except (TypeError, ValueError):
            return
        yield mark
        if mark.done:
            return
        last = mark.offset


class Ledger:
    """A ledger being written, always to a file of its own.

    Going on after a kill writes a new one with what was verified and puts it
    in the old one's place: a predecessor that was only frozen goes on
    writing to a file that nobody reads.
    """

    def __init__(self, path: pathlib.Path, record: Record) -> None:
        """Put a ledger for the file at ``path`` in place, durably."""
        place = beside(path)
        draft = _draft(place)
        draft.unlink(missing_ok=True)
        self._fd = create(draft)
        try:
            self._write(
                {"version": VERSION, **dataclasses.asdict(record.header)},
                *map(dataclasses.asdict, record.marks),
            )
            draft.replace(place)
            sync_names(path.parent)
        except BaseException:
            os.close(self._fd)
            raise

    def add(self, mark: Mark) -> None:
        """Write a mark, durably. What it vouches for must be so already."""
        self._write(dataclasses.asdict(mark))

    def _write(self, *entries: Mapping[str, Any]) -> None:
        text = "".join(f"{json.dumps(entry)}\n" for entry in entries)
        rest = memoryview(text.encode())
        while rest:
            rest = rest[os.write(self._fd, rest) :]
        os.fdatasync(self._fd)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)
