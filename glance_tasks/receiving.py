# SPDX-License-Identifier: Apache-2.0
"""Taking in bytes for tasks that wait for them, from whoever has them."""

from collections.abc import Iterator
import contextlib
import errno
import pathlib
import time
from typing import BinaryIO

from glance_tasks import boards
from glance_tasks import context
from glance_tasks import exceptions
from glance_tasks import ports
from glance_tasks import task
from glance_tasks.atoms import receive
from glance_tasks.persistence import repository
from glance_tasks.transfer import order as orders
from glance_tasks.transfer import reception
from glance_tasks.transfer import staging

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

# How often it is asked whether the task still waits.
_LOOK_S = 5.0


class _Awaited:
    """Stops a reception whose task has ended; a stop signal, and progress.

    A task tells of its progress while it runs, and this one does not.
    """

    def __init__(self, tasks: repository.TaskRepository, task_id: str) -> None:
        self._tasks, self._id = tasks, task_id
        self._looked = time.monotonic()

    def check(self) -> None:
        if time.monotonic() - self._looked > _LOOK_S:
            self._looked = time.monotonic()
            # The stream may be one that cannot be had again.
            with contextlib.suppress(exceptions.DatabaseUnreachable):
                _require_awaited(self._tasks.get(self._id, None))

    @contextlib.contextmanager
    def undoing(self) -> Iterator[None]:
        yield

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)
        self.check()

    def bytes(self, done: int, total: int | None) -> None:
        pass

    def advanced(self) -> None:
        pass


class Receiver:
    """Takes in bytes for the tasks of an engine; for any thread."""

    def __init__(
        self,
        tasks: repository.TaskRepository,
        board: boards.Board,
        area: staging.StagingArea,
        limits: context.Limits,
    ) -> None:
        """Take in what ``limits`` allow for one task."""
        self._tasks, self._board, self._area = tasks, board, area
        self._max_bytes = limits.upload_max_bytes

    def receive(
        self,
        waiting: task.Task,
        source: BinaryIO,
        offset: int,
        length: int | None,
    ) -> ports.Staged:
        """Take in bytes; see :meth:`TaskEngine.receive`."""
        _require_awaited(waiting)
        try:
            with self._held(waiting.id) as path:
                staged = self._take(waiting, path, source, offset, length)
        except OSError as error:
            raise self._in_words(waiting.id, error) from error
        if staged.whole:
            self._board.wake(0, waiting.id)
        return staged

    def _take(
        self,
        waiting: task.Task,
        path: pathlib.Path,
        source: BinaryIO,
        offset: int,
        length: int | None,
    ) -> ports.Staged:
        signal = _Awaited(self._tasks, waiting.id)
        order = orders.Order(
            uri=staging.reception_uri(waiting.id),
            path=path,
            algorithms=tuple(waiting.plan[receive.PLANNED]),
            max_bytes=self._max_bytes,
            stop=signal,
            progress=signal,
        )
        total = waiting.input.get("size")
        with contextlib.closing(reception.Reception(order, total)) as taking:
            if offset != taking.offset:
                raise exceptions.TaskConflict(
                    f"the bytes from {offset} on are handed in; expected"
                    f" those from {taking.offset} on"
                )
            whole = taking.take(source, length)
            return ports.Staged(taking.offset, whole, time.time())

    @contextlib.contextmanager
    def _held(self, task_id: str) -> Iterator[pathlib.Path]:
        """Keep others out; what is put there for a task that ends goes."""
        with self._area.held(task_id) as path:
            try:
                if self._area.staged(task_id).whole:
                    raise exceptions.TaskConflict(
                        f"task {task_id} has all its bytes"
                    )
                yield path
                _require_awaited(self._tasks.get(task_id, None))
            finally:
                with contextlib.suppress(exceptions.DatabaseUnreachable):
                    self._sweep_ended(task_id)

    def _sweep_ended(self, task_id: str) -> None:
        try:
            ended = self._tasks.get(task_id, None).ended
        except exceptions.TaskNotFound:
            ended = True
        if ended:
            self._area.sweep(task_id)

    def _in_words(self, task_id: str, error: OSError) -> Exception:
        """Give what is told instead: paths are the operator's."""
        if error.errno in _FULL:
            return exceptions.DiskFull(
                "there is no room for what is handed in"
            )
        try:
            # Whoever ended it has removed what was handed in.
            _require_awaited(self._tasks.get(task_id, None))
        except exceptions.GlanceTasksError as ended:
            return ended
        return exceptions.StoreError(
            f"what is handed in cannot be kept: {error.strerror}"
        )


def _require_awaited(found: task.Task) -> None:
    """Check that a task waits for bytes.

    :raises TaskConflict: when it takes none, or not any more
    """
    if receive.PLANNED not in found.plan:
        raise exceptions.TaskConflict(
            f"task {found.id} is of the type {found.type!r}, which takes no"
            " bytes"
        )
    if found.ended:
        raise exceptions.TaskConflict(
            f"task {found.id} has ended as {found.status}; it takes no bytes"
            " any more"
        )
