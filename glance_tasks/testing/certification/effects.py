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
from glance_tasks.testing import cuts

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

    @contextlib.contextmanager
    def watching(self, database: sa.Engine) -> Iterator[None]:
        """Take SQLite's transactions for effects during the block.

        Its alone are begun by a statement; what a frozen process holds of the
        others' their servers end.
        """
        with contextlib.ExitStack() as stack:
            # Not by events: those of an end come before a disk has been waited
            # for, that of a beginning behind the one which takes the lock.
            for name, wrapper in (
                ("do_execute", self._executing),
                ("do_commit", self._ending),
                ("do_rollback", self._ending),
            ):
                stack.enter_context(
                    cuts.replaced(database.dialect, name, wrapper)
                )
            yield

    def _executing(
        self,
        inner: Callable[..., Any],
        cursor: Any,
        statement: str,
        *args: Any,
    ) -> None:
        if statement.startswith("BEGIN"):
            self.begin(_TRANSACTION)
        inner(cursor, statement, *args)

    def _ending(self, inner: Callable[..., Any], connection: Any) -> None:
        try:
            inner(connection)
        finally:
            self.end(_TRANSACTION)

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
