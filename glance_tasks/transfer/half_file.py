# SPDX-License-Identifier: Apache-2.0
"""What is there of a file before it has its name.

It lies beside its place as ``.NAME.TOKEN.RUN.part``, and whoever takes a task
over gives it another name. So a run that was frozen meanwhile finds none by
its own, and writes nothing into what is its successor's.
"""

from collections.abc import Iterator
import contextlib
import errno
import os
import re

_OPEN = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC

#: The group may read; nobody writes what is whole.
_MODE = 0o640


class HalfFile:
    """The half file of one run; every method takes its directory, open."""

    def __init__(self, name: str, token: str, number: int) -> None:
        """Name it.

        :param name: of the file that it becomes
        :param number: of the run; those before it have smaller ones
        """
        self.name = f".{name}.{token}.{number}.part"
        start = re.escape(f".{name}.{token}.")
        self._any = re.compile(rf"{start}(\d+)\.part")
        self._number = number

    def take_over(self, directory: int) -> None:
        """Make it, of what the run before has left if there is anything.

        :raises OSError: as the file system says
        """
        earlier = self._of_others(directory)
        if earlier:
            os.rename(
                earlier.pop(),
                self.name,
                src_dir_fd=directory,
                dst_dir_fd=directory,
            )
        for name in earlier:
            _unlink(name, directory)
        os.close(
            os.open(self.name, _OPEN | os.O_CREAT, _MODE, dir_fd=directory)
        )

    def _of_others(self, directory: int) -> list[str]:
        """Give the names of those of earlier runs, the last one last."""
        found = (self._any.fullmatch(name) for name in os.listdir(directory))
        numbers = {int(name[1]): name[0] for name in found if name}
        return [numbers[n] for n in sorted(numbers) if n < self._number]

    @contextlib.contextmanager
    def opened(self, directory: int) -> Iterator[int]:
        """Give its descriptor.

        :raises FileNotFoundError: when another run has taken it over
        """
        fd = os.open(self.name, _OPEN, dir_fd=directory)
        try:
            yield fd
        finally:
            os.close(fd)

    def require(self, fd: int, directory: int) -> None:
        """Look that what was opened is still this run's.

        :raises FileNotFoundError: when another run has taken it over
        """
        named = os.stat(self.name, dir_fd=directory, follow_symlinks=False)
        if not os.path.samestat(named, os.fstat(fd)):
            raise FileNotFoundError(errno.ENOENT, "is another file now")

    def remove(self, directory: int) -> None:
        """Remove it, and those of earlier runs; absence is no error."""
        for name in (*self._of_others(directory), self.name):
            _unlink(name, directory)


def _unlink(name: str, directory: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=directory)
