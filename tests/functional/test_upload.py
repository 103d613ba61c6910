# SPDX-License-Identifier: Apache-2.0
"""Uploads: bytes are handed in, and an image appears when they are whole."""

import hashlib
import io
import os
import pathlib
import signal
import subprocess
import sys
import threading

import pytest
import sqlalchemy as sa

import glance_tasks as gt
from glance_tasks import conductor
from glance_tasks import engine as gt_engine
from glance_tasks import reaper
from glance_tasks import testing
from glance_tasks.persistence import models
from tests.support import crafted
from tests.support import engines
from tests.support import importing

MIB = 1 << 20
NOISE = importing.noise(3 * MIB + 512)


class Cut(io.BytesIO):
    """A stream that fails after so many bytes, as a client's does."""

    def __init__(self, data, after):
        super().__init__(data[:after])

    def read(self, size=-1):
        data = super().read(size)
        if not data:
            raise ConnectionResetError("the client went away")
        return data


@pytest.fixture
def kit():
    with testing.EngineFixture() as kit:
        yield kit


def submit(kit, given="raw", **more):
    return kit.engine.submit(
        "upload", {"upload_format": given, **more}, owner="project"
    )


def hand_in(kit, task, data, **how):
    return kit.engine.receive(task.id, io.BytesIO(data), **how)


def shown(kit):
    return kit.engine.catalogue.find(limit=10, hidden=True)


def stored(kit, task):
    image = kit.engine.catalogue.get(task.result["image_id"])
    with kit.engine.store.open(image.location) as file:
        return file.read()


def look(kit, task):
    """Have a conductor look at the task once."""
    conductor.Conductor(kit.engine, max_tasks=1).run_one(task.id)
    return kit.engine.get(task.id)


def test_what_is_handed_in_becomes_an_image(kit):
    properties = {"name": "snapshot", "os_distro": "debian"}
    task = submit(kit, image_properties=properties)

    staged = hand_in(kit, task, NOISE)
    assert (staged.size, staged.whole) == (len(NOISE), True)
    assert shown(kit) == []
    task = kit.run(task.id)

    assert task.result == {
        "image_id": task.image_id,
        "size": len(NOISE),
        "virtual_size": len(NOISE),
        "disk_format": "raw",
        "checksum": hashlib.md5(NOISE, usedforsecurity=False).hexdigest(),
        "os_hash_algo": "sha512",
        "os_hash_value": hashlib.sha512(NOISE).hexdigest(),
    }
    (image,) = shown(kit)
    assert (image.name, image.owner) == ("snapshot", "project")
    assert image.properties["os_distro"] == "debian"
    assert stored(kit, task) == NOISE
    assert testing.find_leftovers(kit.engine) == []


def test_it_is_converted_if_asked_to(kit):
    task = submit(kit, image_properties={"disk_format": "qcow2"})
    hand_in(kit, task, NOISE)

    task = kit.run(task.id)

    assert task.result["disk_format"] == "qcow2"
    assert task.result["virtual_size"] == len(NOISE)
    path = kit.home / "out.qcow2"
    path.write_bytes(stored(kit, task))
    words = ["convert", "-f", "qcow2", "-O", "raw", path, kit.home / "raw"]
    subprocess.run(["qemu-img", *words], check=True)
    assert (kit.home / "raw").read_bytes() == NOISE


def test_a_task_whose_bytes_have_not_come_waits_and_goes_on_at_once(kit):
    task = submit(kit)

    waiting = look(kit, task)
    assert waiting.queue_reason == "its bytes are being handed in"
    assert shown(kit) == []

    hand_in(kit, task, NOISE)
    # No wake(): the last byte has done that.
    assert kit.run(task.id).status == "success"


@pytest.mark.parametrize("size", [{}, {"size": len(NOISE)}])
def test_a_stream_that_breaks_is_told_and_continued(kit, size):
    task = submit(kit, **size)

    with pytest.raises(gt.UploadTruncated, match=f"after {MIB + 7} bytes"):
        kit.engine.receive(task.id, Cut(NOISE, MIB + 7))

    look(kit, task)
    staged = kit.engine.received(task.id)
    assert (staged.size, staged.whole) == (MIB + 7, False)
    kit.restart()
    hand_in(kit, task, NOISE[MIB + 7 :], offset=MIB + 7)
    kit.engine.board.wake(0)
    assert stored(kit, kit.run(task.id)) == NOISE


