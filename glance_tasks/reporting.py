# SPDX-License-Identifier: Apache-2.0
"""What a run reports: its progress and its timeline, written in batches.

Atoms report from their own threads, as often as they like; the conductor's
pulse writes what has changed, about once a second, in one transaction. What
was not yet written is lost with the process: nothing a restart needs.
"""

from collections.abc import Mapping
import contextlib
import datetime
import math
import threading
import time
from typing import Any

from glance_tasks import exceptions
from glance_tasks import redaction
from glance_tasks import task
from glance_tasks.persistence import events
from glance_tasks.persistence import failures
from glance_tasks.persistence import repository

# A line of a timeline; a traceback, which is longer, is in its detail.
_MAX_TEXT = 2 * 1024
_MAX_DETAIL = 32 * 1024


def _clean(value: Any, hidden: redaction.Hidden | None) -> Any:
    """Give what a plugin noted as JSON that can be stored, whatever it is."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {
            redaction.clean(str(key), _MAX_TEXT, hidden): _clean(held, hidden)
            for key, held in value.items()
        }
    if isinstance(value, list | tuple):
        return [_clean(held, hidden) for held in value]
    return redaction.clean(str(value), _MAX_DETAIL, hidden)


class Report:
    """One run's progress and timeline; implements two ports.

    It is the :class:`glance_tasks.ports.Progress` and the
    :class:`glance_tasks.ports.EventLog` of the run's atoms. Safe to share
    between threads.

    :ivar hidden: secrets that were revealed; nothing that is stored shows them
    """

    def __init__(
        self,
        tasks: repository.TaskRepository,
        held: task.Task,
    ) -> None:
        """Report for the claim that ``held`` was read with."""
        self.hidden = redaction.Hidden()
        self._tasks = tasks
        self._held = held
        self._lock = threading.Lock()
        # The pulse and the run's own thread both write; in order, please.
        self._writing = threading.Lock()
        self._phase = held.phase
        self._progress: dict[str, Any] = dict(held.progress)
        self._pending: list[events.Event] = []
        self._changed = False
        self._advanced = False
        self._advanced_once = False
        # By the monotonic clock: since when atoms work, and the last move.
        self._working: dict[str, float] = {}
        self._moved = time.monotonic()

    # --- from the run --------------------------------------------------------

    def step(self, name: str, phase: task.Phase) -> None:
        """Say which atom is at work, and what the task shows meanwhile."""
        with self._lock:
            self._moved = self._working[name] = time.monotonic()
            self._progress = {
                "step": name,
                "done_bytes": 0,
                "total_bytes": None,
                "ratio": 0.0,
            }
            if phase in task.AT_WORK and task.may_move(self._phase, phase):
                self._phase = phase
            self._changed = True

    def done(self, name: str) -> None:
        """Say that an atom is no longer at work."""
        with self._lock:
            self._working.pop(name, None)
            self._moved = time.monotonic()

    def append(
        self,
        kind: str,
        text: str = "",
        *,
        atom: str | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        """Note an event; written with the next flush."""
        hidden = self.hidden
        event = events.Event(
            at=datetime.datetime.now(datetime.UTC),
            kind=redaction.clean(kind, 64, hidden)[:64],
            text=redaction.clean(text, _MAX_TEXT, hidden),
            atom=atom and redaction.clean(atom, 255, hidden)[:255],
            detail=_clean(detail, hidden),
        )
        with self._lock:
            self._pending.append(event)
            self._changed = True

    def reduce(self, failure: Any, step: str | None) -> dict[str, Any]:
        """Give what is kept of a failure of the atom named ``step``."""
        return failures.reduce(failure, step, self.hidden)

    def clean(self, text: str) -> str:
        """Give a text that may be stored."""
        return redaction.clean(text, _MAX_TEXT, self.hidden)

    @property
    def transferring(self) -> bool:
        """Whether bytes come from, or go to, far ends."""
        with self._lock:
            return self._phase is task.Phase.TRANSFERRING

    @property
    def undoing(self) -> bool:
        """Whether what was done is being undone."""
        with self._lock:
            return self._phase is task.Phase.REVERTING

    def working(self) -> dict[str, float]:
        """Give for how many seconds each atom is at work."""
        now = time.monotonic()
        with self._lock:
            return {name: now - at for name, at in self._working.items()}

    def idle(self) -> float:
        """Give for how many seconds no atom has moved."""
        with self._lock:
            return time.monotonic() - self._moved

    # --- from the atom at work -----------------------------------------------

    def bytes(self, done: int, total: int | None) -> None:
        """Report bytes of the atom at work."""
        with self._lock:
            if done != self._progress.get("done_bytes"):
                self._moved = time.monotonic()
            self._progress["done_bytes"] = done
            self._progress["total_bytes"] = total
            self._progress["ratio"] = round(done / total, 4) if total else 0.0
            self._changed = True

    def advanced(self) -> None:
        """Report that the run would not have to begin again."""
        with self._lock:
            self._moved = time.monotonic()
            self._advanced = self._changed = True
            first, self._advanced_once = not self._advanced_once, True
        if first:
            # At once: a run killed within a second has moved all the same.
            # With the database away the pulse writes it later.
            with contextlib.suppress(exceptions.DatabaseUnreachable):
                self.flush()

    # --- to the database -----------------------------------------------------

    def flush(self) -> bool:
        """Write what has changed since the last time.

        :returns: False when another claim holds the task
        :raises DatabaseUnreachable: when the database is away; nothing is
            lost, the next call writes it
        """
        with self._writing:
            with self._lock:
                if not self._changed:
                    return True
                progress, phase = dict(self._progress), self._phase
                advanced, happened = self._advanced, self._pending
                self._changed = self._advanced = False
                self._pending = []
            try:
                return self._tasks.note(
                    self._held.id,
                    self._held.fence,
                    phase=phase,
                    progress=progress,
                    advanced=advanced,
                    happened=happened,
                )
            except BaseException:
                with self._lock:
                    self._pending = happened + self._pending
                    self._advanced = advanced or self._advanced
                    self._changed = True
                raise

    def drain(self) -> list[events.Event]:
        """Give the events not yet written, for the outcome's transaction."""
        with self._writing, self._lock:
            happened, self._pending = self._pending, []
            self._changed = False
            return happened
