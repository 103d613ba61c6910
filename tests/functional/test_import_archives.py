# SPDX-License-Identifier: Apache-2.0
"""Imports of archives, from their address to the store."""

import gzip
import hashlib

import pytest

import glance_tasks as gt
from glance_tasks.testing import http_source
from tests.support import archives
from tests.support import engines
from tests.support import images
from tests.support import importing

MIB = 1 << 20


@pytest.fixture
def server():
    with http_source.HttpSource() as running:
        yield running


@pytest.fixture
def disk(tmp_path):
    images.disk(tmp_path / "disk", 4 * MIB)
    return tmp_path / "disk"


def run(engine, given):
    task = engine.submit("import", given, owner="project")
    engines.run_all(engine)
    return engine.get(task.id)


def stored(engine, task):
    assert task.status == "success", task.message
    with engine.store.open(task.image_id) as file:
        return file.read()


@pytest.mark.parametrize("kind", archives.PROGRAMS)
@pytest.mark.parametrize("target", [None, "raw", "qcow2"])
def test_a_packed_raw_disk_is_imported(tmp_path, server, disk, kind, target):
    body = archives.packed_by_program(kind, disk)
    url = server.put("/disk", http_source.Resource(body=body))
    given = importing.given(url, "raw", target, import_from_archive=kind)

    with importing.opened(tmp_path / "home") as engine:
        task = run(engine, given)
        found = stored(engine, task)
        (image,) = engine.catalogue.find()

    assert task.result["disk_format"] == (target or "raw")
    assert task.result["virtual_size"] == 4 * MIB
    assert image.container_format == "bare"
    assert image.os_hash_value == hashlib.sha512(found).hexdigest()
    assert target == "qcow2" or found == disk.read_bytes()
    assert importing.left(tmp_path / "home" / "work") == []


@pytest.mark.parametrize("target", ["qcow2", "raw"])
def test_a_packed_qcow2_needs_no_word_of_it(tmp_path, server, disk, target):
    images.made(tmp_path / "image", disk, "-O", "qcow2")
    body = gzip.compress((tmp_path / "image").read_bytes())
    url = server.put("/disk", http_source.Resource(body=body))

    with importing.opened(tmp_path / "home") as engine:
        task = run(engine, importing.given(url, "qcow2", target))
        found = stored(engine, task)

    expected = tmp_path / "image" if target == "qcow2" else disk
    assert found == expected.read_bytes()


@pytest.mark.parametrize("target", ["vmdk", "raw"])
@pytest.mark.parametrize("container", [None, "ova"])
def test_an_exported_machine_is_imported(
    tmp_path, server, disk, target, container
):
    body = archives.exported(tmp_path, disk)
    url = server.put("/disk", http_source.Resource(body=body))
    given = importing.given(url, "vmdk", target)
    if container:
        given["image_properties"]["container_format"] = container

    with importing.opened(tmp_path / "home") as engine:
        task = run(engine, given)
        found = stored(engine, task)
        (image,) = engine.catalogue.find()

    vmdk = tmp_path / "exported" / "box-disk1.vmdk"
    assert found == (vmdk if target == "vmdk" else disk).read_bytes()
    assert image.container_format == "bare"
    assert task.result["disk_format"] == target


def test_the_checksum_is_of_the_file_that_was_fetched(tmp_path, server):
    body = gzip.compress(archives.IMAGE)
    url = server.put("/disk", http_source.Resource(body=body))
    right = hashlib.sha256(body).hexdigest()
    inner = hashlib.sha256(archives.IMAGE).hexdigest()

    with importing.opened(tmp_path) as engine:
        taken, refused = (
            run(engine, importing.given(url, "qcow2", checksum=f"sha256:{d}"))
            for d in (right, inner)
        )

    assert taken.status == "success", taken.message
    assert taken.result["size"] == len(archives.IMAGE)
    assert refused.failure.code == "checksum_mismatch"


def test_a_service_may_leave_unpacking_out(tmp_path, server):
    body = gzip.compress(archives.IMAGE)
    url = server.put("/disk", http_source.Resource(body=body))
    without = {"glance_tasks": {"skip_steps": ["import:UnpackImage"]}}

    with importing.opened(tmp_path, settings=without) as engine:
        packed = run(engine, importing.given(url, "qcow2"))
        server.put("/disk", http_source.Resource(body=archives.IMAGE))
        plain = run(engine, importing.given(url, "qcow2"))

    assert (packed.failure.code, packed.failure.step) == (
        "format_mismatch",
        "InspectImage",
    )
    assert plain.status == "success", plain.message


class Interrupted(gt.Atom):
    """A check over which the service dies, once.

    There is nothing to revert.
    """

    behaviour = "idempotent"
    died = False

    def execute(self, image_file):
        """Die the first time."""
        if not Interrupted.died:
            Interrupted.died = True
            raise gt.RunInterrupted("gone")


@pytest.mark.parametrize(
    ("lost", "target", "fetches"),
    [
        ({"unpacked"}, None, 1),
        ({"converted"}, "qcow2", 1),
        # The conversion had removed the archive.
        ({"converted", "unpacked"}, "qcow2", 2),
    ],
)
def test_what_was_lost_is_made_again(
    tmp_path, server, disk, lost, target, fetches
):
    body = gzip.compress(disk.read_bytes())
    url = server.put("/disk", http_source.Resource(body=body))
    given = importing.given(url, "raw", target, import_from_archive="gzip")
    Interrupted.died = False
    checks = {"check": Interrupted}

    with importing.opened(tmp_path / "h", checks=checks) as engine:
        with pytest.raises(gt.RunInterrupted):
            run(engine, given)
        for path in (tmp_path / "h" / "work").rglob("*"):
            if path.name in lost:
                path.unlink()
        engines.lapse(engine)
        engines.run_all(engine)
        (task,) = engine.find()
        stored(engine, engine.get(task.id))

    assert server.sent == len(body) * fetches


class Look(gt.Atom):
    """A check that notes which files there are.

    There is nothing to revert.
    """

    behaviour = "idempotent"
    seen: list[str] = []

    def execute(self, image_file):
        """Look into the work directory."""
        names = sorted(path.name for path in self.run.work_dir.iterdir())
        Look.seen = [name for name in names if "ledger" not in name]


def test_a_conversion_has_the_room_of_the_archive(tmp_path, server, disk):
    body = gzip.compress(disk.read_bytes())
    url = server.put("/disk", http_source.Resource(body=body))
    given = importing.given(url, "raw", "qcow2", import_from_archive="gzip")

    with importing.opened(tmp_path / "h", checks={"look": Look}) as engine:
        stored(engine, run(engine, given))

    assert Look.seen == ["converted", "unpacked"]
