# SPDX-License-Identifier: Apache-2.0
"""Which conductors of this machine are alive: a locked file each.

The kernel drops the lock of a process that dies, however it dies, and keeps
that of one that is frozen. So the tasks of a conductor that was killed go on
as soon as another looks, instead of after their leases.
"""

from collections.abc import Iterator
import contextlib
import fcntl
import os
import pathlib

from glance_tasks import task

_FOLDER = ".conductors"


class Presence:
    """This conductor's locked file, held until :meth:`leave`."""

    def __init__(self, root: pathlib.Path, name: str) -> None:
        """Be alive as ``name`` among those who work under ``root``.

        :raises OSError: when the file cannot be made
        """
        folder = root / _FOLDER
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = folder / name
        self._file = self._path.open("w")
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def leave(self) -> None:
        """Be gone, in good order."""
        self._path.unlink(missing_ok=True)
        self._file.close()


def dead(root: pathlib.Path) -> Iterator[str]:
    """Give the names of conductors that died, each with its file locked.

    The file goes after the caller has dealt with the name; a caller that dies
    over it leaves it for the next one.
    """
    for path in _files(root):
        with contextlib.suppress(FileNotFoundError), path.open("r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            if _is_still(path, file.fileno()):
                yield path.name
                path.unlink(missing_ok=True)


def fate(root: pathlib.Path, name: str) -> task.StallReason:
    """Tell what became of a conductor that gives no sign of life any more.

    Known of one that worked under ``root``; of another machine's it is that
    it is lost. One that is just being buried looks frozen for a moment.
    """
    try:
        with (root / _FOLDER / name).open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return task.StallReason.CONDUCTOR_FROZEN
    except OSError:
        return task.StallReason.CONDUCTOR_LOST
    return task.StallReason.CONDUCTOR_DIED


def any_alive(root: pathlib.Path) -> bool:
    """Tell whether a conductor works under ``root`` on this machine."""
    for path in _files(root):
        with contextlib.suppress(FileNotFoundError), path.open("r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
    return False


def _files(root: pathlib.Path) -> list[pathlib.Path]:
    folder = root / _FOLDER
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _is_still(path: pathlib.Path, descriptor: int) -> bool:
    # Between open and lock its owner may have left in good order.
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
