# SPDX-License-Identifier: Apache-2.0
"""What it takes to reap 100,000 expired tasks, and how lists do meanwhile.

``python -m bench.reap``
"""

import contextlib
import statistics
import tempfile
import threading
import time

import sqlalchemy as sa

from bench import surroundings
import glance_tasks
from glance_tasks import reaper
from glance_tasks.persistence import database as db
from glance_tasks.persistence import models

TASKS = 100_000
EVENTS, ATOMS = 6, 3


def fill(database: db.Database, number: int) -> None:
    """Write tasks that expired an hour ago, as an import leaves them."""
    then = time.time() - 3600
    for start in range(0, number, 5_000):
        ids = [f"{n:08}-dead" for n in range(start, start + 5_000)]
        with database.write() as connection:
            connection.execute(
                sa.insert(models.TASKS), [_task(one, then) for one in ids]
            )
            connection.execute(
                sa.insert(models.FLOWS), [_flow(one) for one in ids]
            )
            connection.execute(
                sa.insert(models.ATOMS),
                [_atom(one, n) for one in ids for n in range(ATOMS)],
            )
            connection.execute(
                sa.insert(models.EVENTS),
                [
                    {"task_id": one, "at": then, "kind": "e", "text": "text"}
                    for one in ids
                    for _ in range(EVENTS)
                ],
            )


def _task(task_id: str, then: float) -> dict[str, object]:
    return {
        "id": task_id,
        "type": "bench",
        "status": "success",
        "phase": "done",
        "owner": "bench",
        "input": '{"import_from": "https://images.example/disk.qcow2"}',
        "plan": "{}",
        "result": "{}",
        "progress": "{}",
        "priority": 0,
        "attempts": 0,
        "fence": 1,
        "created_at": then,
        "updated_at": then,
        "finished_at": then,
        "expires_at": then,
    }


def _flow(task_id: str) -> dict[str, object]:
    return {
        "task_id": task_id,
        "name": "bench",
        "fingerprint": "f" * 64,
        "type_version": "1.0",
        "fence": 1,
    }


def _atom(task_id: str, number: int) -> dict[str, object]:
    return {
        "id": f"{task_id}-{number}",
        "task_id": task_id,
        "position": number,
        "kind": "TASK",
        "name": f"atom-{number}",
        "results": '{"name": "image", "size": 1073741824}',
        "fence": 1,
    }


def lists_ms(engine: glance_tasks.TaskEngine, seconds: float) -> list[float]:
    """List the first page again and again; give milliseconds for each."""
    took = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.perf_counter()
        engine.find()
        took.append((time.perf_counter() - began) * 1000)
    return took


class Statements:
    """Counts statements and commits of a database."""

    def __init__(self, database: db.Database) -> None:
        """Count those of ``database``."""
        self.statements = self.commits = 0
        sa.event.listen(
            database.engine, "before_cursor_execute", self._statement
        )
        sa.event.listen(database.engine, "commit", self._commit)

    def _statement(self, *_: object) -> None:
        self.statements += 1

    def _commit(self, *_: object) -> None:
        self.commits += 1


def measure(url: str) -> str:
    """Give a line of figures."""
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.closing(surroundings.engine(url, folder)) as engine,
    ):
        fill(engine.database, TASKS)
        before = lists_ms(engine, 2)
        other = surroundings.engine(url, folder)
        counted = Statements(other.database)
        done: list[float] = []

        def reap() -> None:
            began = time.perf_counter()
            reaped = reaper.reap(
                other.database,
                (other.area, other.staging),
                other.vault,
                other.store,
            )
            done.append(time.perf_counter() - began)
            assert reaped.tasks == TASKS

        thread = threading.Thread(target=reap)
        thread.start()
        during: list[float] = []
        while thread.is_alive():
            during += lists_ms(engine, 0.2)
        other.close()
    return (
        f"{done[0]:6.1f} s  {counted.statements / (TASKS / 1000):6.1f}"
        f"  {counted.commits / (TASKS / 1000):5.1f}"
        f"  {statistics.median(before):6.1f}"
        f"  {statistics.median(during):6.1f}"
        f"  {max(during):7.1f}"
    )


def main() -> None:
    """Print a line for each kind of database."""
    print(
        f"{TASKS} tasks with {ATOMS} atoms and {EVENTS} events each;"
        " the target is a minute"
    )
    print("            reaped  statements commits  list before, during, worst")
    print("                    per 1,000 tasks     ms")
    kinds = ("sqlite", "postgresql", "mysql")
    with surroundings.databases(*kinds) as urls:
        for kind, url in urls.items():
            print(f"{kind:<10} {measure(url)}", flush=True)


if __name__ == "__main__":
    main()