def test_a_stream_that_ends_short_of_its_length_is_told(kit):
    task = submit(kit)

    with pytest.raises(gt.UploadTruncated, match=f"after {MIB} of {2 * MIB} "):
        hand_in(kit, task, NOISE[:MIB], length=2 * MIB)

    assert not kit.engine.received(task.id).whole


def test_an_empty_stream_is_no_image(kit):
    task = submit(kit)

    with pytest.raises(gt.UploadTruncated, match="after 0 bytes"):
        hand_in(kit, task, b"")

    assert not kit.engine.received(task.id).whole


def test_a_stream_that_is_cut_is_not_whole_because_the_next_is_empty(kit):
    # As a closed socket is.
    task = submit(kit)
    with pytest.raises(gt.UploadTruncated):
        kit.engine.receive(task.id, Cut(NOISE, MIB))

    with pytest.raises(gt.UploadTruncated, match=f"after {MIB} bytes"):
        hand_in(kit, task, b"", offset=MIB)
    assert not kit.engine.received(task.id).whole

    # Whoever says that this was all is believed.
    assert hand_in(kit, task, b"", offset=MIB, length=0).whole
    assert stored(kit, kit.run(task.id)) == NOISE[:MIB]


def test_no_more_is_read_than_there_is_said_to_be(kit):
    task = submit(kit)
    inlet, outlet = os.pipe()
    with open(inlet, "rb", 0) as source, open(outlet, "wb", 0) as client:
        client.write(NOISE[:1000])
        # Another read would wait for ever.
        assert kit.engine.receive(task.id, source, length=1000).whole


def test_the_last_byte_may_come_while_the_task_is_set_aside(kit, monkeypatch):
    task = submit(kit)
    controls = kit.engine.services().controls
    leave = controls.leave

    def late(claim, **how):
        hand_in(kit, task, NOISE)
        return leave(claim, **how)

    monkeypatch.setattr(controls, "leave", late)
    assert look(kit, task).queue_reason
    assert kit.run(task.id).status == "success"


def test_a_task_that_ends_while_it_is_told_is_not_taken_for_a_short_one(
    kit, monkeypatch
):
    task = submit(kit)
    wake = kit.engine.board.wake

    def run_at_once(older_than, task_id=None):
        wake(older_than, task_id)
        conductor.Conductor(kit.engine, max_tasks=1).run_one(task.id)

    monkeypatch.setattr(kit.engine.board, "wake", run_at_once)
    staged = hand_in(kit, task, NOISE)
    assert (staged.size, staged.whole) == (len(NOISE), True)
    assert kit.engine.get(task.id).status == "success"


def test_who_runs_a_task_waits_for_its_bytes(kit, monkeypatch):
    monkeypatch.setattr(gt_engine, "_AGAIN_S", 0.0)
    task = submit(kit)
    runner = threading.Thread(target=kit.engine.run, args=(task.id,))
    runner.start()
    engines.until(lambda: kit.engine.get(task.id).queue_reason, "a look")
    hand_in(kit, task, NOISE)
    runner.join(60)
    assert kit.engine.get(task.id).status == "success"


def test_what_cannot_be_kept_is_told_without_a_path(kit):
    task = submit(kit)
    (kit.home / "staging").write_text("no directory")
    with pytest.raises(gt.StoreError) as raised:
        hand_in(kit, task, NOISE)
    assert str(raised.value) == (
        "what is handed in cannot be kept: Not a directory"
    )


def test_bytes_come_in_pieces_where_their_number_was_announced(kit):
    task = submit(kit, size=len(NOISE))

    for start in range(0, len(NOISE), MIB):
        piece = NOISE[start : start + MIB]
        staged = hand_in(kit, task, piece, offset=start, length=len(piece))
        assert staged.whole == (start + len(piece) == len(NOISE))

    assert stored(kit, kit.run(task.id)) == NOISE


def test_more_than_was_announced_is_refused_and_not_kept(kit):
    task = submit(kit, size=MIB)

    with pytest.raises(gt.UploadTooBig, match=f"more than {MIB} bytes"):
        hand_in(kit, task, NOISE)

    assert not kit.engine.received(task.id).whole


