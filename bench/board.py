# SPDX-License-Identifier: Apache-2.0
"""What a claim costs with 10 to 100,000 tasks queued; a redis board beside it.

``python -m bench.board``
"""

from collections.abc import Iterator
import contextlib
import logging
import pathlib
import socket
import subprocess
import tempfile
import time

import sqlalchemy as sa
from taskflow.jobs import backends as taskflow_boards

from bench import surroundings
from glance_tasks.boards import sql
from glance_tasks.persistence import database as db
from glance_tasks.persistence import migrations
from glance_tasks.persistence import models

SIZES = (10, 1_000, 100_000)
# Its pass grows with the queue: 10,000 would take 4 seconds a claim.
REDIS_SIZES = (10, 1_000)
CLAIMS = 10


def fill(database: db.Database, queued: int) -> None:
    """Queue that many tasks, in few statements."""
    now = time.time()
    tasks = [
        {
            "id": f"{queued}-{number}",
            "type": "bench",
            "status": "pending",
            "phase": "queued",
            "owner": "bench",
            "input": "{}",
            "plan": "{}",
            "progress": "{}",
            "priority": 0,
            "attempts": 0,
            "fence": 0,
            "created_at": now,
            "updated_at": now,
        }
        for number in range(queued)
    ]
    jobs = [
        {
            "task_id": task["id"],
            "state": "ready",
            "rank": 0,
            "sequence": now + number / 1e6,
            "not_before": now,
        }
        for number, task in enumerate(tasks)
    ]
    with database.write() as connection:
        for start in range(0, queued, 5_000):
            part = slice(start, start + 5_000)
            connection.execute(sa.insert(models.TASKS), tasks[part])
            connection.execute(sa.insert(models.JOBS), jobs[part])
    with database.engine.connect().execution_options(
        isolation_level="AUTOCOMMIT"
    ) as connection:
        # What autovacuum would do in a minute.
        if database.dialect != "mysql":
            connection.exec_driver_sql("ANALYZE")


def empty(database: db.Database) -> None:
    """Remove every task."""
    with database.write() as connection:
        connection.execute(sa.delete(models.JOBS))
        connection.execute(sa.delete(models.TASKS))


def claim_ms(board: sql.SqlBoard) -> float:
    """Claim ten tasks; give milliseconds a claim."""
    board.claim("warm", 60)
    began = time.perf_counter()
    for _ in range(CLAIMS):
        if board.claim("bench", 60) is None and began:
            break
    return (time.perf_counter() - began) / CLAIMS * 1000


def measure_sql(url: str) -> list[float]:
    """Give milliseconds a claim at each size."""
    database = db.Database(url)
    migrations.sync(database)
    board = sql.SqlBoard(database)
    figures = []
    for queued in SIZES:
        fill(database, queued + CLAIMS + 1)
        figures.append(claim_ms(board))
        empty(database)
    database.close()
    return figures


@contextlib.contextmanager
def redis() -> Iterator[int]:
    """Run a redis of our own; give its port."""
    with tempfile.TemporaryDirectory() as folder:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        server = subprocess.Popen(
            ["redis-server", "--port", str(port), "--dir", folder],
            stdout=subprocess.DEVNULL,
        )
        try:
            until = time.monotonic() + 10
            while time.monotonic() < until:
                with contextlib.suppress(OSError):
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
            yield port
        finally:
            server.terminate()
            server.wait()
            pathlib.Path(folder, "dump.rdb").unlink(missing_ok=True)


def measure_redis(port: int) -> list[float]:
    """Give milliseconds a claim of TaskFlow's redis board at each size."""
    figures = []
    for queued in REDIS_SIZES:
        board = taskflow_boards.fetch(
            "bench",
            {
                "board": "redis",
                "host": "127.0.0.1",
                "port": port,
                "namespace": str(queued),
            },
        )
        board.connect()
        for number in range(queued):
            board.post(f"job-{number}")
        began = time.perf_counter()
        for _ in range(3):
            job = next(board.iterjobs(only_unclaimed=True, ensure_fresh=True))
            board.claim(job, "bench")
        figures.append((time.perf_counter() - began) / 3 * 1000)
        board.close()
    return figures


def _row(name: str, figures: list[float]) -> tuple[str, ...]:
    cells = [f"{figure:.1f}" for figure in figures]
    cells += [""] * (len(SIZES) - len(cells))
    growth = f"{figures[-1] / figures[0]:.1f}"
    return (name, *cells, growth)


def main() -> None:
    """Print one table."""
    logging.disable(logging.WARNING)
    rows = [("ms a claim", *(f"{n:,}" for n in SIZES), "last/first")]
    with surroundings.databases("sqlite", "postgresql", "mysql") as urls:
        for kind, url in urls.items():
            rows.append(_row(kind, measure_sql(url)))
    with redis() as port:
        rows.append(_row("TaskFlow's redis board", measure_redis(port)))
    surroundings.table("claims by tasks queued", rows)


if __name__ == "__main__":
    main()
