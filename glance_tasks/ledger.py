# SPDX-License-Identifier: Apache-2.0
"""The ledger beside a file that grows: how far it is durable and verified.

One JSON object a line: a header that says what the file is made from, then
marks, the last of them with the word that the file is whole. A mark is
written after the bytes it vouches for have reached the disk, so whatever a
ledger says is true after kill -9 and after loss of power.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import concurrent.futures
import dataclasses
import json
import os
import pathlib
from typing import Any

from glance_tasks import digest

#: Of the form of the lines; another one is read as no ledger at all.
VERSION = 1

# What reading a damaged line raises; lists in lists, a thousand deep, too.
_NONSENSE = (LookupError, TypeError, ValueError, RecursionError)

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclasses.dataclass(frozen=True, slots=True)
class Mark:
    """The bytes before ``offset`` are durable and have these digests.

    :ivar done: whether they are all there are
    """

    offset: int
    digests: Mapping[str, str]
    done: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """What a ledger says.

    :ivar header: what the file is made from, JSON; the owner's own words
    :ivar marks: by ascending offset
    """

    header: Mapping[str, Any]
    marks: tuple[Mark, ...] = ()

    @property
    def offset(self) -> int:
        """How many bytes the marks vouch for."""
        return self.marks[-1].offset if self.marks else 0

    @property
    def done(self) -> Mark | None:
        """The mark of the whole file, when it was finished."""
        return self.marks[-1] if self.marks and self.marks[-1].done else None


def beside(path: pathlib.Path) -> pathlib.Path:
    """Give the place of the ledger of the file at ``path``."""
    return path.with_name(f"{path.name}.ledger")


def _draft(path: pathlib.Path) -> pathlib.Path:
    return path.with_name(f"{path.name}.ledger.new")


def remove(path: pathlib.Path) -> None:
    """Remove the file at ``path`` with its ledger; absence is no error.

    The ledger first: without it the file is nothing, but not the reverse.
    """
    for leftover in (beside(path), _draft(path), path):
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
    """Read the ledger of the file at ``path``.

    What follows a torn or senseless line is left out.

    :returns: None when there is none with a header of this version
    """
    try:
        # A line that was torn has no end of line behind it.
        first, *lines = beside(path).read_bytes().split(b"\n")[:-1]
        head = json.loads(first)
        if head["ledger"] != VERSION:
            return None
        header = dict(head["header"])
    except (FileNotFoundError, *_NONSENSE):
        return None
    return Record(header, tuple(_marks(lines)))


def _marks(lines: list[bytes]) -> Iterator[Mark]:
    last = 0
    for line in lines:
        try:
            mark = Mark(**json.loads(line))
            # The end of a file may have had a mark before it was known.
            if type(mark.offset) is not int or (
                mark.offset < last + (not mark.done)
            ):
                return
        except _NONSENSE:
            return
        yield mark
        if mark.done:
            return
        last = mark.offset


def verified(
    fd: int,
    record: Record,
    algorithms: Sequence[str],
    check: Callable[[], None],
    passed: Callable[[int], None] | None = None,
) -> tuple[Record, dict[str, digest.State]]:
    """Find how far a file still holds what its ledger vouches for.

    The file is hashed again from its start, because hashlib cannot save a
    running hash, and compared at each mark, up to the first that does not
    fit.

    :param check: called for every buffer; leaves by raising
    :param passed: called after every buffer, with the offset behind it
    :returns: the record with the good marks, none of which is the last word,
        and the running hashes of the bytes they vouch for
    """
    states = digest.fresh_states(algorithms)
    good: dict[int, Mark] = {}
    with digest.Digests(states) as digests:
        for mark in record.marks:
            digest.hash_file(
                digests, fd, digests.offset, mark.offset, check, passed
            )
            snapshot = digests.snapshot()
            if digests.offset < mark.offset or (
                snapshot.hexdigests() != mark.digests
            ):
                break
            states = snapshot.states()
            good[mark.offset] = dataclasses.replace(mark, done=False)
    return dataclasses.replace(record, marks=tuple(good.values())), states


class Ledger:
    """A ledger open for writing, always in a file of its own.

    A resumed run writes a new file with what it could verify and puts it in
    the place of the old one: a predecessor that was only frozen goes on
    writing into a file that nobody reads.
    """

    def __init__(self, path: pathlib.Path, record: Record) -> None:
        """Put a ledger for the file at ``path`` in place, durable."""
        draft = _draft(path)
        draft.unlink(missing_ok=True)
        self._fd = create_file(draft)
        try:
            self._write(
                {"ledger": VERSION, "header": dict(record.header)},
                *map(dataclasses.asdict, record.marks),
            )
            draft.replace(beside(path))
            sync_directory(path.parent)
        except BaseException:
            os.close(self._fd)
            raise

    def mark(self, mark: Mark) -> None:
        """Note a mark, durably; the bytes before it must be so already."""
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


class Marker:
    """Makes marks durable in a thread, beside the bytes that follow them.

    Waiting for the disk where the bytes pass would stop the digests, whose
    eight buffers are used up in 16 ms. There is one mark under way at a time.
    Used by one thread, which is also the one that ``advanced`` is called by.

    :ivar durable: how many bytes the last durable mark vouches for
    """

    def __init__(
        self,
        notes: Ledger,
        fd: int,
        durable: int,
        advanced: Callable[[], None],
    ) -> None:
        """Start the thread; :meth:`close` ends it.

        :param fd: of the file whose bytes the marks vouch for
        :param advanced: called after each durable mark, as soon as it is
            known of
        """
        self._notes, self._fd = notes, fd
        self.durable, self._advanced = durable, advanced
        self._thread = concurrent.futures.ThreadPoolExecutor(
            1, thread_name_prefix="ledger"
        )
        self._next: concurrent.futures.Future[Mark] | None = None

    def poll(self) -> bool:
        """Take note of a mark that has become durable; does not wait.

        :returns: whether none is under way
        :raises OSError: when one could not be written, or its bytes
        """
        if self._next is not None and self._next.done():
            self._settle(self._next)
        return self._next is None

    def wait(self, check: Callable[[], None]) -> None:
        """Wait for the mark that is under way.

        :param check: called while waiting; leaves by raising
        :raises OSError: when it could not be written, or its bytes
        """
        if self._next is not None:
            digest.await_result(self._next, check)
            self._settle(self._next)

    def add(
        self,
        offset: int,
        snapshot: digest.Snapshot,
        check: Callable[[], None],
    ) -> None:
        """Have the bytes before ``offset`` synced and a mark written.

        Waits for the mark before this one, as :meth:`wait` does.

        :param snapshot: of those bytes; those that its :class:`Digests` do
            not write themselves must have been written
        """
        self.wait(check)
        self._next = self._thread.submit(self._save, offset, snapshot, False)

    def finish(
        self,
        offset: int,
        snapshot: digest.Snapshot,
        check: Callable[[], None],
    ) -> Mark:
        """Note that the file is whole; give that mark once it is durable.

        For the parameters see :meth:`add`, for the errors :meth:`wait`.
        """
        self.wait(check)
        last = self._thread.submit(self._save, offset, snapshot, True)
        digest.await_result(last, check)
        return self._settle(last)

    def _save(
        self, offset: int, snapshot: digest.Snapshot, done: bool
    ) -> Mark:
        # First, for it also waits for the bytes that are yet to be written.
        mark = Mark(offset, snapshot.hexdigests(), done)
        os.fdatasync(self._fd)
        self._notes.mark(mark)
        return mark

    def _settle(self, under_way: concurrent.futures.Future[Mark]) -> Mark:
        mark, self._next = under_way.result(), None
        self.durable = mark.offset
        self._advanced()
        return mark

    def close(self) -> None:
        """End the thread, when the mark that is under way has ended."""
        self._thread.shutdown(wait=True)
