# SPDX-License-Identifier: Apache-2.0
"""Imports that go well, by a conductor in this process."""

import contextlib
import hashlib
import threading

import pytest

import glance_tasks as gt
from glance_tasks.testing import http_source
from tests.support import engines
from tests.support import images
from tests.support import importing

MIB = 1 << 20
NOISE = importing.noise(3 * MIB + 7)

DRIVERS = {
    "raw": "raw",
    "qcow2": "qcow2",
    "vmdk": "vmdk",
    "vhd": "vpc",
    "vhdx": "vhdx",
    "vdi": "vdi",
}


@pytest.fixture
def server():
    with http_source.HttpSource() as running:
        yield running


@contextlib.contextmanager
def conducting(home, **chosen):
    """Give an engine whose tasks are run by a conductor of this process."""
    with importing.opened(home, **chosen) as engine:
        conductor = gt.Conductor(engine)
        conductor.start()
        try:
            yield engine
        finally:
            conductor.stop()


def run(engine, given):
    task = engine.submit("import", given, owner="project")
    return engine.wait(task.id, timeout=60)


def content(engine, image):
    with engine.store.open(image.location) as file:
        return file.read()


def test_a_source_that_wants_a_login_is_given_it_and_nobody_sees(
    tmp_path, server
):
    login = "me:s3cr3t-word"
    resource = http_source.Resource(body=NOISE, login=login)
    url = server.put("/disk", resource)

    with conducting(tmp_path) as engine:
        task = run(engine, importing.given(url.replace("//", f"//{login}@")))
        events = engine.events(task.id)

    assert task.status == "success"
    assert task.input["import_from"] == url.replace("//", "//***@")
    assert "s3cr3t-word" not in repr([task, events])


def test_an_image_arrives_as_it_was(tmp_path, server):
    url = server.put("/disk", http_source.Resource(body=NOISE))
    checksum = f"sha256:{hashlib.sha256(NOISE).hexdigest()}"

    with conducting(tmp_path) as engine:
        task = run(engine, importing.given(url, checksum=checksum))
        image = engine.catalogue.get(task.image_id)
        found = content(engine, image)

    assert task.status == "success"
    assert task.message is None
    assert found == NOISE
    md5 = hashlib.md5(NOISE, usedforsecurity=False).hexdigest()
    sha512 = hashlib.sha512(NOISE).hexdigest()
    assert task.result == {
        "image_id": task.image_id,
        "size": len(NOISE),
        "virtual_size": len(NOISE),
        "disk_format": "raw",
        "checksum": md5,
        "os_hash_algo": "sha512",
        "os_hash_value": sha512,
    }
    assert (image.name, image.owner, image.status) == (
        "disk",
        "project",
        "active",
    )
    assert (image.checksum, image.os_hash_value) == (md5, sha512)
    assert importing.left(tmp_path / "work") == []
    assert server.sent == len(NOISE)


def test_an_import_is_told_step_by_step(tmp_path, server):
    url = server.put("/disk", http_source.Resource(body=NOISE))

    with conducting(tmp_path) as engine:
        task = run(engine, importing.given(url))
        told = [(e.kind, e.atom) for e in engine.events(task.id)]

    steps = [
        *("FetchImage", "UnpackImage", "InspectImage"),
        *("StoreImage", "RegisterImage", "CheckResult"),
    ]
    assert told == [
        ("submitted", None),
        ("claimed", None),
        *(
            (kind, step)
            for step in steps
            for kind in ("atom_started", "atom_finished")
        ),
        ("succeeded", None),
    ]


@pytest.mark.parametrize("disk_format", DRIVERS)
def test_an_image_of_any_format_becomes_raw(tmp_path, server, disk_format):
    disk, image = tmp_path / "disk", tmp_path / "image"
    images.disk(disk, 8 * MIB)
    images.made(image, disk, "-O", DRIVERS[disk_format])
    url = server.put("/disk", http_source.Resource(body=image))

    with conducting(tmp_path / "home") as engine:
        task = run(engine, importing.given(url, disk_format, "raw"))
        assert task.status == "success", task.message
        found = content(engine, engine.catalogue.get(task.image_id))

    data = disk.read_bytes()
    # A VHD's disk ends with a whole cylinder.
    assert found.rstrip(b"\0") == data.rstrip(b"\0")
    assert len(found) == task.result["size"] == task.result["virtual_size"]
    assert len(found) >= len(data)


@pytest.mark.parametrize("target", [f for f in DRIVERS if f != "raw"])
def test_a_raw_image_becomes_any_format(tmp_path, server, target):
    disk = tmp_path / "disk"
    images.disk(disk, 8 * MIB)
    url = server.put("/disk", http_source.Resource(body=disk))

    with conducting(tmp_path / "home") as engine:
        task = run(engine, importing.given(url, "raw", target))
        assert task.status == "success", task.message

    stored = tmp_path / "home" / "store" / task.image_id
    assert images.same_disk(disk, "raw", stored, DRIVERS[target])
    assert importing.digest(stored) == task.result["os_hash_value"]


def test_a_file_of_an_allowed_directory_can_be_imported(tmp_path):
    images_here = tmp_path / "images"
    images_here.mkdir()
    (images_here / "disk").write_bytes(NOISE)
    roots = {"glance_tasks_fetch": {"file_roots": [str(images_here)]}}

    with conducting(tmp_path / "home", settings=roots) as engine:
        task = run(engine, importing.given(f"file://{images_here}/disk"))
        found = content(engine, engine.catalogue.get(task.image_id))

    assert found == NOISE
    assert (images_here / "disk").read_bytes() == NOISE


