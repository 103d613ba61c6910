# SPDX-License-Identifier: Apache-2.0
import hashlib
import io
import os

import pytest

from glance_tasks import exceptions
from glance_tasks.imagefile import borrowing
from glance_tasks.testing import doubles

MIB = 1 << 20


@pytest.fixture
def stored(tmp_path):
    """An object of a store: data, a hole, data; nobody may write to it."""
    path = tmp_path / "object"
    with path.open("wb") as file:
        file.write(hashlib.shake_256(b"disk").digest(MIB))
        file.seek(3 * MIB)
        file.write(b"end")
    path.chmod(0o440)
    return path


def about(**chosen):
    return {
        "size": 3 * MIB + 3,
        "stop": doubles.NeverStop(),
        "progress": doubles.RecordingProgress(),
        **chosen,
    }


def hashed(source, path, **chosen):
    assert borrowing.link(source, path)
    return borrowing.hashed(path, ["sha512", "gcd1"], **about(**chosen))


def linked(source, path):
    assert borrowing.link(source, path)


def copy(source, path, **chosen):
    return borrowing.copy(source, path, **about(**chosen))


WAYS = pytest.mark.parametrize("way", [hashed, copy])


def sha512(path):
    return hashlib.sha512(path.read_bytes()).hexdigest()


def test_on_one_file_system_it_is_the_object_itself(tmp_path, stored):
    with stored.open("rb") as source:
        found = hashed(source, tmp_path / "read")

    assert os.path.samefile(stored, tmp_path / "read")
    assert found["sha512"] == sha512(stored)


def test_what_is_no_file_cannot_be_linked(tmp_path, stored):
    assert not borrowing.link(
        io.BytesIO(stored.read_bytes()), tmp_path / "read"
    )

    assert not (tmp_path / "read").exists()


def test_an_object_that_was_deleted_just_now_cannot_be_linked(
    tmp_path, stored
):
    with stored.open("rb") as source:
        stored.unlink()

        assert not borrowing.link(source, tmp_path / "read")


def test_a_copy_has_the_holes(tmp_path, stored):
    copy(io.BytesIO(stored.read_bytes()), tmp_path / "read")

    made = tmp_path / "read"
    assert made.read_bytes() == stored.read_bytes()
    assert made.stat().st_blocks * 512 < 2 * MIB


def test_an_object_that_comes_in_drops_is_copied_whole(tmp_path, stored):
    class Dripping(io.BytesIO):
        def read(self, size=-1):
            return super().read(min(size, 70_001))

    copy(Dripping(stored.read_bytes()), tmp_path / "read")

    assert (tmp_path / "read").read_bytes() == stored.read_bytes()


@pytest.mark.parametrize("way", [linked, copy])
def test_what_is_there_already_is_never_written_to(tmp_path, stored, way):
    (tmp_path / "read").write_bytes(b"somebody else's")

    with stored.open("rb") as source, pytest.raises(FileExistsError):
        way(source, tmp_path / "read")

    assert (tmp_path / "read").read_bytes() == b"somebody else's"


@WAYS
def test_a_stop_is_heard(tmp_path, stored, way):
    with stored.open("rb") as source, pytest.raises(exceptions.LeaseLost):
        way(source, tmp_path / "read", stop=doubles.StopAfter(2))


@WAYS
def test_progress_reaches_the_size(tmp_path, stored, way):
    progress = doubles.RecordingProgress()

    with stored.open("rb") as source:
        way(source, tmp_path / "read", progress=progress)

    assert progress.reports[-1] == (3 * MIB + 3, 3 * MIB + 3)
    assert progress.reports == sorted(progress.reports)
