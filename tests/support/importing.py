# SPDX-License-Identifier: Apache-2.0
"""Imports as the tests make them, from loopback into a directory.

``python -m tests.support.importing HOME SETTINGS GATE`` is a conductor in a
process of its own, drained by SIGTERM, that waits at one :class:`Gate`.
"""

from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import hashlib
import json
import logging
import pathlib
import random
import signal
import sys
import time
from typing import Any

import sqlalchemy as sa

import glance_tasks as gt
from glance_tasks import ports
from glance_tasks.adapters import directory_store
from glance_tasks.adapters import sql_catalogue
from glance_tasks.persistence import database as db
from glance_tasks.persistence import migrations
from glance_tasks_flows import importing
from tests.support import crafted
from tests.support import engines
from tests.support import images

MIB = 1 << 20
TYPES = {"import": importing.ImportTask}

#: Option groups and their options, by name.
Settings = Mapping[str, Mapping[str, Any]]

#: Loopback may be fetched from; chunks are small.
LOOPBACK: Settings = {
    "glance_tasks_fetch": {
        "allowed_networks": ["127.0.0.0/8"],
        "allowed_ports": [],
        "chunk_size": 64 << 10,
    }
}


# --- sources -----------------------------------------------------------------


def noise(size: int, *, seed: int = 0) -> bytes:
    """Give bytes that no compression makes smaller."""
    return random.Random(seed).randbytes(size)


