# SPDX-License-Identifier: Apache-2.0
"""The moments in which a process with several threads is not frozen.

Between asking the fence and the effect that it was asked for: who is frozen
there makes it when it thaws, however well it is written. And in a transaction,
which would keep SQLite from everybody else.
"""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import threading
from typing import Any

import sqlalchemy as sa

from glance_tasks import ports

# Seconds; an effect that takes longer is one to be frozen in.
_PATIENCE_S = 5.0

_FENCE, _TRANSACTION = "fence", "transaction"


class Effects:
    """Which threads are about to make one; for all threads."""

    def __init__(self) -> None:
        """Begin with none."""
        self._changed = threading.Condition()
        self._busy: set[tuple[int, str]] = set()
        self._held = False

    def begin(self, kind: str = _FENCE) -> None:
        """Say that this thread begins one; waits while none may."""
        with self._changed:
            me = threading.get_ident()
            if all(thread != me for thread, _ in self._busy):
                self._changed.wait_for(lambda: not self._held)
            self._busy.add((me, kind))

    def end(self, kind: str = _FENCE) -> None:
        """Say that this thread makes none of that kind now."""
        with self._changed:
            self._busy.discard((threading.get_ident(), kind))
            self._changed.notify_all()

    def watch(self, database: sa.Engine) -> None:
        """Take every transaction for an effect."""

        def begun(connection: sa.Connection) -> None:
            self.begin(_TRANSACTION)

        def ending(plain: Callable[[Any], None]) -> Callable[[Any], None]:
            def end(connection: Any) -> None:
                try:
                    plain(connection)
                finally:
                    self.end(_TRANSACTION)

            return end

        sa.event.listen(database, "begin", begun)
        # Their events come before a disk has been waited for, and that of a
        # beginning behind the one by which SQLite takes its lock.
        dialect: Any = database.dialect
        execute = dialect.do_execute

        def do_execute(cursor: Any, statement: str, *more: Any) -> None:
            if statement.startswith("BEGIN"):
                self.begin(_TRANSACTION)
            execute(cursor, statement, *more)

        dialect.do_execute = do_execute
        dialect.do_commit = ending(dialect.do_commit)
        dialect.do_rollback = ending(dialect.do_rollback)

    @contextlib.contextmanager
    def none(self) -> Iterator[None]:
        """Let others make none for the block, once they have made theirs."""
        me = threading.get_ident()
        with self._changed:
            self._held = True
            self._changed.wait_for(
                lambda: all(thread == me for thread, _ in self._busy),
                _PATIENCE_S,
            )
        try:
            yield
        finally:
            with self._changed:
                self._held = False
                self._changed.notify_all()


class Fence:
    """A run's fence that tells who asks it."""

    def __init__(self, fence: ports.Fence, effects: Effects) -> None:
        """Let ``fence`` decide."""
        self._fence, self._effects = fence, effects

    @property
    def number(self) -> int:
        """This run's number; that of any successor is larger."""
        return self._fence.number

    def check(self) -> None:
        """Return while this run holds the task; see the port."""
        self._effects.begin()
        self._fence.check()
