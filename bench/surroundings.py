# SPDX-License-Identifier: Apache-2.0
"""What several benchmarks need: an engine, servers, a table of figures."""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import gc
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

from oslo_config import cfg

import glance_tasks
from glance_tasks.persistence import database as db
from glance_tasks.persistence import migrations
from glance_tasks.testing import servers


@contextlib.contextmanager
def databases(*kinds: str) -> Iterator[dict[str, str]]:
    """Give URLs of empty databases; real servers, fsync on."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        urls = {"sqlite": f"sqlite:///{folder}/bench.sqlite"}
        for kind, server in (
            ("postgresql", servers.PostgreSQL),
            ("mysql", servers.MariaDB),
        ):
            if kind in kinds:
                running = stack.enter_context(servers.running(server))
                urls[kind] = stack.enter_context(running.database())
        yield {kind: urls[kind] for kind in kinds}


def engine(
    url: str,
    folder: str,
    types: dict[str, Any] | None = None,
    **options: Any,
) -> glance_tasks.TaskEngine:
    """Give an engine on ``url`` with its files in ``folder``.

    :param options: of any group, ``fetch__name`` for glance_tasks_fetch
    """
    conf = cfg.ConfigOpts()
    glance_tasks.register_opts(conf)
    conf([], default_config_files=[], default_config_dirs=[])
    conf.set_override("data_dir", folder, "glance_tasks")
    conf.set_override("connection", url, "glance_tasks")
    conf.set_override("poll_interval", 0.05, "glance_tasks")
    for name, value in options.items():
        group, _, option = name.rpartition("__")
        where = f"glance_tasks_{group}" if group else "glance_tasks"
        conf.set_override(option, value, where)
    database = db.Database(url)
    migrations.sync(database)
    database.close()
    chosen = glance_tasks.Registry(types=types, checks={}) if types else None
    return glance_tasks.TaskEngine(conf, types=chosen)


def seconds(work: Callable[[], object], times: int = 3) -> float:
    """Give the median time of ``work``, in seconds, after one warm-up."""
    work()
    taken = []
    for _ in range(times):
        gc.collect()
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def table(title: str, rows: list[tuple[str, ...]]) -> None:
    """Print rows in columns under a title."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    print(f"\n{title}")
    for row in rows:
        cells = [
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  " + "  ".join(cells).rstrip())


def touch_memory() -> None:
    """Have the machine's free memory backed before anything is timed.

    A virtual machine gets a page from its host when it first touches it: seen
    to cost 2.2 s a GiB, more than all the work on the bytes in it.
    """
    line = next(
        line
        for line in pathlib.Path("/proc/meminfo").read_text().splitlines()
        if line.startswith("MemFree")
    )
    # In a process of its own, whose end gives it all back.
    code = (
        "import mmap, sys\n"
        "memory = mmap.mmap(-1, int(sys.argv[1]))\n"
        "for page in range(0, len(memory), 4096): memory[page] = 1\n"
    )
    size = int(int(line.split()[1]) * 1024 * 0.8)
    subprocess.run([sys.executable, "-c", code, str(size)], check=True)
    os.sync()


def folder() -> contextlib.AbstractContextManager[str]:
    """Give a directory that goes afterwards."""
    return tempfile.TemporaryDirectory()
