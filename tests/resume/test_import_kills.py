# SPDX-License-Identifier: Apache-2.0
"""Imports whose conductor is killed with SIGKILL, at random moments."""

import pathlib
import random
import time

import pytest

from glance_tasks.testing import http_source
from tests.support import cutting
from tests.support import engines
from tests.support import images
from tests.support import importing
from tests.support import installation

MIB = 1 << 20
RATE = 24 * MIB
CHUNK = 16 * MIB
PATH = "/disk"
MOMENTS = 20


class Sources:
    """A disk of noise, raw and as qcow2, with its digest."""

    def __init__(self, home, size):
        self.size, self.raw = size, home / "disk.raw"
        importing.noise_file(self.raw, size)
        self.qcow2 = home / "disk.qcow2"
        images.made(self.qcow2, self.raw, "-O", "qcow2")
        self.digest = importing.digest(self.raw)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    return Sources(tmp_path_factory.mktemp("large"), 256 * MIB)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return Sources(tmp_path_factory.mktemp("small"), 48 * MIB)


@pytest.fixture(scope="module")
def chooser():
    return random.Random(cutting.seed())


@pytest.fixture
def server():
    with http_source.HttpSource() as running:
        yield running


def kill_once(home, server, sources, disk_format, moment):
    """Import, kill the conductor ``moment`` seconds after its first request.

    :returns: the installation, the id of the task, and what was finished
        when the conductor was dead
    """
    here = installation.Installation(home, {"chunk_size": CHUNK})
    file = sources.raw if disk_format == "raw" else sources.qcow2
    url = server.put(PATH, http_source.Resource(body=file, rate=RATE))
    task_id = here.submit(importing.given(url, disk_format, "raw"))
    with here.conductor() as conductor:
        engines.until(lambda: server.requests, "a request")
        time.sleep(moment)
        conductor.kill()
        conductor.wait()
    with importing.opened(here.data_dir) as engine:
        status = engine.get(task_id).status
        finished = importing.finished_atoms(engine, task_id)
    print(
        f"{disk_format}: killed {moment:.2f} s after the first request, as"
        f" {status}, with {', '.join(finished) or 'nothing'} done"
    )
    return here, task_id, finished


def check_end(here, server, sources, task_id, finished):
    """Check what must be true after another conductor has gone on."""
    task = here.ask("task", "show", task_id)
    assert task["status"] == "success", task["message"]
    stored = here.data_dir / "store" / task["result"]["image_id"]
    assert importing.digest(stored) == sources.digest
    assert task["result"]["os_hash_value"] == sources.digest
    with importing.opened(here.data_dir) as engine:
        now = importing.finished_atoms(engine, task_id)
    assert {name: now[name] for name in finished} == finished
    again = server.asked_again(PATH)
    print(f"fetched twice: {sum(again) / MIB:.1f} MiB")
    assert len(again) <= 1
    assert sum(again) <= CHUNK
    assert importing.left(here.data_dir / "work") == []
    assert [p.name for p in (here.data_dir / "store").iterdir()] == [
        stored.name
    ]


def kill_and_go_on(home, server, sources, disk_format, chooser):
    # Fetching takes this long; what follows it, half a second or so.
    moment = chooser.uniform(0, sources.size / RATE + 0.5)
    here, task_id, finished = kill_once(
        home, server, sources, disk_format, moment
    )

    here.conduct()

    check_end(here, server, sources, task_id, finished)


@pytest.mark.slow
@pytest.mark.parametrize("disk_format", ["raw", "qcow2"])
def test_an_import_survives_the_death_of_its_conductor(
    tmp_path: pathlib.Path, server, small, disk_format, chooser
):
    kill_and_go_on(tmp_path, server, small, disk_format, chooser)


@pytest.mark.soak
@pytest.mark.parametrize("number", range(MOMENTS))
def test_an_import_survives_a_death_at_any_moment(
    tmp_path, server, large, number, chooser
):
    disk_format = ("raw", "qcow2")[number % 2]

    kill_and_go_on(tmp_path, server, large, disk_format, chooser)
