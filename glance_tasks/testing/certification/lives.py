# SPDX-License-Identifier: Apache-2.0
"""The lives of a service on one ground: submit, run, die, and go on."""

from collections.abc import Callable
import contextlib
import functools
import threading

import sqlalchemy as sa

from glance_tasks import engine as task_engine
from glance_tasks import exceptions
from glance_tasks import executor
from glance_tasks import runner
from glance_tasks import task
from glance_tasks.atoms import receive
from glance_tasks.persistence import models
from glance_tasks.testing import cuts
from glance_tasks.testing.certification import disturbance as disturbing
from glance_tasks.testing.certification import ending
from glance_tasks.testing.certification import ground
from glance_tasks.testing.certification import stock

# Of the executor for parallel types.
_THREADS = 4

# Seconds; a trial makes leases lapse itself.
_TTL = 600.0

# More often than any trial kills a task.
_LIVES = 40


class NoEnd(Exception):
    """The task came to no end; the text says where it stands."""


@functools.cache
def _pool() -> executor.CountingExecutor:
    # To end one takes a second; the interpreter ends this one.
    return executor.CountingExecutor(_THREADS)


def warm_up() -> None:
    """Start the threads that all runs share, so that they are known."""
    together = threading.Barrier(_THREADS + 1)
    for _ in range(_THREADS):
        _pool().submit(together.wait)
    together.wait()
    _pool().join()


def submit(engine: task_engine.TaskEngine, place: ground.Ground) -> task.Task:
    """Submit the task of a trial, with the bytes that it takes."""
    submitted = engine.submit(place.name, place.given, owner=stock.OWNER)
    _hand_in(engine, place, submitted)
    return submitted


def _hand_in(
    engine: task_engine.TaskEngine, place: ground.Ground, found: task.Task
) -> None:
    """Hand in what a task waits for, from where an earlier life stopped."""
    staged = engine.received(found.id)
    if found.ended or staged.whole or receive.PLANNED not in found.plan:
        return
    with open(place.handed, "rb") as file:
        file.seek(staged.size)
        engine.receive(found.id, file, offset=staged.size)


def run(
    engine: task_engine.TaskEngine,
    seen: Callable[[runner.Run], None] = lambda run: None,
    ttl: float = _TTL,
) -> bool:
    """Claim a task and run it in this thread; False when there is none.

    :param seen: is given the run before it begins
    :raises RunInterrupted: when the run was left
    """
    claim = engine.board.claim("certify", ttl, None)
    if claim is None:
        return False
    current = runner.Run(engine.services(), claim, _pool())
    seen(current)
    try:
        current.execute()
    except exceptions.TryLater as later:
        current.set_aside(str(later))
    return True


def lapse(engine: task_engine.TaskEngine) -> None:
    """Let every lease lapse, as time would."""
    with engine.database.write() as connection:
        connection.execute(
            sa.update(models.JOBS)
            .where(models.JOBS.c.state == "held")
            .values(lease_until=models.now() - 3600)
        )
    engine.board.wake(0)


def die(
    place: ground.Ground,
    disturbance: disturbing.Disturbance | None = None,
    cut: cuts.Cut | None = None,
    *,
    submits: bool = True,
) -> cuts.Cutter:
    """Submit and run the task until a cut or a crash, or to its end."""
    cutter = cuts.Cutter(cut)
    with (
        place.engine(disturbance) as engine,
        cutter.watching(engine.database.engine),
        contextlib.suppress(cuts.PowerCut, exceptions.RunInterrupted),
    ):
        if submits:
            submit(engine, place)
        while run(engine):
            pass
    return cutter


def finish(
    place: ground.Ground, disturbance: disturbing.Disturbance | None = None
) -> ending.Ending | None:
    """Let others go on with the task until it ends; give how it did.

    :param disturbance: of those lives; it may end some of them too
    :returns: None when the cut came before there was a task
    :raises NoEnd: when it does not end
    """
    for _ in range(_LIVES):
        with place.engine(disturbance) as engine:
            lapse(engine)
            tasks = engine.find()
            if not tasks:
                return None
            _hand_in(engine, place, engine.get(tasks[0].id))
            with contextlib.suppress(exceptions.RunInterrupted):
                while run(engine):
                    pass
            tasks = engine.find()
            if tasks[0].ended:
                return observed(engine, place, tasks[0].id)
    reason = f" ({tasks[0].queue_reason})" if tasks[0].queue_reason else ""
    raise NoEnd(f"it is still {tasks[0].phase} after {_LIVES} lives{reason}")


def observed(
    engine: task_engine.TaskEngine, place: ground.Ground, task_id: str
) -> ending.Ending:
    """Give how a task ended, and all that is there now."""
    return ending.of_task(engine.get(task_id), place.left(engine))


def played(
    place: ground.Ground, disturbance: disturbing.Disturbance | None = None
) -> ending.Ending:
    """Submit a task and run it to its end, through crashes if there are."""
    with place.engine(disturbance) as engine:
        submit(engine, place)
    found = finish(place, disturbance)
    assert found is not None
    return found
