# SPDX-License-Identifier: Apache-2.0
"""A hand on living tasks: cancel, pause and resume, from any process.

What is asked is written down with the task. The conductor that holds it reads
that twice a second; the lease of one that is dead or frozen ends within
``boards.CALL_S``, and whoever claims the task next does what was asked.
"""

from collections.abc import Callable
from typing import TypeVar

from glance_tasks import boards
from glance_tasks import exceptions
from glance_tasks import redaction
from glance_tasks import retention
from glance_tasks import task
from glance_tasks import verdicts
from glance_tasks.persistence import controls as rows
from glance_tasks.persistence import database as db
from glance_tasks.persistence import events
from glance_tasks.persistence import failures
from glance_tasks.persistence import locks
from glance_tasks.persistence import repository
from glance_tasks.secrets import vault

_Given = TypeVar("_Given")

_UNDOING = (task.Phase.CANCELLING, task.Phase.REVERTING)
_PAUSED = (task.Phase.PAUSING, task.Phase.PAUSED)


class Controls:
    """Asks things of the tasks of one database; safe to share."""

    def __init__(
        self,
        database: db.Database,
        tasks: repository.TaskRepository,
        board: boards.Board,
        secrets: vault.Vault,
        kept: Callable[[], retention.Retention],
    ) -> None:
        """Use what an engine has.

        :param kept: gives for how long tasks that end now are kept
        """
        self._database = database
        self._tasks = tasks
        self._board = board
        self._secrets = secrets
        self._kept = kept

    # --- for those who ask ---------------------------------------------------

    def cancel(
        self, task_id: str, requester: task.Requester | None, reason: str
    ) -> None:
        """Ask for a task to be undone; see :meth:`TaskEngine.cancel`."""
        note = _note(requester, reason)

        def write(connection: db.Connection, held: task.Task) -> bool:
            if held.control is task.Control.CANCEL:
                return False
            _add(connection, held, "cancel_requested", note)
            never_ran = held.started_at is None
            if never_ran:
                self._end(connection, held, note)
            else:
                self._call(connection, held, task.Control.CANCEL, note)
            return never_ran

        if self._ask(task_id, requester, write):
            self._secrets.forget(task_id)

    def pause(
        self, task_id: str, requester: task.Requester | None, reason: str
    ) -> None:
        """Ask for a task to be left where it is; see TaskEngine.pause."""
        note = _note(requester, reason)

        def write(connection: db.Connection, held: task.Task) -> None:
            if held.phase in _PAUSED:
                return
            if held.control or held.phase in _UNDOING:
                raise exceptions.TaskConflict(
                    f"task {held.id} is being undone; it can only be paused"
                    " before that"
                )
            _add(connection, held, "pause_requested", note)
            if self._board.withdraw(connection, held.id):
                rows.ask(connection, held, task.Phase.PAUSED)
                _add(connection, held, "paused")
            else:
                self._call(connection, held, task.Control.PAUSE, note)

        self._ask(task_id, requester, write)

    def resume(self, task_id: str, requester: task.Requester | None) -> None:
        """Let a paused task go on; see :meth:`TaskEngine.resume`."""
        note = _note(requester, "")

        def write(connection: db.Connection, held: task.Task) -> None:
            if held.phase not in _PAUSED:
                raise exceptions.TaskConflict(
                    f"task {held.id} is {held.phase}; only a paused task can"
                    " be resumed"
                )
            _add(connection, held, "resumed", note)
            if held.phase is task.Phase.PAUSING:
                # Who holds it may not even have heard that it should leave.
                rows.ask(connection, held, task.Phase.PROCESSING)
                return
            rows.ask(connection, held, task.Phase.QUEUED)
            self._post(connection, held)

        self._ask(task_id, requester, write)

    def _ask(
        self,
        task_id: str,
        requester: task.Requester | None,
        write: Callable[[db.Connection, task.Task], _Given],
    ) -> _Given:
        """Write something about a living task, in one transaction.

        :raises TaskConflict: when it has ended
        """

        def locked(connection: db.Connection) -> _Given:
            held = self._tasks.lock(connection, task_id, requester)
            if held.ended:
                raise exceptions.TaskConflict(
                    f"task {held.id} has ended already, as {held.status}"
                )
            return write(connection, held)

        return self._database.transact(locked)

    def _call(
        self,
        connection: db.Connection,
        held: task.Task,
        control: task.Control,
        note: str,
    ) -> None:
        """Write what is asked, and have whoever holds the task look at it."""
        cancelled = control is task.Control.CANCEL
        shown = task.Phase.CANCELLING if cancelled else task.Phase.PAUSING
        # What is being undone already goes on with that.
        phase = shown if task.may_move(held.phase, shown) else held.phase
        rows.ask(connection, held, phase, control, note)
        if held.phase is task.Phase.PAUSED:
            self._post(connection, held)
        self._board.call(connection, held.id, urgent=cancelled)

    def _post(self, connection: db.Connection, held: task.Task) -> None:
        if locks.waiting(connection, held.id):
            return
        self._board.post(
            connection,
            held.id,
            held.priority,
            again=held.started_at is not None,
        )

    def _end(
        self, connection: db.Connection, held: task.Task, note: str
    ) -> None:
        """End a task that nobody ever claimed: there is nothing to undo."""
        self._board.withdraw(connection, held.id)
        failure = failures.of_error(verdicts.cancelled(note))
        kept = self._kept().seconds(held.type, failed=True)
        ending = repository.Ending(kept, failure=failure)
        ended = events.now("failed", failure.message, code=failure.code)
        self._tasks.close(
            *(connection, held.id, held.fence, ending, [ended]),
            self._board.post,
        )

    # --- for those who hold tasks --------------------------------------------

    def leave(self, claim: boards.Claim, *, aside: bool = False) -> str:
        """Let go of a task that can go on: paused, if that was asked.

        :param aside: whether it is set aside then, and not given back
        :returns: in a word what became of it
        :raises DatabaseUnreachable: when the database is away; its lease
            lapses
        """

        def write(connection: db.Connection) -> str:
            held = self._tasks.lock(connection, claim.task.id)
            if held.fence != claim.task.fence:
                return "its lease was lost"
            if rows.paused(connection, claim.task):
                self._board.withdraw(connection, claim.task.id, claim)
                _add(connection, claim.task, "paused")
                return "paused"
            # What was asked meanwhile is to be heard at once.
            if aside and held.control == claim.task.control:
                self._board.set_aside(connection, claim)
                return "set aside"
            return "given back"

        left = self._database.transact(write)
        if left == "given back" and not self._board.give_back(claim):
            left = "its lease was lost"
        return left


def _note(requester: task.Requester | None, reason: str) -> str:
    """Say who asks and why, as its owner and the operator may read it."""
    task.check_texts(reason=reason)
    who = "the operator"
    if requester is not None:
        who = f"user {requester.user_id}" if requester.user_id else "its owner"
    return f"by {who}" + (f": {redaction.redact(reason)}" if reason else "")


def _add(
    connection: db.Connection, held: task.Task, kind: str, text: str = ""
) -> None:
    events.add(connection, held.id, [events.now(kind, text)])
