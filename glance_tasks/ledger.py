# SPDX-License-Identifier: Apache-2.0
"""The ledger beside a file that grows: how far it is durable and verified.

One JSON object a line: a header that says what the file is made from, marks
``{"offset", "digests"}``, and ``{"done"}`` when the file is whole. A mark is
written after the bytes it vouches for have reached the disk, so whatever a
ledger says is true after kill -9 and after loss of power.
"""

from collections.abc import Callable
from collections.abc import Mapping
import concurrent.futures
import dataclasses
import json
import os
import pathlib
import types
from typing import Any
from typing import Self

from glance_tasks import digest

#: Of the form of the lines; another one is read as no ledger at all.
VERSION = 1

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclasses.dataclass(frozen=True, slots=True)
class Mark:
    """The bytes before ``offset`` are durable and have these digests."""

    offset: int
    digests: Mapping[str, str]


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """What a ledger says.

    :ivar header: what the file is made from, JSON; the owner's own words
    :ivar marks: by ascending offset
    :ivar done: what was noted when the file was whole, None before that
    """

    header: Mapping[str, Any]
    marks: tuple[Mark, ...] = ()
    done: Mapping[str, Any] | None = None


def beside(path: pathlib.Path) -> pathlib.Path:
    """Give the place of the ledger of the file at ``path``."""
    return path.with_name(f"{path.name}.ledger")


def _draft(path: pathlib.Path) -> pathlib.Path:
    return path.with_name(f"{path.name}.new")


def remove(path: pathlib.Path) -> None:
    """Remove the file at ``path`` with its ledger; absence is no error."""
    for leftover in (path, beside(path), _draft(beside(path))):
        leftover.unlink(missing_ok=True)


def create_file(path: pathlib.Path) -> int:
    """Make a file that did not exist, open for writing, mode 0600.

    :returns: its descriptor; the caller closes it
    :raises FileExistsError: when something, a link too, has that name
    """
    return os.open(path, _NEW, 0o600)


def sync_directory(path: pathlib.Path) -> None:
    """Make the names in the directory at ``path`` durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def read(path: pathlib.Path) -> Record | None:
    """Read a ledger; a torn or damaged end is left out.

    :returns: None when there is none, or its header is not whole
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return None
    entries = list(_entries(lines[:-1]))
    if not entries or entries[0].get("ledger") != VERSION:
        return None
    marks: list[Mark] = []
    done = None
    for entry in entries[1:]:
        if "done" in entry:
            done = entry["done"]
            break
        mark = _mark(entry)
        if mark is None or (marks and mark.offset <= marks[-1].offset):
            break
        marks.append(mark)
    return Record(entries[0].get("header") or {}, tuple(marks), done)


def _entries(lines: list[bytes]) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            break
        if not isinstance(entry, dict):
            break
        entries.append(entry)
    return entries


def _mark(entry: Mapping[str, Any]) -> Mark | None:
    offset, digests = entry.get("offset"), entry.get("digests")
    if not isinstance(offset, int) or not isinstance(digests, dict):
        return None
    return Mark(offset, digests)


class Ledger:
    """A ledger open for writing, always in a file of its own.

    A resumed run writes a new file with what it could verify and puts it in
    the place of the old one: a predecessor that was only frozen goes on
    writing into a file that nobody reads.
    """

    def __init__(self, path: pathlib.Path, record: Record) -> None:
        """Put a ledger that says ``record`` in place, durable."""
        draft = _draft(path)
        draft.unlink(missing_ok=True)
        self._fd = create_file(draft)
        try:
            self._write({"ledger": VERSION, "header": dict(record.header)})
            for mark in record.marks:
                self._write(dataclasses.asdict(mark))
            os.fsync(self._fd)
            draft.replace(path)
            sync_directory(path.parent)
        except BaseException:
            os.close(self._fd)
            raise

    def mark(self, mark: Mark) -> None:
        """Note a mark, durably; the bytes before it must be so already."""
        self._write(dataclasses.asdict(mark))
        os.fsync(self._fd)

    def finish(self, done: Mapping[str, Any]) -> None:
        """Note, durably, that the file is whole; ``done`` is JSON."""
        self._write({"done": dict(done)})
        os.fsync(self._fd)

    def _write(self, entry: Mapping[str, Any]) -> None:
        line = json.dumps(entry, separators=(",", ":")).encode() + b"\n"
        while line:
            line = line[os.write(self._fd, line) :]

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: types.TracebackType | None,
    ) -> None:
        self.close()


class Marker:
    """Makes marks durable in a thread, beside the bytes that follow them.

    Waiting for the disk where the bytes pass would stop the digests, whose
    eight buffers are used up in 16 ms. Used by one thread, as a context.
    """

    def __init__(
        self, ledger: Ledger, fd: int, advanced: Callable[[], None]
    ) -> None:
        """Start the thread.

        :param fd: of the file whose bytes the marks vouch for
        :param advanced: called, in the thread, after each durable mark
        """
        self._ledger, self._fd, self._advanced = ledger, fd, advanced
        self._thread = concurrent.futures.ThreadPoolExecutor(
            1, thread_name_prefix="ledger"
        )
        self._last: concurrent.futures.Future[None] | None = None

    def add(self, offset: int, snapshot: digest.Snapshot) -> None:
        """Have the bytes before ``offset`` synced and a mark written.

        Everything before ``offset`` must have been written to the file.
        Waits for the mark before this one.

        :raises OSError: when the mark before this one could not be written
        """
        self.wait()
        self._last = self._thread.submit(self._mark, offset, snapshot)

    def wait(self) -> None:
        """Wait for the last mark.

        :raises OSError: when it could not be written
        """
        if self._last is not None:
            self._last.result()

    def _mark(self, offset: int, snapshot: digest.Snapshot) -> None:
        os.fdatasync(self._fd)
        self._ledger.mark(Mark(offset, snapshot.hexdigests()))
        self._advanced()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: types.TracebackType | None,
    ) -> None:
        self._thread.shutdown(wait=True)
        if kind is None:
            self.wait()
