# SPDX-License-Identifier: Apache-2.0
import hashlib
import json
import os
import threading

import pytest

from glance_tasks import directio
from glance_tasks import exceptions
from glance_tasks import ledger
from glance_tasks import merkle
from glance_tasks.imagefile import raw
from glance_tasks.imagefile import restraint
from glance_tasks.imagefile import view
from glance_tasks.testing import doubles
from tests.support import images

MIB = 1 << 20
PLENTY = restraint.Limits(60, 60, 4 << 30, 1 << 30)
SOURCE = {"name": "fetched", "checksum": "0"}


@pytest.fixture(autouse=True)
def frequent_marks(monkeypatch):
    monkeypatch.setattr(raw, "_BETWEEN_MARKS", MIB)


@pytest.fixture
def disk(tmp_path):
    images.disk(tmp_path / "disk", 8 * MIB)
    return tmp_path / "disk"


def write(disk, path, *, stop=None, source=SOURCE, progress=None):
    stop = stop or doubles.NeverStop()
    progress = progress or doubles.RecordingProgress()
    with view.RawView(disk, "raw", limits=PLENTY, stop=stop) as shown:
        return raw.write_raw(
            shown, path, source=source, stop=stop, progress=progress
        )


def cut(disk, path, *, after):
    """Leave as a crash would, after so many bytes were written."""

    class Progress(doubles.RecordingProgress):
        def bytes(self, done, total):
            if done >= after:
                raise exceptions.RunInterrupted

    with pytest.raises(exceptions.RunInterrupted):
        write(disk, path, progress=Progress())


def expected(disk):
    data = disk.read_bytes()
    tree = merkle.Tree()
    tree.update(memoryview(data))
    return {merkle.NAME: tree.hexdigest()} | {
        name: hashlib.new(name, data, usedforsecurity=False).hexdigest()
        for name in ("md5", "sha512")
    }


def test_a_copy_has_the_bytes_and_their_digests(tmp_path, disk):
    written = write(disk, tmp_path / "copy")

    assert (tmp_path / "copy").read_bytes() == disk.read_bytes()
    assert written == raw.Written(8 * MIB, expected(disk), 0)


def test_holes_stay_holes(tmp_path, disk):
    write(disk, tmp_path / "copy")

    assert (tmp_path / "copy").stat().st_blocks * 512 <= 5 * MIB


def test_a_disk_of_nothing_but_zeros_has_its_size(tmp_path):
    (tmp_path / "disk").touch()
    os.truncate(tmp_path / "disk", 3 * MIB)

    written = write(tmp_path / "disk", tmp_path / "copy")

    assert (tmp_path / "copy").read_bytes() == bytes(3 * MIB)
    assert written.size == 3 * MIB


def test_progress_goes_up_to_the_size(tmp_path, disk):
    progress = doubles.RecordingProgress()

    write(disk, tmp_path / "copy", progress=progress)

    assert progress.reports[-1] == (8 * MIB, 8 * MIB)
    assert progress.reports == sorted(progress.reports)
    assert progress.advances == 8


def test_a_cut_copy_goes_on_at_its_last_mark(tmp_path, disk):
    cut(disk, tmp_path / "copy", after=5 * MIB)

    written = write(disk, tmp_path / "copy")

    assert 4 * MIB <= written.resumed_at <= 5 * MIB
    assert written.digests == expected(disk)
    assert (tmp_path / "copy").read_bytes() == disk.read_bytes()


def test_a_copy_goes_on_after_every_cut(tmp_path, disk):
    for after in range(1, 9):
        cut(disk, tmp_path / "copy", after=after * MIB)

    written = write(disk, tmp_path / "copy")

    assert written.resumed_at >= 7 * MIB
    assert written.digests == expected(disk)
    assert (tmp_path / "copy").read_bytes() == disk.read_bytes()


