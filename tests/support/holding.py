# SPDX-License-Identifier: Apache-2.0
"""Threads that are held up in the midst of what they do to a database."""

from collections.abc import Callable
import threading
from typing import Any

import glance_tasks as gt


class Held:
    """Holds up one call of a database's driver until it is let go."""

    def __init__(
        self,
        engine: gt.TaskEngine,
        name: str,
        *,
        when: Callable[[str], bool] = lambda statement: True,
        late: bool = False,
    ) -> None:
        """Hold up the first ``name`` of the engine's dialect.

        :param late: after it is done, not before
        """
        self.reached, self.go = threading.Event(), threading.Event()
        self._dialect = engine.database.engine.dialect
        self._name, self._when, self._late = name, when, late

    def __enter__(self) -> "Held":
        inner = getattr(self._dialect, self._name)

        def held(*args: Any, **kwargs: Any) -> None:
            if self._late:
                inner(*args, **kwargs)
            statement = args[1] if len(args) > 1 else ""
            if not self.reached.is_set() and self._when(statement):
                self.reached.set()
                assert self.go.wait(60)
            if not self._late:
                inner(*args, **kwargs)

        setattr(self._dialect, self._name, held)
        return self

    def __exit__(self, *_: object) -> None:
        self.go.set()
        delattr(self._dialect, self._name)


def in_thread(
    work: Callable[[], Any],
) -> tuple[threading.Thread, list[Any]]:
    """Run ``work`` in a thread; its result or error is in the list."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(work())
        except BaseException as error:  # noqa: BLE001 - looked at by the test
            outcome.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, outcome