def test_more_than_is_allowed_is_refused():
    settings = {"glance_tasks_upload": {"max_bytes": MIB}}
    with testing.EngineFixture(settings=settings) as kit:
        with pytest.raises(gt.InvalidInput, match="/size: is 1048577"):
            submit(kit, size=MIB + 1)
        task = submit(kit)
        with pytest.raises(gt.UploadTooBig):
            hand_in(kit, task, NOISE)
        at = kit.engine.received(task.id).size
        rest = NOISE[at:MIB]
        hand_in(kit, task, rest, offset=at, length=len(rest))
        assert kit.run(task.id).status == "success"


def test_an_upload_that_is_left_fails_and_frees_what_it_had():
    settings = {"glance_tasks_upload": {"timeout": 60.0}}
    with testing.EngineFixture(settings=settings) as kit:
        task = submit(kit, size=len(NOISE))
        hand_in(kit, task, NOISE[:MIB])
        for path in (kit.home / "staging" / task.id).iterdir():
            at = path.stat().st_mtime - 61
            os.utime(path, (at, at))
        tasks = models.TASKS
        with kit.engine.database.write() as connection:
            connection.execute(
                sa.update(tasks).values(created_at=tasks.c.created_at - 61)
            )

        task = kit.run(task.id)

        assert task.failure.code == "upload_truncated"
        assert task.failure.summary == (
            f"the upload ended after {MIB} of {len(NOISE)} bytes, and nothing"
            " more came for 60 s"
        )
        assert shown(kit) == []
        assert testing.find_leftovers(kit.engine) == []
        assert not kit.engine.received(task.id).size
        # It stays to be found by its owner.
        (found,) = kit.engine.find(gt.Requester("project"))
        assert found.id == task.id


@pytest.mark.parametrize("offset", [0, MIB - 1, MIB + 1])
def test_bytes_from_elsewhere_are_refused(kit, offset):
    task = submit(kit, size=len(NOISE))
    hand_in(kit, task, NOISE[:MIB])

    with pytest.raises(gt.TaskConflict, match=f"expected those from {MIB} on"):
        hand_in(kit, task, NOISE[offset:], offset=offset)

    assert kit.engine.received(task.id).size == MIB


def test_a_task_takes_bytes_only_while_it_waits_for_some(kit):
    task = submit(kit)
    hand_in(kit, task, NOISE)
    with pytest.raises(gt.TaskConflict, match="has all its bytes"):
        hand_in(kit, task, NOISE)
    kit.run(task.id)
    with pytest.raises(gt.TaskConflict, match="has ended as success"):
        hand_in(kit, task, NOISE)
    given = {"import_from": "http://127.0.0.1/", "import_from_format": "raw"}
    other = kit.engine.submit("import", given)
    with pytest.raises(gt.TaskConflict, match="which takes no bytes"):
        hand_in(kit, other, NOISE)
    assert list((kit.home / "staging").iterdir()) == []


def test_two_do_not_hand_in_at_once(kit):
    task = submit(kit)
    reached, go = threading.Event(), threading.Event()

    class Slow(io.BytesIO):
        def read(self, size=-1):
            reached.set()
            assert go.wait(30)
            return super().read(size)

    first = threading.Thread(
        target=kit.engine.receive, args=(task.id, Slow(NOISE))
    )
    first.start()
    try:
        assert reached.wait(30)
        with pytest.raises(gt.TaskConflict, match="somebody hands in bytes"):
            hand_in(kit, task, NOISE)
    finally:
        go.set()
        first.join()
    assert stored(kit, kit.run(task.id)) == NOISE


def test_the_task_of_another_project_is_not_there(kit):
    task = submit(kit)
    with pytest.raises(gt.TaskNotFound):
        hand_in(kit, task, NOISE, requester=gt.Requester("other"))
    with pytest.raises(gt.TaskNotFound):
        kit.engine.received(task.id, gt.Requester("other"))


def test_the_checksum_is_held_against_what_came(kit):
    right = submit(kit, checksum=f"sha384:{hashlib.sha384(NOISE).hexdigest()}")
    wrong = submit(kit, checksum=f"sha256:{'0' * 64}")
    for task in (right, wrong):
        hand_in(kit, task, NOISE)

    assert kit.run(right.id).status == "success"
    assert kit.run(wrong.id).failure.code == "checksum_mismatch"
    assert len(shown(kit)) == 1
    assert testing.find_leftovers(kit.engine) == []


