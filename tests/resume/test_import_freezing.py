# SPDX-License-Identifier: Apache-2.0
"""Conductors that are frozen past their lease, and thaw."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest
import sqlalchemy as sa

from glance_tasks.testing import http_source
from glance_tasks.testing.certification import processes
from tests.support import engines
from tests.support import images
from tests.support import importing
from tests.support import installation

MIB = 1 << 20
SIZE = 24 * MIB
LEASE_S = 2.0
PATH = "/disk"
PATIENCE = {
    "sqlite": "PRAGMA busy_timeout = 100",
    "postgresql": "SET lock_timeout = 100",
    "mysql": "SET SESSION innodb_lock_wait_timeout = 1",
}
LOST = ("left:", "given back", "its lease was lost")

#: Where the first conductor is frozen. A default run has them all on SQLite
#: and, on the servers, the one where it is about to make an effect.
PLACES = ("fetch", "convert", "check", "store", "link", "register")
ON_SERVERS = ("register",)


@pytest.fixture
def server():
    with http_source.HttpSource() as running:
        yield running


class Scene:
    """Two conductors of one database and one machine."""

    def __init__(self, home, server, database_url, place):
        """Make the source and submit its import.

        It converts qcow2 to raw; but where the fetch is frozen nothing is
        converted, for then the file that is fetched becomes the image.
        """
        self.home, self.place, self._server = home, place, server
        self.gate = importing.Gate(home)
        self.parts = {
            "database_url": database_url,
            "settings": {"glance_tasks": {"claim_ttl": LEASE_S}},
        }
        # A conversion must last until its reader was found.
        size = 4 * SIZE if place == "convert" else SIZE
        importing.noise_file(home / "disk", size)
        if place == "fetch":
            # Slow enough to be caught in the midst of it.
            self._serve("disk", 8 * MIB)
            given = importing.given(server.url(PATH))
        else:
            images.made(home / "qcow2", home / "disk", "-O", "qcow2")
            self._serve("qcow2")
            given = importing.given(server.url(PATH), "qcow2", "raw")
        with self.engine(**importing.gated(place, self.gate)) as engine:
            self.task_id = engine.submit("import", given, owner="me").id

    def _serve(self, name, rate=None):
        self._server.put(
            PATH, http_source.Resource(body=self.home / name, rate=rate)
        )

    def engine(self, **gates):
        """Give an engine that looks on."""
        return importing.opened(self.home, **self.parts, **gates)

    @contextlib.contextmanager
    def conductor(self, name, *until_idle):
        """Run a conductor in a process of its own, killed at the end."""
        words = [str(self.home), json.dumps(self.parts), self.place]
        path = os.pathsep.join(
            str(installation.ROOT / part) for part in ("", "flows")
        )
        with (self.home / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "tests.support.importing"),
                    *(*words, *until_idle),
                ],
                stdout=log,
                stderr=log,
                cwd=installation.ROOT,
                env={**os.environ, "PYTHONPATH": path},
            )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def log(self, name):
        """Give what a conductor has said."""
        return (self.home / f"{name}.log").read_text()

    def freeze(self, process):
        """Freeze a conductor where it is to be; give all that is frozen."""
        frozen = [process.pid]
        if self.place == "fetch":
            engines.until(lambda: self._server.sent > SIZE // 4, "a fetch")
        elif self.place == "convert":
            # Its reader first: then it is in the midst, whatever comes.
            frozen += [engines.until(lambda: reader(process.pid), "a reader")]
        else:
            engines.until(lambda: self.gate.is_reached, "the gate")
        for pid in frozen[1:]:
            os.kill(pid, signal.SIGSTOP)
        processes.freeze(process)
        # Its pulse may be in the midst of a transaction, and a frozen process
        # keeps its locks: then nobody can take over before it thaws.
        while self._is_locked():
            process.send_signal(signal.SIGCONT)
            processes.freeze(process)
        return frozen

    def _is_locked(self):
        engine = sa.create_engine(self.parts["database_url"])
        try:
            with engine.connect() as connection:
                connection.exec_driver_sql(PATIENCE[engine.dialect.name])
                connection.execute(
                    sa.text("UPDATE gt_tasks SET priority = 0 WHERE id = :id"),
                    {"id": self.task_id},
                )
                connection.rollback()
        except sa.exc.OperationalError:
            return True
        finally:
            engine.dispose()
        return False

    def let_another_end_it(self):
        """Have the task taken over and ended."""
        if self.place == "fetch":
            # Of the same ETag: what the first has of it is of no use.
            importing.noise_file(self.home / "other", SIZE, seed=1)
            self._serve("other")
        self.gate.open()
        with self.conductor("second", "until idle") as second:
            assert second.wait(60) == 0, self.log("second")
        with self.engine() as engine:
            task = engine.get(self.task_id)
            assert task.status == "success", task.message
            assert task.fence == 2
            assert importing.torn(engine) == []

    def stored_files(self):
        """Give device and inode of all that is stored."""
        about = [path.stat() for path in (self.home / "store").iterdir()]
        return {(one.st_dev, one.st_ino) for one in about}

    def everything(self):
        """Give all there is in the database, the store and the work area."""
        with self.engine() as engine:
            return {
                **importing.dump(engine),
                "store": importing.listing(self.home / "store"),
                "work": importing.listing(self.home / "work"),
            }


def written_files(pid):
    """Give device and inode of all that a process has open for writing."""
    found = set()
    process = pathlib.Path(f"/proc/{pid}")
    for link in (process / "fd").iterdir():
        info = (process / "fdinfo" / link.name).read_text()
        flags = int(info.partition("flags:")[2].split()[0], 8)
        if flags & (os.O_WRONLY | os.O_RDWR):
            about = link.stat()
            found.add((about.st_dev, about.st_ino))
    return found


def reader(pid):
    """Give the number of the qemu-nbd that a process has started."""
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            status = (entry / "status").read_text()
            words = (entry / "cmdline").read_bytes()
            program = words.partition(b"\0")[0]
            if f"PPid:\t{pid}\n" in status and program.endswith(b"qemu-nbd"):
                return int(entry.name)
    return None


def freeze_and_thaw(home, server, database_url, place):
    scene = Scene(home, server, database_url, place)
    with scene.conductor("first") as first:
        frozen = scene.freeze(first)
        scene.let_another_end_it()
        before = scene.everything()
        # Whatever it would write when it thaws would be in the image.
        assert not written_files(first.pid) & scene.stored_files()

        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
        engines.until(
            lambda: any(words in scene.log("first") for words in LOST),
            "its noticing",
        )
        noticed = scene.everything()
        first.terminate()
        assert first.wait(30) == 0, scene.log("first")

    assert noticed == before
    assert scene.everything() == before
    with scene.engine() as engine:
        assert importing.torn(engine) == []
    assert "Traceback" not in scene.log("first")


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
def test_a_conductor_that_thaws_writes_nothing_more(
    tmp_path, server, sqlite_url, place
):
    freeze_and_thaw(tmp_path, server, sqlite_url, place)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
@pytest.mark.parametrize("place", ON_SERVERS)
def test_on_a_server_it_writes_nothing_more_either(
    tmp_path, server, request, kind, place
):
    url = request.getfixturevalue(f"{kind}_url")

    freeze_and_thaw(tmp_path, server, url, place)


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
@pytest.mark.parametrize("place", sorted({*PLACES} - {*ON_SERVERS}))
def test_it_writes_nothing_more_wherever_it_was_frozen(
    tmp_path, server, request, kind, place
):
    url = request.getfixturevalue(f"{kind}_url")

    freeze_and_thaw(tmp_path, server, url, place)
