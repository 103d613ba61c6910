# SPDX-License-Identifier: Apache-2.0
"""Hundreds of small imports, and one large one: rate, sight and memory."""

import concurrent.futures
import contextlib
import hashlib
import threading
import time

import psutil
import pytest

import glance_tasks as gt
from glance_tasks.testing import http_source
from tests.support import engines
from tests.support import importing
from tests.support import installation

MIB = 1 << 20
KIB = 1 << 10
MANY = 200
FAILING = 20
LARGE = 1024 * MIB
MOST_RESIDENT = 150 * MIB


@pytest.fixture
def server():
    with http_source.HttpSource() as running:
        yield running


class Onlooker:
    """Looks into the catalogue all the while, as a user would.

    :ivar torn: images it saw that did not have their whole data
    :ivar looks: how often it looked
    """

    def __init__(self, home):
        self.torn, self.looks = [], 0
        self._home, self._known = home, set()
        self._enough = threading.Event()

    def look_on(self):
        with importing.opened(self._home) as engine:
            while not self._enough.wait(0.002):
                self._look(engine)

    def _look(self, engine):
        self.looks += 1
        for image in engine.catalogue.find(limit=1000):
            if image.id in self._known:
                continue
            self._known.add(image.id)
            try:
                with engine.store.open(image.location) as file:
                    found = hashlib.sha512(file.read()).hexdigest()
            except gt.StoreError:
                found = None
            if found != image.os_hash_value or image.status != "active":
                self.torn.append(image.id)

    def stop(self):
        self._enough.set()


@contextlib.contextmanager
def looked_at(home):
    onlooker = Onlooker(home)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        looking = pool.submit(onlooker.look_on)
        try:
            yield onlooker
        finally:
            onlooker.stop()
    looking.result()


def submit_many(engine, server):
    """Submit 200 imports that succeed and, among them, 20 that fail."""
    good, bad = [], []
    for number in range(MANY):
        body = importing.noise(KIB, seed=number)
        url = server.put(f"/{number}", http_source.Resource(body=body))
        good.append(engine.submit("import", importing.given(url), owner="me"))
        if number % (MANY // FAILING) == 0:
            given = importing.given(url, checksum="sha256:" + "0" * 64)
            bad.append(engine.submit("import", given, owner="me"))
    return good, bad


@pytest.mark.slow
def test_many_imports_succeed_and_are_seen_only_whole(tmp_path, server):
    with importing.opened(tmp_path) as engine:
        good, bad = submit_many(engine, server)
        began = time.monotonic()
        with looked_at(tmp_path) as onlooker:
            gt.Conductor(engine).run(until_idle=True)
        took = time.monotonic() - began
        ends = {task.id: engine.get(task.id) for task in [*good, *bad]}
        published = {i.id for i in engine.catalogue.find(limit=1000)}
        torn = importing.torn(engine)

    print(
        f"{len(ends)} imports of 1 KiB in {took:.1f} s:"
        f" {len(ends) / took:.1f} tasks/s; looked {onlooker.looks} times"
    )
    assert {ends[task.id].message for task in good} == {None}
    assert {ends[t.id].failure.code for t in bad} == {"checksum_mismatch"}
    assert onlooker.torn == torn == []
    assert published == {task.image_id for task in good}
    assert importing.left(tmp_path / "work") == []
    assert len(importing.left(tmp_path / "store")) == MANY


def test_an_image_without_its_data_would_be_seen(tmp_path, server):
    url = server.put("/disk", http_source.Resource(body=b"tiny"))
    with importing.opened(tmp_path) as engine:
        task = engine.submit("import", importing.given(url), owner="me")
        engines.run_all(engine)
    (tmp_path / "store" / task.image_id).unlink()

    with looked_at(tmp_path) as onlooker:
        engines.until(lambda: onlooker.looks > 1, "a look")

    assert onlooker.torn == [task.image_id]


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("disk_format", ["raw", "qcow2"])
def test_a_large_import_needs_little_memory(tmp_path, server, disk_format):
    raw, source = tmp_path / "raw", tmp_path / "source"
    importing.noise_file(raw, LARGE)
    importing.images.made(source, raw, "-O", disk_format)
    here = installation.Installation(tmp_path)
    url = server.put("/disk", http_source.Resource(body=source))
    task_id = here.submit(importing.given(url, disk_format, "raw"))
    most = 0

    with here.conductor("--until-idle") as conductor:
        watched = psutil.Process(conductor.pid)
        while conductor.poll() is None:
            with contextlib.suppress(psutil.NoSuchProcess):
                most = max(most, watched.memory_info().rss)
            time.sleep(0.02)

    print(f"{disk_format}: {most / MIB:.0f} MiB resident at most")
    task = here.ask("task", "show", task_id)
    assert task["status"] == "success", task["message"]
    assert task["result"]["os_hash_value"] == importing.digest(raw)
    assert 0 < most < MOST_RESIDENT
