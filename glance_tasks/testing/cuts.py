# SPDX-License-Identifier: Apache-2.0
"""Power cuts at writes to the database, in one process.

A :class:`Cutter` counts what an engine writes and, at the chosen write, ends
everything with :class:`PowerCut`: from then on each further write raises it
too, as if the process were gone. Then another engine goes on with what is on
disk.
"""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import dataclasses
import threading
from typing import Any
from typing import Literal

import sqlalchemy as sa

_READS = ("SELECT", "PRAGMA", "BEGIN", "SHOW", "EXPLAIN", "SET", "ROLLBACK")
_DDL = ("CREATE", "ALTER", "DROP")


class PowerCut(BaseException):
    """The end of a process; no code of ours knows it."""


@dataclasses.dataclass(frozen=True)
class Cut:
    """Which write is cut, and on which side of it; the first is number 1."""

    write: int
    side: Literal["before", "after"]

    def __str__(self) -> str:
        return f"cut {self.side} write {self.write}"


class Cutter:
    """Counts the writes of an engine and cuts at one of them.

    A write is a transaction that changed something, or one statement on a
    connection that commits by itself.

    :ivar writes: how many there were so far
    :ivar fired: whether the cut came
    """

    def __init__(self, cut: Cut | None = None, *, ddl: bool = False) -> None:
        """Cut at ``cut``, or only count.

        :param ddl: count each CREATE as a write, for databases that commit it
        """
        self.writes = 0
        self.fired = False
        self._cut = cut
        self._ddl = ddl
        self._lock = threading.RLock()
        self._dirty: set[int] = set()

    @contextlib.contextmanager
    def watching(self, *watched: sa.Engine) -> Iterator[None]:
        """Count, and cut, what these engines write during the block."""
        with contextlib.ExitStack() as stack:
            for dialect in {
                id(e.dialect): e.dialect for e in watched
            }.values():
                for name in ("do_execute", "do_executemany"):
                    stack.enter_context(
                        replaced(dialect, name, self._executing)
                    )
                stack.enter_context(
                    replaced(dialect, "do_commit", self._committing)
                )
            yield

    def _executing(
        self,
        inner: Callable[..., Any],
        cursor: Any,
        statement: str,
        *args: Any,
    ) -> None:
        word = statement.lstrip().partition(" ")[0].upper()
        if word in _READS:
            inner(cursor, statement, *args)
        elif _commits_itself(cursor.connection) or (
            self._ddl and word in _DDL
        ):
            self._write(lambda: inner(cursor, statement, *args))
        else:
            inner(cursor, statement, *args)
            self._dirty.add(id(cursor.connection))

    def _committing(self, inner: Callable[..., Any], connection: Any) -> None:
        real = getattr(connection, "dbapi_connection", connection)
        with self._lock:
            changed = id(real) in self._dirty
            self._dirty.discard(id(real))
        if changed:
            self._write(lambda: inner(connection))
        else:
            inner(connection)

    def _write(self, write: Callable[[], None]) -> None:
        with self._lock:
            if self.fired:
                raise PowerCut("the power is off")
            self.writes += 1
            here = self._cut is not None and self.writes == self._cut.write
            if here and self._cut is not None and self._cut.side == "before":
                self.fired = True
                raise PowerCut(str(self._cut))
            write()
            if here:
                self.fired = True
                raise PowerCut(str(self._cut))


def _commits_itself(connection: Any) -> bool:
    if hasattr(connection, "get_autocommit"):  # pymysql
        return bool(connection.get_autocommit())
    # sqlite3 has an attribute of that name from Python 3.12 on, a number.
    return getattr(connection, "autocommit", False) is True


@contextlib.contextmanager
def replaced(
    owner: Any, name: str, wrapper: Callable[..., Any]
) -> Iterator[None]:
    """Have a method of ``owner`` called through ``wrapper`` for the block.

    :param wrapper: is given the method as it was, and what that is called with
    """
    own, inner = vars(owner).get(name), getattr(owner, name)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return wrapper(inner, *args, **kwargs)

    setattr(owner, name, wrapped)
    try:
        yield
    finally:
        if own is None:
            delattr(owner, name)
        else:
            # There is a block around this one.
            setattr(owner, name, own)


def every_cut(writes: int) -> list[Cut]:
    """Give the cuts before and after each of ``writes`` writes."""
    sides: tuple[Literal["before", "after"], ...] = ("before", "after")
    return [Cut(n, side) for n in range(1, writes + 1) for side in sides]