def test_what_the_owner_says_of_an_image_is_kept(tmp_path, server):
    url = server.put("/disk", http_source.Resource(body=b"tiny"))
    given = importing.given(url)
    given["image_properties"] = {
        "name": "Brötchen 🥐",
        "visibility": "public",
        "min_disk": 3,
        "min_ram": 512,
        "protected": True,
        "tags": ["a", "ä"],
        "os_distro": "debian",
    }

    with conducting(tmp_path) as engine:
        task = run(engine, given)
        image = engine.catalogue.get(task.image_id)

    assert (image.name, image.visibility) == ("Brötchen 🥐", "public")
    assert (image.min_disk, image.min_ram, image.protected) == (3, 512, True)
    assert image.tags == ("a", "ä")
    assert image.properties == {"os_distro": "debian"}


@pytest.mark.parametrize("size", [1, 511, 512, 513])
def test_the_smallest_images_come_whole(tmp_path, server, size):
    body = NOISE[:size]
    url = server.put("/disk", http_source.Resource(body=body))

    with conducting(tmp_path) as engine:
        task = run(engine, importing.given(url))
        assert task.status == "success", task.message
        assert content(engine, engine.catalogue.get(task.image_id)) == body


@pytest.mark.parametrize(
    "how",
    [
        {"chunked": True},
        {"chunked": True, "etag": None},
        {"ranges": False},
        {"etag": None, "last_modified": "Sat, 21 Nov 2020 00:00:00 GMT"},
        {"statuses": [503, 503]},
        {"cut_after": 700_000, "cuts": 3},
        {"cut_after": 700_000, "cuts": 1, "ranges": False},
        {"cut_after": 700_000, "cuts": 1, "etag": None},
    ],
    ids=str,
)
def test_a_source_with_its_ways_gives_the_image_all_the_same(
    tmp_path, server, how
):
    url = server.put("/disk", http_source.Resource(body=NOISE, **how))

    with conducting(tmp_path) as engine:
        task = run(engine, importing.given(url))
        assert task.status == "success", task.message
        assert content(engine, engine.catalogue.get(task.image_id)) == NOISE


def test_a_retry_keeps_the_image_id_and_succeeds(tmp_path, server):
    url = server.put("/disk", http_source.Resource(status=404))

    with conducting(tmp_path) as engine:
        failed = run(engine, importing.given(url))
        server.put("/disk", http_source.Resource(body=NOISE))
        again = engine.wait(engine.retry(failed.id).id, timeout=60)
        found = content(engine, engine.catalogue.get(again.image_id))

    assert failed.failure.code == "source_not_found"
    assert again.status == "success", again.message
    assert (again.retry_of, again.image_id) == (failed.id, failed.image_id)
    assert found == NOISE


def test_an_import_that_is_drained_goes_on_without_an_attempt(
    tmp_path, server
):
    slow = http_source.Resource(body=NOISE, rate=2 * MIB)
    url = server.put("/disk", slow)

    with conducting(tmp_path) as engine:
        task = engine.submit("import", importing.given(url), owner="me")
        engines.until(lambda: server.sent > MIB, "half of it")
    server.put("/disk", http_source.Resource(body=NOISE))
    with importing.opened(tmp_path) as engine:
        drained = engine.get(task.id)
    with conducting(tmp_path) as engine:
        ended = engine.wait(task.id, timeout=60)

    assert (drained.status, drained.attempts) == ("processing", 0)
    assert (ended.status, ended.attempts) == ("success", 0)
    assert sum(server.asked_again("/disk")) < 2 * MIB


def test_imports_of_one_conductor_run_beside_each_other(tmp_path, server):
    for path in ("/a", "/b"):
        server.put(path, http_source.Resource(body=NOISE, stall_after=MIB))

    with conducting(tmp_path) as engine:
        for path in ("/a", "/b"):
            given = importing.given(server.url(path))
            engine.submit("import", given, owner="me")

        engines.until(lambda: server.sent == 2 * MIB, "both at once")


def test_two_engines_of_one_process_do_not_meet(tmp_path, server):
    url = server.put("/disk", http_source.Resource(body=NOISE))

    with (
        conducting(tmp_path / "one") as one,
        conducting(tmp_path / "two") as two,
    ):
        task = run(one, importing.given(url))

        assert task.status == "success", task.message
        assert two.find() == []
        assert two.catalogue.find() == []


def test_a_plan_outlives_a_change_of_the_configuration(tmp_path, server):
    url = server.put("/disk", http_source.Resource(body=NOISE))
    allowed = threading.Event()

    class Look(gt.Atom):
        """A check.

        There is nothing to revert.
        """

        behaviour = "idempotent"

        def execute(self, image_file):
            """Note that it was asked."""
            allowed.set()

    with importing.opened(tmp_path, checks={"look": Look}) as engine:
        task = engine.submit("import", importing.given(url), owner="me")
    types = gt.Registry(types=importing.TYPES, checks={"look": Look})
    conf = engines.configuration(tmp_path)
    for name, value in importing.LOOPBACK["glance_tasks_fetch"].items():
        conf.set_override(name, value, "glance_tasks_fetch")
    engine = gt.TaskEngine(conf, types=types)
    engines.run_all(engine)
    ended = engine.get(task.id)
    engine.close()

    assert ended.status == "success", ended.message
    assert allowed.is_set()
