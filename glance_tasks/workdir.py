# SPDX-License-Identifier: Apache-2.0
"""The work directories of running tasks: ``ROOT/TASK ID/FENCE/``.

A claim renames the directory of the one before it. So whatever a frozen
predecessor opens, links or unlinks by path after it thaws is not there any
more: the file system itself is the fence.
"""

from collections.abc import Iterator
import contextlib
import os
import pathlib
import shutil
import uuid

from glance_tasks import exceptions


class WorkArea:
    """All work directories of this machine; safe to share between threads."""

    def __init__(self, root: pathlib.Path) -> None:
        """Use ``root``; it is made when the first task needs it."""
        self.root = root

    def take(self, task_id: str, fence: int) -> pathlib.Path:
        """Give the directory of this claim, with what earlier ones left.

        :raises LeaseLost: when a later claim has taken it
        :raises OSError: when it cannot be made
        """
        home = self.root / task_id
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        mine = home / str(fence)
        claims = sorted(self._claims(home), reverse=True)
        if claims and claims[0] > fence:
            raise exceptions.LeaseLost(
                f"task {task_id} is no longer held by claim {fence}"
            )
        if claims and claims[0] < fence:
            # Who held it before may have ended just now and removed it.
            with contextlib.suppress(FileNotFoundError):
                os.rename(home / str(claims[0]), mine)
        mine.mkdir(mode=0o700, exist_ok=True)
        self._remove_claims(home, fence - 1)
        return mine

    def remove(self, task_id: str, fence: int) -> None:
        """Remove what this claim and those before it have."""
        home = self.root / task_id
        if home.is_dir():
            self._remove_claims(home, fence)
            with contextlib.suppress(OSError):
                home.rmdir()

    def _remove_claims(self, home: pathlib.Path, last: int) -> None:
        for number in self._claims(home):
            if number <= last:
                shutil.rmtree(home / str(number), ignore_errors=True)

    def sweep(self, task_id: str) -> None:
        """Remove everything of a task that has ended."""
        shutil.rmtree(self.root / task_id, ignore_errors=True)

    def task_ids(self) -> Iterator[str]:
        """Give the ids of the tasks that have a directory here."""
        if not self.root.is_dir():
            return
        for entry in os.scandir(self.root):
            with contextlib.suppress(ValueError):
                yield str(uuid.UUID(entry.name))

    @staticmethod
    def _claims(home: pathlib.Path) -> list[int]:
        return [int(e.name) for e in os.scandir(home) if e.name.isdigit()]