def noise_file(path: pathlib.Path, size: int, *, seed: int = 0) -> None:
    """Write a file of :func:`noise`, a whole number of MiB."""
    chooser = random.Random(seed)
    with path.open("wb") as file:
        for _ in range(size // MIB):
            file.write(chooser.randbytes(MIB))


def digest(path: pathlib.Path) -> str:
    """Give the SHA-512 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha512").hexdigest()


def hostile() -> bytes:
    """Give a qcow2 that would read a file of this machine."""
    return crafted.qcow2(backing_file_offset=0x200, backing_file_size=11)


def nested(home: pathlib.Path) -> bytes:
    """Give a qcow2 whose disk holds a hostile one."""
    inner, outer = home / "inner", home / "outer"
    inner.write_bytes(hostile())
    images.made(outer, inner, "-O", "qcow2")
    return outer.read_bytes()


def given(
    url: str, source: str = "raw", target: str | None = None, **more: Any
) -> dict[str, Any]:
    """Give the input of an import; formats by Glance's names."""
    properties = {"name": "disk"} | ({"disk_format": target} if target else {})
    return {
        "import_from": url,
        "import_from_format": source,
        "image_properties": properties,
        **more,
    }


# --- engines -----------------------------------------------------------------


def make_engine(
    home: pathlib.Path,
    *,
    settings: Settings | None = None,
    database_url: str | None = None,
    types: Mapping[str, type[gt.TaskType]] = TYPES,
    checks: Mapping[str, type[gt.Atom]] | None = None,
    store: type[directory_store.DirectoryStore] | None = None,
    catalogue: type[sql_catalogue.SqlCatalogue] | None = None,
    **parts: Any,
) -> gt.TaskEngine:
    """Give an engine with the embedded catalogue and store, or the given.

    :param database_url: of a database that is brought up to date first; the
        embedded one when None
    :param checks: run in every import, by their names
    """
    options: dict[str, Any] = {}
    if database_url is not None:
        options["connection"] = database_url
        database = db.Database(database_url)
        migrations.sync(database)
        database.close()
    if checks:
        options["checks"] = [f"import:{name}" for name in checks]
    conf = engines.configuration(home, **options)
    for group, chosen in [*LOOPBACK.items(), *(settings or {}).items()]:
        for name, value in chosen.items():
            conf.set_override(name, value, group)
    if store is not None:
        parts["store"] = store(conf)
    if catalogue is not None:
        parts["catalogue"] = catalogue.__new__(catalogue)
    engine = gt.TaskEngine(
        conf, types=gt.Registry(types=types, checks=checks or {}), **parts
    )
    if catalogue is not None:
        # On the connections of the engine, which there were none of before.
        parts["catalogue"].__init__(conf, engine.database.engine)
    return engine


@contextlib.contextmanager
def opened(home: pathlib.Path, **chosen: Any) -> Iterator[gt.TaskEngine]:
    """Give an engine for the block; see :func:`make_engine`."""
    engine = make_engine(home, **chosen)
    try:
        yield engine
    finally:
        engine.close()


# --- looking -----------------------------------------------------------------


def torn(engine: gt.TaskEngine) -> list[str]:
    """Name the images that can be seen and do not have their whole data."""
    found = []
    for image in engine.catalogue.find(limit=1000):
        try:
            with engine.store.open(image.location) as file:
                whole = hashlib.sha512(file.read()).hexdigest()
        except gt.StoreError:
            whole = None
        if whole != image.os_hash_value:
            found.append(image.id)
    return found


def astray(engine: gt.TaskEngine) -> list[str]:
    """Name the objects that neither an image nor a living task accounts for.

    Read in this order, so that a task that ends meanwhile is no false alarm.
    """
    stored = set(engine.store.keys())
    living = {t.image_id for t in engine.find(limit=1000) if not t.ended}
    known = {image.id for image in engine.catalogue.find(limit=1000)}
    return sorted(stored - living - known)


def left(root: pathlib.Path) -> list[str]:
    """Name the files under a work directory or a store, hidden ones too.

    But for what is kept for retries, of which ``find_leftovers`` looks whose
    it is.
    """
    others = {".conductors", "cache"}
    return sorted(
        str(path.relative_to(root))
        for path in root.rglob("*")
        if not path.is_dir()
        and others.isdisjoint(path.relative_to(root).parts)
    )


def listing(root: pathlib.Path) -> dict[str, Any]:
    """Give what is under a directory, with times of change and digests."""
    return {
        str(path.relative_to(root)): (
            path.lstat().st_mtime_ns,
            path.is_file() and digest(path),
        )
        for path in root.rglob("*")
        if ".conductors" not in path.parts
    }


def dump(engine: gt.TaskEngine) -> dict[str, list[Any]]:
    """Give every row of every table there is, also of those not ours."""
    found = sa.MetaData()
    with engine.database.read() as connection:
        found.reflect(connection)
        return {
            table.name: sorted(
                (tuple(row) for row in connection.execute(sa.select(table))),
                key=repr,
            )
            for table in found.sorted_tables
        }


def finished_atoms(engine: gt.TaskEngine, task_id: str) -> dict[str, float]:
    """Give when each finished atom of a task was recorded."""
    query = sa.text(
        "SELECT name, saved_at FROM gt_atoms WHERE task_id = :id"
        " AND state = 'SUCCESS'"
    )
    with engine.database.read() as connection:
        rows = connection.execute(query, {"id": task_id}).all()
    return {name: saved_at for name, saved_at in rows if saved_at is not None}


# --- gates -------------------------------------------------------------------


class Gate:
    """A place where a process waits for the test, deaf to all else."""

    def __init__(self, home: pathlib.Path) -> None:
        """Use two files in ``home``."""
        self._reached, self._open = home / "reached", home / "open"

    @property
    def is_reached(self) -> bool:
        """Whether somebody has come to it."""
        return self._reached.exists()

    def open(self) -> None:
        """Let everybody through from now on."""
        self._open.touch()

    def go_through(self) -> None:
        """Wait until it is open."""
        self._reached.touch()
        while not self._open.exists():
            time.sleep(0.005)


class GatedFence:
    """A fence behind which there is a gate."""

    def __init__(self, fence: ports.Fence, gate: Gate) -> None:
        """Let ``fence`` decide."""
        self.number, self._fence, self._gate = fence.number, fence, gate

    def check(self) -> None:
        """Ask the fence; what it said may be old when this returns."""
        self._fence.check()
        self._gate.go_through()


def gated(place: str, gate: Gate) -> dict[str, Any]:
    """Give what makes an engine wait at one place of an import.

    :param place: ``check``, ``store``, ``link`` or ``register``; no other
        place has a gate
    """

    class Wait(gt.Atom):
        """A check that waits.

        There is nothing to revert.
        """

        behaviour = "idempotent"

        def execute(self, image_file: ports.Artifact) -> None:
            """Wait at the gate."""
            gate.go_through()

    class Store(directory_store.DirectoryStore):
        """A store that waits before it does anything, or before it links."""

        def put(self, *words: Any, fence: ports.Fence, **rest: Any) -> int:
            """Wait, and store."""
            if place == "store":
                gate.go_through()
            else:
                fence = GatedFence(fence, gate)
            return super().put(*words, fence=fence, **rest)

    class Catalogue(sql_catalogue.SqlCatalogue):
        """A catalogue that waits before it publishes."""

        def publish(self, image: ports.Image, fence: int) -> None:
            """Wait, and publish."""
            gate.go_through()
            super().publish(image, fence)

    parts: dict[str, dict[str, Any]] = {
        "check": {"checks": {"wait": Wait}},
        "store": {"store": Store},
        "link": {"store": Store},
        "register": {"catalogue": Catalogue},
    }
    return parts.get(place, {})


# --- a process of its own ----------------------------------------------------


def main(home: str, chosen: str, place: str, *until_idle: str) -> None:
    """Conduct the tasks under ``home`` until SIGTERM.

    :param chosen: keywords of :func:`make_engine`, JSON
    :param place: of the gate
    """
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    here = pathlib.Path(home)
    gates = gated(place, Gate(here))
    with opened(here, **json.loads(chosen), **gates) as engine:
        conductor = gt.Conductor(engine)
        signal.signal(signal.SIGTERM, lambda *_: conductor.drain())
        conductor.run(until_idle=bool(until_idle))


if __name__ == "__main__":
    main(*sys.argv[1:])
