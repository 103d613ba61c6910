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
import shutil
import uuid

from glance_tasks import belonging
from glance_tasks import ledger

_DATA, _DRAFT = "data", "kept"


class StagingCache:
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
        self.root = root
        self._max_bytes = max_bytes
        self._mark = mark or belonging.Mark()

    def keep(self, task_id: str, path: pathlib.Path) -> bool:
        """Move a file here; see :class:`ports.StagingCache`."""
        record = ledger.read(path)
        if not self._max_bytes or record is None or not record.offset:
            return False
        draft = path.with_name(_DRAFT)
        try:
            draft.mkdir(mode=0o700, exist_ok=True)
            with self._alone():
                if not self._has_room(_allocated(path)):
                    return False
                os.rename(path, draft / _DATA)
                os.rename(ledger.beside(path), ledger.beside(draft / _DATA))
                self._mark.put(draft)
                self.sweep(task_id)
                # One step: a frozen run that thaws finds no draft to move.
                os.rename(draft, self.root / task_id)
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
            source = self.root / task_id / _DATA
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
            with self._alone():
                self._has_room(0)

    def sweep(self, task_id: str) -> None:
        """Remove what was kept of a task; absence is no error."""
        shutil.rmtree(self.root / task_id, ignore_errors=True)

    def is_ours(self, task_id: str) -> bool:
        """Tell whether a task's directory bears our mark."""
        return self._mark.is_on(self.root / task_id)

    def task_ids(self) -> Iterator[str]:
        """Give the ids of the tasks of which something is kept."""
        if not self.root.is_dir():
            return
        for entry in os.scandir(self.root):
            with contextlib.suppress(ValueError):
                yield str(uuid.UUID(entry.name))

    def _has_room(self, size: int) -> bool:
        """Tell whether ``size`` bytes more may stay, the oldest left out.

        Never more than as much again is free on the disk: what is kept must
        not be why a task finds it full.
        """
        kept = sorted(self._entries(), reverse=True)
        while size + sum(each for _, each, _ in kept) > self._limit():
            if not kept:
                return False
            self.sweep(kept.pop()[2])
        return True

    def _limit(self) -> int:
        about = os.statvfs(self.root)
        return min(self._max_bytes, about.f_bavail * about.f_frsize)

    def _entries(self) -> Iterator[tuple[float, int, str]]:
        """Give when each was kept, its bytes on the disk, and its task."""
        for task_id in self.task_ids():
            home = self.root / task_id
            with contextlib.suppress(FileNotFoundError):
                yield home.stat().st_ctime, _allocated(home / _DATA), task_id

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes from counting at the same time."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


def _allocated(path: pathlib.Path) -> int:
    """Give the bytes that a file takes on the disk: holes take none."""
    return path.lstat().st_blocks * 512
