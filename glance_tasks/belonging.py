# SPDX-License-Identifier: Apache-2.0
"""Whose a task's directory is: proof, once its task is known no more.

Two services with databases of their own may share a directory. A task that
the database does not know is the other one's, or was reaped long ago: only a
mark that was made with the directory tells.
"""

from collections.abc import Iterator
import contextlib
import os
import pathlib
import shutil
import uuid


class Mark:
    """The mark of one database; safe to share between threads."""

    def __init__(self, identity: str = "") -> None:
        """Mark with ``identity``; without one nothing is marked or ours."""
        self._name = identity and f".database-{identity}"

    def put(self, home: pathlib.Path) -> None:
        """Mark a directory that there is, if it has room.

        It is an empty file: that is there whole or not at all, also on a full
        disk. A directory without one is never taken for a reaped task's.
        """
        if self._name:
            with contextlib.suppress(OSError):
                (home / self._name).touch(mode=0o600)

    def lift(self, home: pathlib.Path) -> None:
        """Take the mark off, so that the directory can be empty."""
        if self._name:
            (home / self._name).unlink(missing_ok=True)

    def is_on(self, home: pathlib.Path) -> bool:
        """Tell whether a directory bears this mark."""
        return bool(self._name) and (home / self._name).exists()


class TaskDirectories:
    """A directory for each of some tasks, by their ids, below one root.

    Safe to share between threads.
    """

    def __init__(self, root: pathlib.Path, mark: Mark | None = None) -> None:
        """Use ``root``; it is made when the first task needs it.

        :param mark: put on the directories of tasks
        """
        self.root = root
        self._mark = mark or Mark()

    def task_ids(self) -> Iterator[str]:
        """Give the ids of the tasks that have one here."""
        if not self.root.is_dir():
            return
        for entry in os.scandir(self.root):
            with contextlib.suppress(ValueError):
                yield str(uuid.UUID(entry.name))

    def is_ours(self, task_id: str) -> bool:
        """Tell whether a task's directory bears our mark."""
        return self._mark.is_on(self._home(task_id))

    def sweep(self, task_id: str) -> None:
        """Remove that of a task; absence is no error."""
        shutil.rmtree(self._home(task_id), ignore_errors=True)

    def _home(self, task_id: str) -> pathlib.Path:
        # Whatever comes as an id, it is one name.
        return self.root / str(uuid.UUID(task_id))
