# SPDX-License-Identifier: Apache-2.0
"""Looks for a canary in everything that is kept or said.

``python -m tests.support.canary HOME OPTIONS`` conducts the tasks under HOME
in a process of its own, logging all there is, until none is left.
"""

from collections.abc import Iterator
import dataclasses
import json
import logging
import os
import pathlib
import subprocess
import sys
from typing import Any

import sqlalchemy as sa

import glance_tasks as gt
from tests.support import engines
from tests.support import secret_types

#: What every secret of :mod:`secret_types` has in it, however it is written.
PIECES = ("c4n4ry", "Kohlmeise")

LOG = "conductor.log"


def conduct(home: pathlib.Path, **options: Any) -> int:
    """Conduct in a process of its own; give its exit code.

    All that it says goes to a log beside ``home``.
    """
    words = [sys.executable, "-m", "tests.support.canary", str(home)]
    with (home.parent / LOG).open("ab") as log:
        done = subprocess.run(
            [*words, json.dumps(options)],
            env={**engines.environment(), "PYTHONIOENCODING": "utf-8:strict"},
            stdout=log,
            stderr=log,
            timeout=120,
        )
    return done.returncode


def sightings(
    root: pathlib.Path, engine: gt.TaskEngine | None = None
) -> list[str]:
    """Say where the canary is seen: files, names, rows, public objects."""
    found = [f"the file {where}" for where in _files(root)]
    if engine is not None:
        found += [f"the table {name}" for name in _tables(engine)]
        for task in engine.find():
            whole = [engine.get(task.id), *engine.events(task.id)]
            found += [f"a {where}" for one in whole for where in shown(one)]
    return found


def shown(value: Any) -> list[str]:
    """Name the object, and its parts, whose representations show it."""
    parts = {type(value).__name__: value}
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            name = f"{type(value).__name__}.{field.name}"
            parts[name] = getattr(value, field.name)
    parts.update(getattr(value, "__dict__", {}))
    return [
        name
        for name, part in parts.items()
        if _is_seen(f"{part!r} {part!s}".encode(errors="replace"))
    ]


def _files(root: pathlib.Path) -> Iterator[str]:
    for path in sorted(root.rglob("*")):
        if _is_seen(os.fsencode(path.name)):
            yield f"name {path}"
        if path.is_file() and _is_seen(path.read_bytes()):
            yield str(path)


def _tables(engine: gt.TaskEngine) -> Iterator[str]:
    """Name the tables, also those not ours, that show it."""
    there = sa.MetaData()
    with engine.database.read() as connection:
        there.reflect(connection)
        for table in there.sorted_tables:
            for row in connection.execute(sa.select(table)):
                # A text's bytes, too, as a dump would have them.
                if _is_seen(repr(tuple(row)).encode()) or any(
                    isinstance(cell, bytes) and _is_seen(cell) for cell in row
                ):
                    yield table.name


def _is_seen(data: bytes) -> bool:
    return any(piece.encode() in data for piece in PIECES)


def main(home: str, options: str) -> None:
    """Conduct the tasks under ``home`` until none is left."""
    logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
    with engines.opened(
        pathlib.Path(home), types=secret_types.TYPES, **json.loads(options)
    ) as engine:
        gt.Conductor(engine).run(until_idle=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
