# SPDX-License-Identifier: Apache-2.0
"""What failed tasks had brought from outside, kept for their retries.

A directory a task, with the file and its ledger, outside the work
directories: a retry takes the bytes that the ledger vouches for, verified by
their digests, instead of bringing them again.
"""

from collections.abc import Iterable
from collections.abc import Iterator
import contextlib
import fcntl
import os
import pathlib
import time

from glance_tasks import belonging
from glance_tasks import ledger

#: The directory, in a task's own, of what is to be kept when the task ends.
KEPT = "kept"

_DATA = "data"

# Seconds, and looks in them, for which somebody else may have the cache: one
# that is frozen must not hold up the rest.
_PATIENCE_S, _LOOKS = 1.0, 20


def put_by(path: pathlib.Path) -> None:
    """Move a file, with its ledger, to where a task's end finds it.

    A file that no ledger vouches for stays, and so does one that cannot be
    moved.
    """
    record = ledger.read(path)
    if record is None or not record.offset:
        return
    draft = path.with_name(KEPT)
    with contextlib.suppress(OSError):
        draft.mkdir(mode=0o700, exist_ok=True)
        os.rename(path, draft / _DATA)
        os.rename(ledger.beside(path), ledger.beside(draft / _DATA))


class StagingCache(belonging.TaskDirectories):
    """The files of one host's failed tasks; safe between processes.

    Implements :class:`glance_tasks.ports.StagingCache`.
    """

    def __init__(
        self,
        root: pathlib.Path,
        max_bytes: int,
        mark: belonging.Mark | None = None,
    ) -> None:
        """Use ``root``; it is made when the first file is kept.

        :param max_bytes: of all files together; 0 keeps none
        :param mark: put on the directories of tasks
        """
        super().__init__(root, mark)
        self._max_bytes = max_bytes

    def path(self, task_id: str) -> pathlib.Path:
        """Give the place of a task's file, there or not."""
        return self._home(task_id) / _DATA

    def keep(self, task_id: str, home: pathlib.Path) -> bool:
        """Move what was put by here; see :class:`ports.StagingCache`."""
        if not self._max_bytes or ledger.read(home / _DATA) is None:
            return False
        try:
            # A store that it was linked into made it read-only.
            (home / _DATA).chmod(0o600)
            with self._alone() as alone:
                if not alone or not self._has_room(_allocated(home / _DATA)):
                    return False
                self._mark.put(home)
                self.sweep(task_id)
                # One step: a frozen run that thaws finds nothing to move.
                os.rename(home, self._home(task_id))
        except OSError:
            # On another file system, say: a retry brings the bytes again.
            return False
        return True

    def lend(
        self, task_ids: Iterable[str], path: pathlib.Path
    ) -> tuple[str, int] | None:
        """Put a file at ``path``; see :class:`ports.StagingCache`."""
        if ledger.beside(path).exists():
            # An earlier run of the same task got at least as far.
            return None
        for task_id in task_ids:
            source = self.path(task_id)
            record = ledger.read(source)
            if record is None:
                continue
            with contextlib.suppress(OSError):
                ledger.remove(path)
                os.link(source, path, follow_symlinks=False)
                ledger.Ledger(path, record).close()
                return task_id, record.offset
        return None

    def trim(self) -> None:
        """Remove the oldest files until the rest may stay."""
        if self.root.is_dir():
            with self._alone() as alone:
                if alone:
                    self._has_room(0)

    def empty(self) -> bool:
        """Remove everything; see :class:`ports.StagingCache`."""
        kept = list(self.task_ids())
        for task_id in kept:
            self.sweep(task_id)
        return bool(kept)

    def _has_room(self, size: int) -> bool:
        """Tell whether ``size`` bytes more may stay, the oldest left out.

        Never more than as much again is free on the disk.
        """
        kept = sorted(self._entries(), reverse=True)
        used = sum(each for _, each, _ in kept)
        free = self._free()
        if size > min(self._max_bytes, free + used):
            return False
        while size + used > min(self._max_bytes, free):
            if not kept:
                return False
            _, freed, oldest = kept.pop()
            self.sweep(oldest)
            used, free = used - freed, self._free()
        return True

    def _free(self) -> int:
        about = os.statvfs(self.root)
        return about.f_bavail * about.f_frsize

    def _entries(self) -> Iterator[tuple[float, int, str]]:
        """Give when each was kept, its bytes on the disk, and its task."""
        for task_id in self.task_ids():
            file = self.path(task_id)
            with contextlib.suppress(FileNotFoundError):
                kept_at = file.parent.stat().st_ctime
                yield kept_at, _allocated(file), task_id

    @contextlib.contextmanager
    def _alone(self) -> Iterator[bool]:
        """Keep other processes out meanwhile; tell whether they let us."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield any(_locked(lock) for _ in range(_LOOKS))
        finally:
            os.close(lock)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        time.sleep(_PATIENCE_S / _LOOKS)
        return False
    return True


def _allocated(path: pathlib.Path) -> int:
    """Give the bytes that a file takes on the disk: holes take none."""
    return path.lstat().st_blocks * 512
