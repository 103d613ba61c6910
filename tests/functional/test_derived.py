# SPDX-License-Identifier: Apache-2.0
"""Images made of images: the types convert and clone, run to their end."""

import hashlib
import io
import os

import pytest

import glance_tasks as gt
from glance_tasks import exceptions
from tests.support import conversions
from tests.support import derived
from tests.support import engines
from tests.support import images
from tests.support import importing

MIB = 1 << 20
SIZE = 4 * MIB
DRIVERS = {"raw": "raw", "vmdk": "vmdk", "vhd": "vpc"}
ABSENT = "5b1f0b0e-6f7c-4a57-8d0e-1f5d0b1c2a3b"
GIVEN = {"image_id": ABSENT, "disk_format": "raw"}


@pytest.fixture
def home(tmp_path):
    """A directory for an engine, with a disk and a qcow2 of it beside."""
    images.disk(tmp_path / "disk", SIZE)
    images.made(tmp_path / "disk.qcow2", tmp_path / "disk", "-O", "qcow2")
    return tmp_path / "home"


@pytest.fixture
def engine(home):
    made = derived.make_engine(home)
    yield made
    made.close()


@pytest.fixture
def source(home, engine):
    return derived.publish(
        engine,
        home.parent / "disk.qcow2",
        "qcow2",
        SIZE,
        tags=("a",),
        min_disk=1,
        protected=True,
        visibility="public",
        properties={"os_distro": "debian"},
    )


def run(engine, kind, owner="project", **given):
    task = engine.submit(kind, given, owner=owner)
    engines.run_all(engine)
    return engine.get(task.id)


def content(engine, image_id):
    with engine.store.open(engine.catalogue.get(image_id).location) as file:
        return file.read()


@pytest.mark.parametrize("target", ["raw", "vmdk", "vhd"])
def test_an_image_is_made_in_another_format(home, engine, source, target):
    task = run(engine, "convert", image_id=source.id, disk_format=target)

    assert task.status == "success", task.message
    image = engine.catalogue.get(task.image_id)
    data = content(engine, image.id)
    (home / "result").write_bytes(data)
    assert images.same_disk(
        home.parent / "disk", "raw", home / "result", DRIVERS[target]
    )
    assert task.result == {
        "image_id": image.id,
        "size": len(data),
        "virtual_size": SIZE,
        "disk_format": target,
        "checksum": hashlib.md5(data, usedforsecurity=False).hexdigest(),
        "os_hash_algo": "sha512",
        "os_hash_value": hashlib.sha512(data).hexdigest(),
        "content_digest": conversions.content_digest(home.parent / "disk"),
    }
    assert importing.left(home / "work") == []


def test_what_is_not_to_be_verified_has_no_content_digest(engine, source):
    task = run(
        engine,
        "convert",
        image_id=source.id,
        disk_format="vdi",
        verify=False,
    )

    assert task.status == "success"
    assert "content_digest" not in task.result


@pytest.mark.parametrize("kind", ["convert", "clone"])
def test_the_new_image_has_what_the_source_has(engine, source, kind):
    given = {"disk_format": "raw"} if kind == "convert" else {}

    task = run(engine, kind, image_id=source.id, **given)

    made = engine.catalogue.get(task.image_id)
    assert (made.name, made.min_disk, made.tags) == ("source", 1, ("a",))
    assert made.properties == {"os_distro": "debian"}
    assert (made.visibility, made.protected) == ("shared", False)
    assert engine.catalogue.get(source.id) == source


def test_the_new_image_may_have_a_name_of_its_own(engine, source):
    task = run(engine, "clone", image_id=source.id, name="another")

    assert engine.catalogue.get(task.image_id).name == "another"


def test_a_clone_has_the_same_bytes_and_needs_no_room(home, engine, source):
    task = run(engine, "clone", image_id=source.id)

    assert task.status == "success", task.message
    one, other = (
        os.stat(home / "store" / image_id)
        for image_id in (source.id, task.image_id)
    )
    assert os.path.samestat(one, other)
    assert task.result["os_hash_value"] == source.os_hash_value
    assert task.result["disk_format"] == "qcow2"


def test_a_clone_outlives_its_source(engine, source):
    before = content(engine, source.id)
    task = run(engine, "clone", image_id=source.id)

    engine.catalogue.withdraw(source.id, 1)
    engine.store._path(source.id).unlink()

    assert content(engine, task.image_id) == before


