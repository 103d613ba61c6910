# SPDX-License-Identifier: Apache-2.0
"""Exports: an image leaves, whole, verified, or nothing of it is left."""

import hashlib
import os
import shutil
import subprocess

import pytest
import sqlalchemy as sa

import glance_tasks as gt
from glance_tasks import directio
from glance_tasks import reaper
from glance_tasks.atoms import read as read_image
from glance_tasks.persistence import models
from glance_tasks.testing import contexts
from glance_tasks.testing import failing_store
from glance_tasks.testing import http_sink
from glance_tasks_flows import cloning
from glance_tasks_flows import deleting
from glance_tasks_flows import exporting
from tests.support import derived
from tests.support import engines
from tests.support import images
from tests.support import importing
from tests.support import task_types

MIB = 1 << 20
SIZE = 4 * MIB
TYPES = {
    "export": exporting.ExportTask,
    "clone": cloning.CloneTask,
    "delete": deleting.DeleteTask,
    "line": task_types.LineTask,
}
INHERITED = {"name": "source", "min_disk": 0, "min_ram": 0, "tags": []}
ABSENT = "5b1f0b0e-6f7c-4a57-8d0e-1f5d0b1c2a3b"


class Look(gt.Atom):
    """A check that finds nothing."""

    behaviour = "idempotent"

    def execute(self, image_file):
        """Look at nothing."""


@pytest.fixture
def outside(tmp_path):
    path = tmp_path / "outside"
    path.mkdir()
    return path


@pytest.fixture
def engine(tmp_path, outside, request):
    send = {
        "allowed_networks": ["127.0.0.0/8"],
        "allowed_ports": [],
        "file_roots": [str(outside)],
    }
    made = importing.make_engine(
        tmp_path / "home",
        types=TYPES,
        checks={"look": Look},
        settings={
            "glance_tasks_send": send,
            "glance_tasks": {"public_endpoint": "https://images.example/"},
            **getattr(request, "param", {}),
        },
    )
    yield made
    made.close()


@pytest.fixture
def source(tmp_path, engine):
    """A qcow2 image of the project's."""
    images.disk(tmp_path / "disk", SIZE)
    path = tmp_path / "disk.qcow2"
    images.made(path, tmp_path / "disk", "-O", "qcow2")
    return derived.publish(
        engine,
        path,
        "qcow2",
        SIZE,
        properties={"os_distro": "debian", "base_image_ref": "x"},
    )


@pytest.fixture
def sink():
    with http_sink.HttpSink() as running:
        yield running


def run(engine, source, export_to, **given):
    task = engine.submit(
        "export",
        {"image_id": source.id, "export_to": export_to, **given},
        owner="project",
    )
    engines.run_all(engine)
    return engine.get(task.id)


def stored(engine, image):
    with engine.store.open(image.location) as file:
        return file.read()


@pytest.fixture
def unscrubbed(engine):
    engine.conf.set_override(
        "skip_steps", ["export:ScrubImage"], "glance_tasks"
    )


def test_an_image_is_sent_as_it_is(engine, source, outside, unscrubbed):
    task = run(engine, source, f"file://{outside}")

    assert task.status == "success", task.message
    (file,) = outside.iterdir()
    data = file.read_bytes()
    assert data == stored(engine, source)
    assert task.image_id == source.id
    assert task.result == {
        "image_id": source.id,
        "export_location": f"file://{outside}/{task.id}",
        "disk_format": "qcow2",
        "size": len(data),
        "checksum": source.checksum,
        "os_hash_algo": "sha512",
        "os_hash_value": source.os_hash_value,
        "image_properties": {"os_distro": "debian", **INHERITED},
    }
    assert importing.left(engine.area.root) == []


@pytest.fixture
def plain(tmp_path, engine):
    """A raw image of the project's."""
    path = tmp_path / "plain"
    path.write_bytes(os.urandom(SIZE))
    return derived.publish(engine, path, "raw", SIZE)


def damage(engine, image):
    path = engine.store._path(image.id)
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last[0] ^ 1]))


@pytest.fixture
def read(monkeypatch):
    """How many bytes files were read of, all in all, by digests' readers."""
    seen, original = [], directio.Reader.read

    def counted(self, piece, offset):
        count = original(self, piece, offset)
        seen.append(count)
        return count

    monkeypatch.setattr(directio.Reader, "read", counted)
    return seen


