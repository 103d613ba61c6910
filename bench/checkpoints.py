# SPDX-License-Identifier: Apache-2.0
"""Milliseconds a durable step costs: ours, TaskFlow's stock way, DBOS, floor.

A linear flow of six empty atoms, on SQLite and PostgreSQL, all in one run.
``python -m bench.checkpoints``
"""

import collections
from collections.abc import Callable
import contextlib
import functools
import itertools
import logging
import os
import statistics
import subprocess
import sys
import time
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
from glance_tasks.persistence import flows

ATOMS = 6
#: Flows a round, and rounds that are counted; the first warms up.
REPEATS = 10
ROUNDS = 7
_ANSWER = "seconds: "


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
    # Claimed beforehand: what is measured is the run.
    claimed = []
    for _ in range((ROUNDS + 1) * REPEATS):
        held = engine.submit("six", {})
        claimed.append(engine.board.claim("bench", 600, held.id))

    def run() -> None:
        held = claimed.pop().task
        backend = checkpoints.CheckpointBackend(
            engine.database,
            held.id,
            held.fence,
            flow=flows.StoredFlow("six", "1.0", None),
            keep_running=False,
        )
        with contextlib.closing(backend):
            engines.load(
                _flow(lambda i: Empty(name=f"atom-{i}")),
                flow_detail=backend.load("six"),
                backend=backend,
            ).run()

    return run


def whole(url: str, folder: str) -> Callable[[], object]:
    """Submit, claim, run, outcome: tasks from end to end."""
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


class _Apart:
    """DBOS in a process of its own, for it keeps one database a process."""

    def __init__(self, url: str) -> None:
        """Start it on ``url``."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.checkpoints", url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def round(self) -> float:
        """Let it run a round; give the seconds that it took."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith(_ANSWER):
                return float(line.removeprefix(_ANSWER))
        raise SystemExit("DBOS could not be measured")

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


def _serve_dbos(url: str) -> None:
    work = dbos(url)
    for _ in sys.stdin:
        print(f"{_ANSWER}{_round(work)}", flush=True)
    # Its threads would keep the process.
    os._exit(0)


def _round(work: Callable[[], object], times: int = REPEATS) -> float:
    began = time.perf_counter()
    for _ in range(times):
        work()
    return time.perf_counter() - began


def _measure(kind: str, url: str, folder: str) -> dict[str, float]:
    """Give milliseconds a step: the median of rounds taken in turns."""

    def of(suffix: str) -> str:
        # SQLite has one writer; each contender gets a file of its own.
        return f"{url}-{suffix}" if kind == "sqlite" else url

    # Before "ours", for it waits until every task it sees has ended.
    end_to_end = whole(of("whole"), f"{folder}/whole")
    end_to_end()
    plain = {
        "one bare commit a step": floor(of("floor")),
        "TaskFlow, nothing durable": memory(),
        "TaskFlow, stock persistence": stock(of("stock")),
    }
    rounds: dict[str, Callable[[], float]] = {
        name: functools.partial(_round, work) for name, work in plain.items()
    }
    rounds["ours, submit to success"] = lambda: _round(end_to_end, 1)
    figures: dict[str, list[float]] = collections.defaultdict(list)
    with contextlib.closing(_Apart(of("dbos"))) as peer:
        rounds["DBOS"] = peer.round
        _take_turns(rounds, figures)
        # Its claimed tasks would keep the conductor above from its end.
        rounds = {
            "ours, checkpoints": functools.partial(
                _round, ours(of("ours"), f"{folder}/ours")
            ),
            "DBOS": peer.round,
            "one bare commit a step": rounds["one bare commit a step"],
        }
        _take_turns(rounds, figures)
    return {
        name: statistics.median(taken) / REPEATS / ATOMS * 1000
        for name, taken in figures.items()
    }


def _take_turns(
    rounds: dict[str, Callable[[], float]], figures: dict[str, list[float]]
) -> None:
    for number in range(ROUNDS + 1):
        for name, one in rounds.items():
            taken = one()
            if number:
                figures[name].append(taken)


def main() -> None:
    """Print a table a database."""
    logging.disable(logging.WARNING)
    with (
        surroundings.databases("sqlite", "postgresql") as urls,
        surroundings.folder() as folder,
    ):
        for kind, url in urls.items():
            figures = _measure(kind, url, f"{folder}/{kind}")
            mine = figures["ours, checkpoints"]
            rows = [("", "ms a step", "of ours")]
            rows += [
                (name, f"{figure:.2f}", f"{figure / mine:.2f}")
                for name, figure in sorted(
                    figures.items(), key=lambda pair: pair[1]
                )
            ]
            surroundings.table(f"checkpoints on {kind}", rows)


if __name__ == "__main__":
    if sys.argv[1:]:
        logging.disable(logging.WARNING)
        _serve_dbos(sys.argv[1])
    main()
