# SPDX-License-Identifier: Apache-2.0
"""A process frozen past its lease, another takes over, the first thaws."""

from collections.abc import Iterator
import contextlib
import pathlib
import signal
import sqlite3
import time
from typing import Any

import sqlalchemy as sa

from glance_tasks.testing.certification import case as cases
from glance_tasks.testing.certification import ending
from glance_tasks.testing.certification import ground
from glance_tasks.testing.certification import kinds
from glance_tasks.testing.certification import lives
from glance_tasks.testing.certification import processes

# Seconds; the worker's own lease is half of one.
_PAST_LEASE_S = 0.6


class Freeze(kinds.AtPoints):
    """Freezes a process right behind a safe point that let it through."""

    name = "freeze"
    what = "frozen past its lease: writes nothing when it thaws"

    def variants(self, case: cases.Case) -> list[str]:
        """Give the safe points of atoms that execute; 0 is the beginning."""
        return [
            f"{atom}:{number}"
            for atom in case.reference.atoms
            for number in range(
                case.reference.points.get((atom, "execute"), 0) + 1
            )
        ]

    def run(self, case: cases.Case, variant: str) -> Iterator[str]:
        """Freeze one process, and thaw it when another has ended the task."""
        atom, _, number = variant.rpartition(":")
        struck = {"atom": atom, "side": "execute", "number": int(number)}
        with (
            case.fresh() as place,
            processes.started(
                place,
                submit=True,
                disturbance={"signal": "SIGSTOP", **struck},
            ) as worker,
        ):
            if not worker.reached() or worker.process.poll() is not None:
                return
            time.sleep(_PAST_LEASE_S)
            while _is_locked(place):
                # Another thread of it was in the midst of a transaction.
                worker.process.send_signal(signal.SIGCONT)
                processes.freeze(worker.process)
            ended = lives.finish(place)
            before = _everything(place)
            worker.process.send_signal(signal.SIGCONT)
            worker.answer()
            after = _everything(place)
        for line in case.differs(ended):
            yield f"taken over while {atom} was frozen: {line}"
        for name in sorted({*before, *after}):
            if before.get(name) != after.get(name):
                yield (
                    f"{atom} thawed and changed {name}: it makes an effect"
                    " without asking the fence"
                )


def _is_locked(place: ground.Ground) -> bool:
    """Tell whether the frozen process keeps everybody from writing."""
    if not place.url.startswith("sqlite:"):
        return False
    path = place.url.partition("///")[2]
    with contextlib.closing(sqlite3.connect(path, timeout=0.1)) as database:
        try:
            database.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
    return False


def _everything(place: ground.Ground) -> dict[str, Any]:
    """Give all files, with their times and bytes, and all rows."""
    with place.engine() as engine:
        task = engine.find()[0]
        found: dict[str, Any] = dict(place.left(engine))
        for name in found:
            # The same bytes written again are an effect too.
            with contextlib.suppress(OSError):
                about = (pathlib.Path(place.home) / name).lstat()
                found[name] += f" {about.st_ino} {about.st_mtime_ns}"
        tables = sa.MetaData()
        with engine.database.read() as connection:
            tables.reflect(connection)
            for table in tables.sorted_tables:
                rows = connection.execute(sa.select(table))
                found[f"table {table.name}"] = sorted(map(repr, rows))
    return {ending.nameless(name, task): is_ for name, is_ in found.items()}