def test_a_hostile_image_is_refused_whoever_hands_it_in(kit):
    task = submit(kit, "qcow2")
    hand_in(
        kit,
        task,
        crafted.qcow2(backing_file_offset=0x200, backing_file_size=11),
    )

    assert kit.run(task.id).failure.code == "unsafe_image"
    assert shown(kit) == []
    assert testing.find_leftovers(kit.engine) == []


def test_where_it_cannot_be_linked_it_is_copied(kit, monkeypatch, tmp_path):
    disk = testing.FullDisk(tmp_path / "other", 8 * MIB)
    with disk:
        settings = {"glance_tasks_upload": {"dir": str(disk.path)}}
        with testing.EngineFixture(settings=settings) as kit:
            task = submit(kit)
            hand_in(kit, task, NOISE)
            assert stored(kit, kit.run(task.id)) == NOISE
            assert list(disk.path.iterdir()) == []


def test_bytes_that_changed_where_they_lie_are_not_copied(tmp_path):
    with testing.FullDisk(tmp_path / "other", 8 * MIB) as disk:
        settings = {"glance_tasks_upload": {"dir": str(disk.path)}}
        with testing.EngineFixture(settings=settings) as kit:
            task = submit(kit)
            hand_in(kit, task, NOISE)
            with (disk.path / task.id / "data").open("r+b") as file:
                file.write(b"flip")
            task = kit.run(task.id)
            assert task.failure.code == "checksum_mismatch"
            assert testing.find_leftovers(kit.engine) == []


def test_a_full_disk_is_told_and_what_came_is_continued(tmp_path):
    with testing.FullDisk(tmp_path / "small", 2 * MIB) as disk:
        settings = {"glance_tasks_upload": {"dir": str(disk.path)}}
        with testing.EngineFixture(settings=settings) as kit:
            task = submit(kit, size=len(NOISE))
            with pytest.raises(gt.DiskFull, match="no room for what is"):
                hand_in(kit, task, NOISE)
            subprocess.run(
                ["mount", "-o", "remount,size=16m", str(disk.path)], check=True
            )
            at = kit.engine.received(task.id).size
            hand_in(kit, task, NOISE[at:], offset=at)
            assert stored(kit, kit.run(task.id)) == NOISE


def test_what_nobody_takes_any_more_is_swept(kit):
    task = submit(kit)
    hand_in(kit, task, NOISE)
    kit.run(task.id)
    # A receiver that was frozen over the end of the task.
    late = kit.home / "staging" / task.id
    late.mkdir()
    (late / "data").write_bytes(b"late")

    engine = kit.engine
    reaped = reaper.reap(
        engine.database,
        (engine.area, engine.staging),
        engine.vault,
        engine.store,
    )

    assert reaped.work_dirs == 1
    assert testing.find_leftovers(kit.engine) == []


SLOWLY = """
import pathlib, sys
from glance_tasks import testing

class Slow:
    sent = 0
    def read(self, size):
        if self.sent >= {stop}:
            print("reached", flush=True)
            import time; time.sleep(600)
        self.sent += size
        return bytes([7]) * size

kit = testing.EngineFixture(home=pathlib.Path(sys.argv[1]))
with kit:
    kit.engine.receive(sys.argv[2], Slow())
"""


def test_a_receiver_that_is_killed_is_continued(tmp_path):
    """All but the half of a chunk is there, and it is the right bytes."""
    size, came = 160 * MIB, 128 * MIB
    with testing.EngineFixture(home=tmp_path / "home") as kit:
        task = submit(kit, size=size)
        code = SLOWLY.format(stop=came)
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(kit.home), task.id],
            stdout=subprocess.PIPE,
            cwd=pathlib.Path(__file__).parents[2],
        )
        with process:
            assert process.stdout.readline() == b"reached\n"
            process.send_signal(signal.SIGKILL)
        at = kit.engine.received(task.id).size
        assert came - 64 * MIB <= at <= came

        hand_in(kit, task, bytes([7]) * (size - at), offset=at)

        task = kit.run(task.id)
        expected = hashlib.sha512(bytes([7]) * size).hexdigest()
        assert task.result["os_hash_value"] == expected
        assert testing.find_leftovers(kit.engine) == []