def test_an_image_of_another_store_is_copied(home, engine, source):
    class Elsewhere(type(engine.store)):
        """A store whose objects are no files of this machine."""

        def open(self, key):

            with super().open(key) as file:
                return io.BytesIO(file.read())

    engine.store.__class__ = Elsewhere

    task = run(engine, "convert", image_id=source.id, disk_format="raw")

    assert task.status == "success", task.message
    assert (
        content(engine, task.image_id) == (home.parent / "disk").read_bytes()
    )


# --- what goes wrong ---------------------------------------------------------


@pytest.mark.parametrize(
    ("visibility", "found"),
    [
        ("private", False),
        ("shared", False),
        ("community", True),
        ("public", True),
    ],
)
def test_what_a_project_may_not_read_is_not_there(
    home, engine, visibility, found
):
    image = derived.publish(
        engine,
        home.parent / "disk.qcow2",
        "qcow2",
        SIZE,
        visibility=visibility,
    )

    task = run(engine, "clone", owner="stranger", image_id=image.id)
    absent = run(engine, "clone", owner="stranger", image_id=ABSENT)

    assert (task.status == "success") is found
    assert absent.failure.code == "image_not_found"
    if not found:
        assert task.failure.code == "image_not_found"
        assert task.message.replace(image.id, ABSENT) == absent.message
    else:
        assert engine.catalogue.get(task.image_id).owner == "stranger"


@pytest.mark.parametrize("kind", ["convert", "clone"])
def test_an_image_that_was_damaged_is_not_used(engine, source, kind):
    given = {"disk_format": "raw"} if kind == "convert" else {}
    path = engine.store._path(source.id)
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\1")

    task = run(engine, kind, image_id=source.id, **given)

    assert (task.failure.code, task.failure.step) == (
        "image_damaged",
        "ReadImage",
    )
    assert [image.id for image in engine.catalogue.find()] == [source.id]


def test_an_image_whose_data_is_gone_is_told(engine, source):
    engine.store._path(source.id).unlink()

    task = run(engine, "clone", image_id=source.id)

    assert task.failure.code == "store_unavailable"
    assert str(engine.store._root) not in task.message


def test_an_image_that_is_another_format_is_not_converted(home, engine):
    image = derived.publish(engine, home.parent / "disk", "qcow2", SIZE)

    task = run(engine, "convert", image_id=image.id, disk_format="raw")

    assert (task.failure.code, task.failure.step) == (
        "format_mismatch",
        "InspectImage",
    )


def test_the_stores_file_is_never_writable_and_outlives_a_failure(
    home, engine, source
):
    data = content(engine, source.id)

    class Veto(gt.Atom):
        """A check that refuses.

        There is nothing to revert.
        """

        behaviour = "idempotent"

        def execute(self, image_file):
            path = self.run.work_dir / image_file["name"]
            assert path.stat().st_mode & 0o222 == 0
            raise gt.CheckRefused("it is not liked")

    checking = derived.make_engine(
        home,
        checks={"veto": Veto},
        settings={"glance_tasks": {"checks": ["clone:veto"]}},
    )

    task = run(checking, "clone", image_id=source.id)
    checking.close()

    assert task.failure.code == "check_refused"
    assert importing.left(home / "work") == []
    assert importing.left(home / "store") == [source.id]
    assert content(engine, source.id) == data


@pytest.mark.parametrize(
    ("kind", "given", "pointer"),
    [
        ("convert", {"disk_format": "raw"}, "/image_id"),
        ("convert", {"image_id": ABSENT}, "/disk_format"),
        (
            "convert",
            {"image_id": ABSENT, "disk_format": "iso"},
            "/disk_format",
        ),
        ("convert", {"image_id": "../a", "disk_format": "raw"}, "/image_id"),
        ("clone", {"image_id": ABSENT, "name": "a\0b"}, "/name"),
        ("clone", {"image_id": ABSENT, "owner": "me"}, "/owner"),
    ],
)
def test_an_input_that_does_not_fit_is_pointed_at(
    engine, kind, given, pointer
):
    with pytest.raises(exceptions.InvalidInput) as caught:
        engine.submit(kind, given)

    assert [place for place, _ in caught.value.errors] == [pointer]
