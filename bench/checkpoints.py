# SPDX-License-Identifier: Apache-2.0
"""Milliseconds a durable step costs: ours, TaskFlow's stock way, DBOS, floor.

A linear flow of six empty atoms, on SQLite and PostgreSQL, all in one run.
``python -m bench.checkpoints``
"""

from collections.abc import Callable
import itertools
import logging
import os
import subprocess
import sys
import uuid

from taskflow import engines
from taskflow import task as taskflow_task
from taskflow.patterns import linear_flow
from taskflow.persistence import backends
from taskflow.persistence import models as taskflow_models

from bench import surroundings
import glance_tasks
from glance_tasks import conductor
from glance_tasks.persistence import checkpoints
from glance_tasks.persistence import database as db

ATOMS = 6
REPEATS = 20
_ANSWER = "ms a step: "


class Empty(glance_tasks.Atom):
    """Do nothing. There is nothing to revert."""

    behaviour = "idempotent"

    def execute(self) -> int:
        """Give a small result."""
        return 1


class SixTask(glance_tasks.TaskType):
    """Six atoms that do nothing."""

    input_schema = {"type": "object"}
    result_schema = {"type": "object"}

    def build(self, ctx: glance_tasks.BuildContext) -> linear_flow.Flow:
        """Build six in a row."""
        return _flow(lambda i: Empty(ctx, name=f"atom-{i}"))


class Plain(taskflow_task.Task):  # type: ignore[misc]
    """The same without any of ours."""

    def execute(self) -> int:
        """Give a small result."""
        return 1


def _flow(atom: Callable[[int], object]) -> linear_flow.Flow:
    return linear_flow.Flow("six").add(*(atom(i) for i in range(ATOMS)))


def memory() -> Callable[[], object]:
    """TaskFlow without persistence."""
    return lambda: engines.run(_flow(lambda i: Plain(f"p{i}")))


def stock(url: str) -> Callable[[], object]:
    """TaskFlow with its own SQL persistence."""
    backend = backends.fetch({"connection": url})
    backend.get_connection().upgrade()

    def run() -> None:
        book = taskflow_models.LogBook("bench")
        detail = taskflow_models.FlowDetail("six", str(uuid.uuid4()))
        book.add(detail)
        backend.get_connection().save_logbook(book)
        engines.load(
            _flow(lambda i: Plain(f"p{i}")),
            flow_detail=detail,
            book=book,
            backend=backend,
        ).run()

    return run


def ours(url: str, folder: str) -> Callable[[], object]:
    """TaskFlow with our backend: the flow's rows and its checkpoints."""
    engine = surroundings.engine(url, folder, {"six": SixTask})
    claimed = []
    # One for the warm-up, three that are measured; claimed beforehand.
    for _ in range(4 * REPEATS):
        held = engine.submit("six", {})
        claimed.append(engine.board.claim("bench", 600, held.id))

    def run() -> None:
        held = claimed.pop().task
        backend = checkpoints.CheckpointBackend(
            engine.database,
            held.id,
            held.fence,
            fingerprint="six",
            type_version="1.0",
            keep_running=False,
        )
        engines.load(
            _flow(lambda i: Empty(name=f"atom-{i}")),
            flow_detail=backend.load("six"),
            backend=backend,
        ).run()

    return run


def whole(url: str, folder: str) -> Callable[[], object]:
    """Submit, claim, run, outcome: a task from end to end."""
    engine = surroundings.engine(url, folder, {"six": SixTask})

    def run() -> None:
        for _ in range(REPEATS):
            engine.submit("six", {})
        conductor.Conductor(engine, max_tasks=1).run(until_idle=True)

    return run


def dbos(url: str) -> Callable[[], object]:
    """DBOS with six steps in a workflow."""
    from dbos import DBOS

    DBOS(
        config={
            "name": "bench",
            "system_database_url": url,
            "run_admin_server": False,
            "log_level": "ERROR",
        }
    )
    step = DBOS.step()(lambda: 1)

    @DBOS.workflow()
    def six() -> None:
        for _ in range(ATOMS):
            step()

    DBOS.launch()
    return six


def floor(url: str) -> Callable[[], object]:
    """One bare INSERT and COMMIT a step, over one open connection."""
    database = db.Database(url)
    name = f"bench_floor_{uuid.uuid4().hex[:8]}"
    raw = database.engine.raw_connection()
    cursor = raw.cursor()
    cursor.execute(f"CREATE TABLE {name} (id INT PRIMARY KEY, result TEXT)")
    raw.commit()
    insert = f"INSERT INTO {name} VALUES"
    numbers = itertools.count(1)

    def run() -> None:
        for _ in range(ATOMS):
            # SQLite commits by itself here: the driver begins nothing.
            cursor.execute(f"{insert} ({next(numbers)}, '1')")
            raw.commit()

    return run


def _per_atom(work: Callable[[], object], inner: int = 1) -> float:
    def several() -> None:
        for _ in range(REPEATS // inner):
            work()

    return surroundings.seconds(several) / REPEATS / ATOMS * 1000


def _contenders(kind: str, url: str, folder: str) -> dict[str, float]:
    other = f"{url}-stock" if kind == "sqlite" else url
    return {
        "one bare commit a step": _per_atom(floor(url)),
        "TaskFlow, nothing durable": _per_atom(memory()),
        "ours, submit to success": _per_atom(whole(url, folder), REPEATS),
        # After the one above, which would wait for what this one claims.
        "ours, checkpoints": _per_atom(ours(url, folder)),
        "TaskFlow, stock persistence": _per_atom(stock(other)),
    }


def main() -> None:
    """Print a table a database."""
    logging.disable(logging.WARNING)
    with (
        surroundings.databases("sqlite", "postgresql") as urls,
        surroundings.folder() as folder,
    ):
        for kind, url in urls.items():
            figures = _contenders(kind, url, os.path.join(folder, kind))
            figures["DBOS"] = _dbos_apart(kind, url)
            mine = figures["ours, checkpoints"]
            rows = [("", "ms a step", "of ours")]
            rows += [
                (name, f"{figure:.2f}", f"{figure / mine:.2f}")
                for name, figure in figures.items()
            ]
            surroundings.table(f"checkpoints on {kind}", rows)


def _dbos_apart(kind: str, url: str) -> float:
    """Measure DBOS in a process of its own, for it keeps one database."""
    target = f"{url}-dbos" if kind == "sqlite" else url
    done = subprocess.run(
        [sys.executable, "-m", "bench.checkpoints", target],
        capture_output=True,
        text=True,
        check=False,
    )
    for line in done.stdout.splitlines():
        if line.startswith(_ANSWER):
            return float(line.removeprefix(_ANSWER))
    raise SystemExit(f"DBOS could not be measured:\n{done.stderr[-2000:]}")


def _measure_dbos(url: str) -> None:
    print(f"{_ANSWER}{_per_atom(dbos(url))}", flush=True)
    # Its threads would keep the process.
    os._exit(0)


if __name__ == "__main__":
    if sys.argv[1:]:
        _measure_dbos(sys.argv[1])
    main()
