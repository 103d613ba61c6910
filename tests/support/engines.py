# SPDX-License-Identifier: Apache-2.0
"""Engines for tests: of one directory, with task types of the tests.

``python -m tests.support.engines HOME`` is a conductor in a process of its
own, drained by SIGTERM.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import functools
import json
import logging
import os
import pathlib
import signal
import subprocess
import sys
import time
from typing import Any

from oslo_config import cfg
import sqlalchemy as sa

import glance_tasks as gt
from glance_tasks import boards
from glance_tasks import exceptions
from glance_tasks import executor
from glance_tasks import runner
from glance_tasks.persistence import database as db
from glance_tasks.persistence import migrations
from glance_tasks.persistence import models
from tests.support import task_types

#: All that tell of tasks.
TABLES = tuple(
    table
    for table in models.METADATA.sorted_tables
    if table is not models.IDENTITY
)


class Nothing:
    """Fills a port that no task type of the tests touches."""


def configuration(home: pathlib.Path, **options: Any) -> cfg.ConfigOpts:
    """Give a configuration of its own, under ``home``."""
    conf = cfg.ConfigOpts()
    gt.register_opts(conf)
    conf([], project="tests", default_config_files=[])
    chosen = {"data_dir": str(home), "poll_interval": 0.05, **options}
    for name, value in chosen.items():
        conf.set_override(name, value, "glance_tasks")
    return conf


def make_engine(
    home: pathlib.Path,
    *,
    types: Mapping[str, type[gt.TaskType]] = task_types.TYPES,
    check_types: Mapping[str, type[gt.Atom]] = task_types.CHECKS,
    database_url: str | None = None,
    notifier: Any = None,
    **options: Any,
) -> gt.TaskEngine:
    """Give an engine; the caller closes it.

    :param database_url: of a database that is brought up to date first; the
        embedded one when None
    """
    nothing: Any = Nothing()
    if database_url is not None:
        options["connection"] = database_url
        database = db.Database(database_url)
        migrations.sync(database)
        database.close()
    return gt.TaskEngine(
        configuration(home, **options),
        types=gt.Registry(types=types, checks=check_types),
        catalogue=nothing,
        store=nothing,
        notifier=notifier,
    )


@contextlib.contextmanager
def opened(home: pathlib.Path, **chosen: Any) -> Iterator[gt.TaskEngine]:
    """Give an engine for the block."""
    engine = make_engine(home, **chosen)
    try:
        yield engine
    finally:
        engine.close()


# --- one run, without a conductor around it ----------------------------------


def claim(
    engine: gt.TaskEngine, task_id: str | None = None, holder: str = "me"
) -> boards.Claim | None:
    """Claim the next task, or that one, for ten minutes."""
    return engine.board.claim(holder, 600.0, task_id)


@functools.cache
def _executor() -> executor.CountingExecutor:
    # To end one takes a second; the interpreter ends this one.
    return executor.CountingExecutor(4)


def run(engine: gt.TaskEngine, held: boards.Claim) -> None:
    """Run a claimed task in this thread, to its end or interruption."""
    runner.Run(engine.services(), held, _executor()).execute()


def run_all(engine: gt.TaskEngine) -> None:
    """Run tasks in this thread until none can be claimed."""
    while (held := claim(engine)) is not None:
        run(engine, held)


def die(engine: gt.TaskEngine) -> None:
    """Claim a task and run it until it dies; then let its lease lapse."""
    held = claim(engine)
    assert held is not None
    with contextlib.suppress(task_types.Died):
        run(engine, held)
    lapse(engine)


def lapse(engine: gt.TaskEngine) -> None:
    """Let every lease lapse, as an hour would."""
    with engine.database.write() as connection:
        connection.execute(
            sa.update(models.JOBS)
            .where(models.JOBS.c.state == "held")
            .values(lease_until=models.now() - 3600)
        )


# --- looking -----------------------------------------------------------------


def dump(engine: gt.TaskEngine) -> dict[str, list[Any]]:
    """Give every row of every table, in a fixed order."""
    with engine.database.read() as connection:
        return {
            table.name: sorted(
                (tuple(row) for row in connection.execute(sa.select(table))),
                key=repr,
            )
            for table in TABLES
        }


def files(home: pathlib.Path) -> dict[str, bytes | None]:
    """Give every file under ``home`` with its bytes; directories with None.

    The database and the conductors' presence files are not looked at.
    """
    return {
        str(path.relative_to(home)): path.read_bytes()
        if path.is_file()
        else None
        for path in sorted(home.rglob("*"))
        if ".conductors" not in path.parts and ".sqlite" not in path.name
    }


def until(
    true: Callable[[], Any], what: str = "it", limit: float = 60.0
) -> Any:
    """Wait until ``true()`` is, and give what it gave.

    :raises AssertionError: when that takes more than ``limit`` seconds
    """
    deadline = time.monotonic() + limit
    while not (found := true()):
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.01)
    return found


# --- a process of its own ----------------------------------------------------


@contextlib.contextmanager
def processes(
    home: pathlib.Path, **options: Any
) -> Iterator[Callable[..., "subprocess.Popen[bytes]"]]:
    """Give a way to start conductors of ``home``; all are dead afterwards.

    :param options: of the group ``glance_tasks``
    """
    started = []

    def start(*, until_idle: bool = False) -> "subprocess.Popen[bytes]":
        words = [str(home), json.dumps(options), "idle" if until_idle else ""]
        with (home.parent / "conductors.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.engines", *words],
                env=environment(),
                stderr=log,
            )
        started.append(process)
        return process

    try:
        yield start
    finally:
        for process in started:
            process.kill()
            process.wait()


def environment() -> dict[str, str]:
    """Give the environment of a process that finds what this one finds."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def main(home: str, options: str = "{}", until_idle: str = "") -> None:
    """Conduct the tasks under ``home`` until SIGTERM."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    with opened(pathlib.Path(home), **json.loads(options)) as engine:
        conductor = gt.Conductor(engine)
        signal.signal(signal.SIGTERM, lambda *_: conductor.drain())
        try:
            conductor.run(until_idle=bool(until_idle))
        except exceptions.GlanceTasksError as error:
            sys.exit(str(error))


if __name__ == "__main__":
    main(*sys.argv[1:])
