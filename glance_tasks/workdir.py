# SPDX-License-Identifier: Apache-2.0
"""The work directories of running tasks: ``ROOT/TASK ID/FENCE/``.

A claim renames the directory of the one before it. So whatever a frozen
predecessor opens, links or unlinks by path after it thaws is not there any
more: the file system itself is the fence. What it has open already it can
still write to; where it may be alive, its successor works on copies.
"""

from collections.abc import Callable
import contextlib
import os
import pathlib
import shutil
import subprocess

from glance_tasks import belonging
from glance_tasks import exceptions

_SHARED = "shared"
# Of a copy that is being made.
_DRAFT = ".new"


class WorkArea(belonging.TaskDirectories):
    """All work directories of this machine; safe to share between threads."""

    def take(
        self,
        task_id: str,
        fence: int,
        *,
        apart: bool = False,
        check: Callable[[], None] = lambda: None,
    ) -> pathlib.Path:
        """Give the directory of this claim, with what earlier ones left.

        :param apart: give copies, because whoever held the task may be frozen
            with its files open, and write into them when it thaws
        :param check: called while copying; leaves by raising
        :raises LeaseLost: when a later claim has taken it
        :raises OSError: when it cannot be made
        """
        home = self._home(task_id)
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._mark.put(home)
        mine, shared = self.path(task_id, fence), home / _SHARED
        claims = sorted(self._claims(home), reverse=True)
        if claims and claims[0] > fence:
            raise self._lost(task_id, fence)
        # One that is there already was taken apart by a claim that died over
        # it; what is in there is still shared.
        if claims and claims[0] < fence and not shared.exists():
            # Who held it before may have ended just now and removed it.
            with contextlib.suppress(FileNotFoundError):
                os.rename(home / str(claims[0]), shared if apart else mine)
        if shared.exists():
            try:
                _copy(shared, mine, check)
            except _DraftGone:
                raise self._lost(task_id, fence) from None
        mine.mkdir(mode=0o700, exist_ok=True)
        self._remove_claims(home, fence - 1)
        return mine

    @staticmethod
    def _lost(task_id: str, fence: int) -> exceptions.LeaseLost:
        return exceptions.LeaseLost(
            f"task {task_id} is no longer held by claim {fence}"
        )

    def path(self, task_id: str, fence: int) -> pathlib.Path:
        """Give the place of a claim's directory, there or not."""
        return self._home(task_id) / str(fence)

    def remove(self, task_id: str, fence: int) -> None:
        """Remove what this claim and those before it have."""
        home = self._home(task_id)
        if home.is_dir():
            self._remove_claims(home, fence)
            if not any(self._claims(home)):
                self._mark.lift(home)
                try:
                    home.rmdir()
                except OSError:
                    # What a cut copy was made of is there still, for the
                    # sweep.
                    self._mark.put(home)

    @staticmethod
    def _remove_claims(home: pathlib.Path, last: int) -> None:
        """Remove what claims up to ``last`` have, and copies they began.

        A frozen one would put its copy in place when it thaws.
        """
        for entry in os.scandir(home):
            number = entry.name.removesuffix(_DRAFT)
            if number.isdigit() and int(number) <= last:
                shutil.rmtree(entry.path, ignore_errors=True)

    @staticmethod
    def _claims(home: pathlib.Path) -> list[int]:
        return [int(e.name) for e in os.scandir(home) if e.name.isdigit()]


class _DraftGone(Exception):
    """A later claim has removed the copy that was made."""


def _copy(
    shared: pathlib.Path, mine: pathlib.Path, check: Callable[[], None]
) -> None:
    """Copy a directory, durably, whole or not at all; then remove it.

    By cp: it shares blocks where the file system can, and keeps holes.

    :raises _DraftGone: when there is nothing left to put in place
    """
    draft = mine.with_name(f"{mine.name}{_DRAFT}")
    shutil.rmtree(draft, ignore_errors=True)
    copying = subprocess.Popen(
        ["cp", "-a", "--reflink=auto", shared, draft],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while _runs(copying):
            check()
    finally:
        copying.kill()
        copying.wait()
    if copying.returncode:
        # Without room for a copy: begin again, with nothing shared.
        shutil.rmtree(draft, ignore_errors=True)
    else:
        try:
            for file in draft.iterdir():
                _sync(file)
            os.rename(draft, mine)
        except FileNotFoundError as error:
            raise _DraftGone from error
    shutil.rmtree(shared, ignore_errors=True)


def _runs(process: "subprocess.Popen[bytes]") -> bool:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(0.25)
        return False
    return True


def _sync(path: pathlib.Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