def test_a_stop_is_heard_while_a_mark_waits_for_the_disk(
    tmp_path, disk, monkeypatch
):
    let_go, sync = threading.Event(), os.fdatasync
    progress, seen = doubles.RecordingProgress(), []

    class StopWhenStuck(doubles.NeverStop):
        """A stop signal that comes when nothing moves any more."""

        def check(self):
            seen.append(len(progress.reports))
            if progress.reports and len(set(seen[-8:])) == 1:
                let_go.set()
                raise exceptions.LeaseLost("stuck")

    def slow(fd):
        if progress.reports:
            let_go.wait(60)
        sync(fd)

    monkeypatch.setattr(os, "fdatasync", slow)

    with pytest.raises(exceptions.LeaseLost):
        write(disk, tmp_path / "copy", stop=StopWhenStuck(), progress=progress)

    assert progress.advances < len(progress.reports)


def test_bytes_that_changed_on_disk_are_written_again(tmp_path, disk):
    cut(disk, tmp_path / "copy", after=5 * MIB)
    with (tmp_path / "copy").open("r+b") as file:
        file.seek(3 * MIB // 2)
        file.write(b"rotten")

    written = write(disk, tmp_path / "copy")

    assert written.resumed_at == MIB
    assert written.digests == expected(disk)
    assert (tmp_path / "copy").read_bytes() == disk.read_bytes()


def test_what_lies_behind_the_last_mark_is_not_trusted(tmp_path, disk):
    cut(disk, tmp_path / "copy", after=3 * MIB)
    with (tmp_path / "copy").open("r+b") as file:
        file.seek(7 * MIB)
        file.write(b"garbage after a loss of power")

    write(disk, tmp_path / "copy")

    assert (tmp_path / "copy").read_bytes() == disk.read_bytes()


@pytest.mark.parametrize("lost", ["copy", "copy.ledger"])
def test_a_file_without_its_ledger_is_begun_anew(tmp_path, disk, lost):
    cut(disk, tmp_path / "copy", after=5 * MIB)
    (tmp_path / lost).unlink()

    written = write(disk, tmp_path / "copy")

    assert written == raw.Written(8 * MIB, expected(disk), 0)


def test_another_source_begins_anew_in_a_new_file(tmp_path, disk):
    cut(disk, tmp_path / "copy", after=5 * MIB)
    with (tmp_path / "copy").open("r+b") as frozen:
        written = write(disk, tmp_path / "copy", source={"name": "other"})

        frozen.write(b"from a process that woke up")

    assert written.resumed_at == 0
    assert (tmp_path / "copy").read_bytes() == disk.read_bytes()


def test_the_ledger_tells_what_was_made_from_what(tmp_path, disk):
    write(disk, tmp_path / "copy")

    record = ledger.read(tmp_path / "copy")

    assert record is not None
    assert record.header == {"source": SOURCE, "size": 8 * MIB}
    assert record.done == ledger.Mark(8 * MIB, expected(disk), done=True)
    assert record.marks[-1].offset == 8 * MIB


def test_every_mark_is_true(tmp_path, disk):
    cut(disk, tmp_path / "copy", after=6 * MIB)
    data = disk.read_bytes()

    record = ledger.read(tmp_path / "copy")

    assert record is not None
    assert record.marks
    for mark in record.marks:
        found = hashlib.sha512(data[: mark.offset]).hexdigest()
        assert mark.digests["sha512"] == found


def test_a_link_in_the_place_of_the_copy_is_not_followed(tmp_path, disk):
    (tmp_path / "precious").write_bytes(b"precious")
    record = {"ledger": 1, "header": {"source": SOURCE, "size": 8 * MIB}}
    (tmp_path / "copy.ledger").write_text(json.dumps(record) + "\n")
    (tmp_path / "copy").symlink_to(tmp_path / "precious")

    with pytest.raises(OSError, match="symbolic links"):
        write(disk, tmp_path / "copy")

    assert (tmp_path / "precious").read_bytes() == b"precious"


@pytest.mark.parametrize("size", [1, 65_535, 65_536, 200_001])
def test_a_sparse_write_gives_the_same_bytes(tmp_path, size):
    data = bytes(size // 3) + b"x" + bytes(size - size // 3 - 1)
    fd = ledger.create_file(tmp_path / "file")

    writer = directio.Writer(fd)
    raw.write_sparse(writer, memoryview(data), 0, skip=True)

    os.ftruncate(fd, size)
    os.close(fd)
    assert (tmp_path / "file").read_bytes() == data