def test_a_raw_image_is_read_once_and_once_where_it_arrived(
    engine, plain, outside, read
):
    task = run(engine, plain, f"file://{outside}")

    assert task.status == "success", task.message
    assert (outside / task.id).read_bytes() == stored(engine, plain)
    assert sum(read) == 2 * SIZE


def test_a_raw_image_that_was_damaged_does_not_arrive(engine, plain, outside):
    damage(engine, plain)

    task = run(engine, plain, f"file://{outside}")

    assert (task.failure.code, task.failure.step) == (
        "image_damaged",
        "SendImage",
    )
    assert plain.os_hash_value in task.message
    assert list(outside.iterdir()) == []


SCRUBBER = {"command": ["true", "{input}", "{output}"]}


@pytest.mark.parametrize(
    ("engine", "given"),
    [
        ({"glance_tasks": {"checks": ["export:look"]}}, {}),
        ({"glance_tasks_scrub": SCRUBBER}, {}),
        ({}, {"export_format": "qcow2"}),
    ],
    ids=["check", "scrubber", "conversion"],
    indirect=["engine"],
)
def test_a_raw_image_is_verified_before_others_look_at_it(
    engine, plain, outside, given
):
    damage(engine, plain)

    task = run(engine, plain, f"file://{outside}", **given)

    assert (task.failure.code, task.failure.step) == (
        "image_damaged",
        "ReadImage",
    )


@pytest.mark.parametrize("only_sent", [True, False])
def test_what_was_only_linked_is_read_where_a_scrubber_came_since(
    tmp_path, only_sent
):
    (tmp_path / "linked").write_bytes(b"x")
    linked = {"name": "linked", "size": 1, "disk_format": "raw"}
    ctx = contexts.context(tmp_path)
    atom = read_image.ReadImage(ctx, only_sent=only_sent)

    assert atom.holds([linked, "raw", {}]) is only_sent
    assert atom.holds([{**linked, "content_digest": "gcd1:0"}, "raw", {}])


def test_an_image_is_converted_on_its_way(engine, source, outside, tmp_path):
    task = run(engine, source, f"file://{outside}", export_format="raw")

    (file,) = outside.iterdir()
    data = file.read_bytes()
    assert data == (tmp_path / "disk").read_bytes()
    assert task.result["disk_format"] == "raw"
    assert task.result["os_hash_value"] == hashlib.sha512(data).hexdigest()


@pytest.mark.parametrize(
    "engine",
    [{"glance_tasks_scrub": {"refuse_properties": ["os_distro=deb*"]}}],
    indirect=True,
)
def test_an_image_that_may_not_leave_stays(engine, source, outside):
    task = run(engine, source, f"file://{outside}", export_format="raw")

    assert (task.failure.code, task.failure.step) == (
        "export_refused",
        "ScrubProperties",
    )
    assert "os_distro = 'debian'" in task.message
    assert list(outside.iterdir()) == []


def test_a_rule_that_is_none_is_refused_at_once(tmp_path):
    with pytest.raises(gt.ConfigurationError, match="expected NAME=VALUE"):
        importing.make_engine(
            tmp_path / "other",
            types=TYPES,
            settings={"glance_tasks_scrub": {"refuse_properties": ["secret"]}},
        )


def test_an_export_shows_what_it_was_and_what_it_gave(engine, source, outside):
    to = f"file://{outside}"

    task = run(engine, source, to, export_format="raw")

    assert (task.owner, task.type, task.status) == (
        *("project", "export", "success"),
    )
    assert (task.image_id, task.message) == (source.id, None)
    assert task.input == {
        "image_id": source.id,
        "export_to": to,
        "export_format": "raw",
    }
    assert task.result["export_location"] == f"{to}/{task.id}"
    assert task.expires_at > task.finished_at


def test_two_exports_under_one_prefix_are_two_objects(engine, source, outside):
    for _ in range(2):
        run(engine, source, f"file://{outside}")

    assert len(list(outside.iterdir())) == 2


