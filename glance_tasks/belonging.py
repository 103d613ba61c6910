# SPDX-License-Identifier: Apache-2.0
"""Whose a task's directory is: proof, once its task is known no more.

Two services with databases of their own may share a directory. A task that
the database does not know is the other one's, or was reaped long ago: only a
mark that was made with the directory tells.
"""

import contextlib
import pathlib

_MARK = ".database"


class Mark:
    """The mark of one database; safe to share between threads."""

    def __init__(self, identity: str = "") -> None:
        """Mark with ``identity``; without one nothing is marked or ours."""
        self._identity = identity

    def put(self, home: pathlib.Path) -> None:
        """Mark a directory that there is.

        :raises OSError: when it cannot be written to
        """
        mark = home / _MARK
        # One that was cut while it was written is empty.
        if self._identity and not (mark.exists() and mark.stat().st_size):
            mark.write_text(self._identity)

    def lift(self, home: pathlib.Path) -> None:
        """Take the mark off, so that the directory can be empty."""
        (home / _MARK).unlink(missing_ok=True)

    def is_on(self, home: pathlib.Path) -> bool:
        """Tell whether a directory bears this mark."""
        with contextlib.suppress(OSError):
            found = (home / _MARK).read_text()
            return bool(self._identity) and found == self._identity
        return False
