# SPDX-License-Identifier: Apache-2.0
"""Whose a task's directory is: proof, once its task is known no more.

Two services with databases of their own may share a directory. A task that
the database does not know is the other one's, or was reaped long ago: only a
mark that was made with the directory tells.
"""

import contextlib
import pathlib


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