def test_what_is_not_of_the_disk_does_not_leave(
    engine, source, outside, tmp_path
):
    file = tmp_path / "with-snapshot.qcow2"
    shutil.copy(tmp_path / "disk.qcow2", file)
    canary = b"c4n4ry" * 1000
    (tmp_path / "canary").write_bytes(canary)
    for words in (
        ["qemu-io", "-c", f"write -s {tmp_path / 'canary'} 0 6000", str(file)],
        ["qemu-img", "snapshot", "-c", "before", str(file)],
        ["qemu-io", "-c", "write -P 7 0 65536", str(file)],
    ):
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    image = derived.publish(engine, file, "qcow2", SIZE)

    task = run(engine, image, f"file://{outside}")

    assert task.status == "success", task.message
    (sent,) = outside.iterdir()
    assert b"c4n4ry" in file.read_bytes()
    assert b"c4n4ry" not in sent.read_bytes()
    assert images.same_disk(file, "qcow2", sent, "qcow2")


def test_an_image_is_put_to_a_temporary_address(
    engine, source, sink, unscrubbed
):
    task = run(engine, source, sink.uri("/a?temp_url_sig=c4n4ry&x=1"))

    assert task.status == "success", task.message
    ((path, taken),) = sink.objects.items()
    assert path == "/a?temp_url_sig=c4n4ry&x=1"
    assert taken.body == stored(engine, source)
    assert "c4n4ry" not in repr((task, engine.events(task.id)))
    assert "c4n4ry" not in repr(engines.dump(engine))


def test_credentials_are_used_and_shown_nowhere(engine, source, sink):
    sink.manners.login = "Bearer c4n4ry-token"

    task = run(
        engine,
        source,
        sink.uri("/a"),
        export_to_credentials={"token": "c4n4ry-token"},
    )

    assert task.status == "success", task.message
    assert "export_to_credentials" not in task.input
    assert "c4n4ry" not in repr(engines.dump(engine))


@pytest.mark.parametrize(
    "manners",
    [{"loses": 1}, {"statuses": [404, 403]}, {"etag": "0" * 32}],
    ids=str,
)
def test_an_export_that_fails_leaves_nothing_there(
    engine, source, sink, manners
):
    for name, value in manners.items():
        setattr(sink.manners, name, value)

    task = run(engine, source, sink.uri("/a"))

    assert task.status == "failure"
    assert task.failure.code.startswith("destination_")
    assert task.failure.left_behind == ()
    assert sink.objects == {}


def test_a_directory_that_is_not_there_has_nothing_to_be_removed(
    engine, source, outside
):
    task = run(engine, source, f"file://{outside}/absent")

    assert task.failure.code == "destination_denied"
    assert task.failure.left_behind == ()


def test_what_could_not_be_removed_there_is_named(engine, source, sink):
    sink.manners.methods = frozenset({"PUT", "HEAD"})
    sink.manners.etag = "0" * 32

    task = run(engine, source, sink.uri("/a"))

    assert task.failure.code == "destination_unverified"
    (left,) = task.failure.left_behind
    assert left.startswith("SendImage: ") and "DELETE" in left


@pytest.mark.parametrize(
    ("given", "pointer"),
    [
        ({"export_to": "ftp://x/y"}, "/export_to"),
        ({"export_to": "file:///etc"}, "/export_to"),
        ({"export_to": "http://10.0.0.1/x"}, "/export_to"),
        ({"image_id": "x"}, "/image_id"),
        ({"export_format": "iso"}, "/export_format"),
        ({"export_to_credentials": {"key": "c4n4ry"}}, "/export_to"),
        ({"overwrite": 1}, "/overwrite"),
    ],
)
def test_what_could_never_work_is_refused_at_once(
    engine, source, sink, given, pointer
):
    whole = {"image_id": source.id, "export_to": sink.uri("/a"), **given}

    with pytest.raises(gt.InvalidInput) as caught:
        engine.submit("export", whole, owner="project")

    assert pointer in [place for place, _ in caught.value.errors]
    assert "c4n4ry" not in str(caught.value)


@pytest.mark.parametrize("owner", ["other", "project"])
def test_no_image_but_ones_own_can_be_exported(engine, source, sink, owner):
    given = source.id if owner == "other" else ABSENT
    task = engine.submit(
        "export",
        {"image_id": given, "export_to": sink.uri("/a")},
        owner=owner,
    )
    engines.run_all(engine)

    failure = engine.get(task.id).failure
    assert (failure.code, failure.step) == ("image_not_found", "ReadImage")
    assert sink.requests == []


