# SPDX-License-Identifier: Apache-2.0
"""A disk that is full after so many bytes."""

import pathlib
import subprocess

from glance_tasks.testing import fixture


class DiskAbsent(Exception):
    """A file system cannot be mounted here; only root may."""


class FullDisk(fixture.PlainFixture):
    """A file system in memory that has room for so many bytes.

    It is mounted at a directory while the fixture is set up, and whatever is
    written there is gone afterwards. ``setUp`` raises :class:`DiskAbsent`
    where nothing may be mounted. Tests that are killed leave it mounted.

    :ivar path: the directory
    """

    def __init__(
        self,
        path: pathlib.Path,
        room_bytes: int,
        *,
        read_only: bool = False,
    ) -> None:
        """Choose the place; ``path`` is made when it does not exist.

        :param room_bytes: rounded up to whole pages; every file takes whole
            pages too
        """
        super().__init__()
        if room_bytes < 1:
            # To tmpfs 0 is no limit at all.
            raise ValueError(
                f"a disk with room for {room_bytes} bytes; expected 1 or more"
            )
        self.path = path
        self._options = f"size={room_bytes},mode=700"
        if read_only:
            self._options += ",ro"

    def _setUp(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        words = ["-t", "tmpfs", "-o", self._options, "tmpfs", str(self.path)]
        try:
            done = subprocess.run(
                ["mount", *words], capture_output=True, text=True, check=False
            )
        except FileNotFoundError as error:
            raise DiskAbsent("there is no program mount") from error
        if done.returncode:
            raise DiskAbsent(
                f"mount ended with {done.returncode}: {done.stderr.strip()};"
                " expected to run as root, with the right to mount"
            )
        self.addCleanup(self._unmount)

    def _unmount(self) -> None:
        subprocess.run(["umount", str(self.path)], check=True)
