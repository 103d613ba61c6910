# SPDX-License-Identifier: Apache-2.0
"""Power cuts at every write to the database, in one process.

:func:`survive` does one scenario, :func:`cut_everywhere` many,
:func:`some_cuts` says which.
"""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import os
import pathlib
import random

import sqlalchemy as sa

import glance_tasks as gt
from glance_tasks.persistence import models
from glance_tasks.testing import cuts
from tests.support import engines

#: Cuts a scenario gets in a default run.
SAMPLE = 4

# --- one scenario ------------------------------------------------------------

EngineFactory = Callable[[], gt.TaskEngine]
Submit = Callable[[gt.TaskEngine], gt.Task]


def survive(
    cut: cuts.Cut | None, make_engine: EngineFactory, submit: Submit
) -> int:
    """Submit and run a task, be cut, and let others run it to its end.

    :param make_engine: gives an engine on what is on disk; called for each
        life of the service
    :param submit: submits the one task
    :returns: how many writes there were until the cut, or in all
    :raises AssertionError: when the cut did not come, or no end did
    """
    cutter = cuts.Cutter(cut)
    with (
        _alive(make_engine) as engine,
        cutter.watching(engine.database.engine),
        contextlib.suppress(cuts.PowerCut),
    ):
        submit(engine)
        engines.run_all(engine)
    assert cutter.fired == (cut is not None), f"{cut} did not come"
    _go_on(make_engine)
    return cutter.writes


def _go_on(make_engine: EngineFactory) -> None:
    with _alive(make_engine) as engine:
        engines.lapse(engine)
        engines.run_all(engine)
        with engine.database.read() as connection:
            jobs = connection.execute(sa.select(models.JOBS)).all()
    assert jobs == []


@contextlib.contextmanager
def _alive(make_engine: EngineFactory) -> Iterator[gt.TaskEngine]:
    engine = make_engine()
    try:
        yield engine
    finally:
        engine.close()


# --- which cuts ------------------------------------------------------------


def seed() -> int:
    """Give the seed of this run: GLANCE_TASKS_SEED, or a new one, printed."""
    chosen = int(os.environ.get("GLANCE_TASKS_SEED", random.randrange(10**6)))
    print(f"GLANCE_TASKS_SEED={chosen}")
    return chosen


def some_cuts(writes: int, number: int = SAMPLE) -> list[cuts.Cut]:
    """Give a sample of :func:`every_cut`, drawn with :func:`seed`."""
    every = cuts.every_cut(writes)
    chooser = random.Random(seed())
    return chooser.sample(every, min(number, len(every)))


def cut_everywhere(
    home: pathlib.Path,
    make_engine: Callable[[pathlib.Path], gt.TaskEngine],
    submit: Callable[[pathlib.Path, gt.TaskEngine], gt.Task],
    check: Callable[[pathlib.Path, gt.TaskEngine], None],
    *,
    choose: Callable[[int], list[cuts.Cut]] = cuts.every_cut,
) -> int:
    """cuts.Cut a task at its writes, each time in a directory of its own.

    First it runs uncut, to be checked as well and to count its writes.

    :param make_engine: gives an engine on a directory
    :param submit: submits the task whose sources lie in a directory
    :param check: asserts what must be true at the end; a task that the cut
        kept from being submitted is not there
    :returns: how many cuts were made
    :raises AssertionError: naming the cut, when one did not end well
    """
    writes = _one(None, home / "uncut", make_engine, submit, check)
    chosen = choose(writes)
    for cut in chosen:
        try:
            _one(
                cut,
                home / str(cut).replace(" ", "-"),
                make_engine,
                submit,
                check,
            )
        except BaseException as error:
            error.add_note(f"{cut} of {writes}")
            raise
    return len(chosen)


def _one(
    cut: cuts.Cut | None,
    home: pathlib.Path,
    make_engine: Callable[[pathlib.Path], gt.TaskEngine],
    submit: Callable[[pathlib.Path, gt.TaskEngine], gt.Task],
    check: Callable[[pathlib.Path, gt.TaskEngine], None],
) -> int:
    home.mkdir(parents=True)
    writes = survive(
        cut, lambda: make_engine(home), lambda engine: submit(home, engine)
    )
    with _alive(lambda: make_engine(home)) as engine:
        check(home, engine)
    return writes