def test_exports_and_clones_go_side_by_side(engine, source, outside):
    exports = [
        engine.submit(
            "export",
            {"image_id": source.id, "export_to": f"file://{outside}"},
            owner="project",
        )
        for _ in range(2)
    ]
    clone = engine.submit("clone", {"image_id": source.id}, owner="project")

    engines.run_all(engine)

    ended = [engine.get(task.id).status for task in (*exports, clone)]
    assert ended == ["success"] * 3


def test_an_image_cannot_be_deleted_while_it_is_exported(
    engine, source, outside
):
    given = {"image_id": source.id}
    export = engine.submit(
        "export", {**given, "export_to": f"file://{outside}"}, owner="project"
    )
    clone = engine.submit("clone", given, owner="project")

    with pytest.raises(gt.TaskConflict, match=f"export, task {export.id}"):
        engine.submit("delete", given, owner="project")
    engines.run_all(engine)
    delete = engine.submit("delete", given, owner="project")
    engines.run_all(engine)

    ended = [engine.get(t.id).status for t in (export, clone, delete)]
    assert ended == ["success"] * 3
    with pytest.raises(gt.ImageNotFound):
        engine.catalogue.get(source.id)


# --- temporary URLs of our own -----------------------------------------------


@pytest.fixture
def offered(engine, source):
    """An export without a destination, and the signature of its address."""
    task = engine.submit("export", {"image_id": source.id}, owner="project")
    engines.run_all(engine)
    ended = engine.get(task.id)
    assert ended.status == "success", ended.message
    address, _, signature = ended.result["export_location"].partition("=")
    assert address == (
        f"https://images.example/v2/exports/{task.id}?signature"
    )
    return ended, signature


def test_what_is_sent_nowhere_can_be_fetched_by_its_address(engine, offered):
    task, signature = offered

    found = engine.offered(task.id, signature)

    with found.file as file:
        data = file.read()
    assert len(data) == found.size == task.result["size"]
    assert hashlib.sha512(data).hexdigest() == found.os_hash_value
    assert found.expires_at == task.expires_at


@pytest.mark.parametrize("wrong", ["", "0" * 64, "\ud800", "another's"])
def test_another_signature_finds_nothing(engine, source, offered, wrong):
    task, signature = offered
    if wrong == "another's":
        other = engine.submit("export", {"image_id": source.id}, owner="x")
        task, wrong = other, signature

    with pytest.raises(gt.TaskNotFound, match="there is no export"):
        engine.offered(task.id, wrong)


def test_with_its_task_the_object_goes_too(engine, offered):
    task, signature = offered
    before = set(engine.store.keys())
    with engine.database.write() as connection:
        connection.execute(
            sa.update(models.TASKS).values(expires_at=models.now() - 1)
        )

    with pytest.raises(gt.TaskNotFound):
        engine.offered(task.id, signature)
    done = reaper.reap(
        engine.database,
        (engine.area, engine.staging),
        engine.vault,
        engine.store,
    )

    assert done.tasks == 1
    assert before - set(engine.store.keys()) == {f"export-{task.id}"}


def test_a_task_whose_object_cannot_be_deleted_is_kept(engine, offered):
    task, _ = offered
    with engine.database.write() as connection:
        connection.execute(
            sa.update(models.TASKS).values(expires_at=models.now() - 1)
        )
    failing = failing_store.FailingStore(engine.store, of=["delete"])

    done = reaper.reap(
        engine.database, (engine.area, engine.staging), engine.vault, failing
    )

    assert done.tasks == 0
    assert engine.get(task.id).status == "success"


def test_an_export_that_fails_offers_nothing(engine, source, monkeypatch):
    before = set(engine.store.keys())
    monkeypatch.setattr(exporting.ExportTask, "result_schema", False)
    task = engine.submit("export", {"image_id": source.id}, owner="project")

    engines.run_all(engine)

    assert engine.get(task.id).failure.code == "result_invalid"
    assert set(engine.store.keys()) == before


def test_without_an_address_of_its_own_a_service_offers_nothing(
    tmp_path, source
):
    engine = importing.make_engine(tmp_path / "home", types=TYPES)
    try:
        with pytest.raises(gt.InvalidInput, match="/export_to: is missing"):
            engine.submit("export", {"image_id": source.id})
    finally:
        engine.close()


def test_what_is_only_for_sending_is_refused_without(engine, source):
    with pytest.raises(gt.InvalidInput, match="/overwrite: is of no use"):
        engine.submit("export", {"image_id": source.id, "overwrite": True})
