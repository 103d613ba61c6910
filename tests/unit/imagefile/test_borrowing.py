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


def borrow(source, path, **chosen):
    return borrowing.borrow(
        source,
        path,
        ["sha512", "gcd1"],
        size=3 * MIB + 3,
        stop=chosen.get("stop", doubles.NeverStop()),
        progress=chosen.get("progress", doubles.RecordingProgress()),
    )


def sha512(path):
    return hashlib.sha512(path.read_bytes()).hexdigest()


def test_on_one_file_system_it_is_the_object_itself(tmp_path, stored):
    with stored.open("rb") as source:
        found = borrow(source, tmp_path / "read")

    assert found.linked
    assert os.path.samefile(stored, tmp_path / "read")
    assert (found.size, found.digests["sha512"]) == (
        3 * MIB + 3,
        sha512(stored),
    )


def test_what_is_no_file_is_copied_with_its_holes(tmp_path, stored):
    found = borrow(io.BytesIO(stored.read_bytes()), tmp_path / "read")

    copy = tmp_path / "read"
    assert not found.linked
    assert copy.read_bytes() == stored.read_bytes()
    assert copy.stat().st_blocks * 512 < 2 * MIB
    assert found.digests["sha512"] == sha512(stored)


def test_an_object_that_comes_in_drops_is_copied_whole(tmp_path, stored):
    class Dripping(io.BytesIO):
        def read(self, size=-1):
            return super().read(min(size, 70_001))

    found = borrow(Dripping(stored.read_bytes()), tmp_path / "read")

    assert found.digests["sha512"] == sha512(stored)
    assert (tmp_path / "read").read_bytes() == stored.read_bytes()


def test_an_object_that_was_deleted_just_now_is_copied(tmp_path, stored):
    expected = sha512(stored)
    with stored.open("rb") as source:
        stored.unlink()

        found = borrow(source, tmp_path / "read")

    assert (found.linked, found.digests["sha512"]) == (False, expected)
    assert sha512(tmp_path / "read") == expected


def test_what_is_there_already_is_never_written_to(tmp_path, stored):
    (tmp_path / "read").write_bytes(b"somebody else's")

    with stored.open("rb") as source, pytest.raises(FileExistsError):
        borrow(source, tmp_path / "read")

    assert (tmp_path / "read").read_bytes() == b"somebody else's"


@pytest.mark.parametrize("linked", [True, False])
def test_a_stop_is_heard(tmp_path, stored, linked):
    source = stored.open("rb") if linked else io.BytesIO(stored.read_bytes())

    with source, pytest.raises(exceptions.LeaseLost):
        borrow(source, tmp_path / "read", stop=doubles.StopAfter(2))


@pytest.mark.parametrize("linked", [True, False])
def test_progress_reaches_the_size(tmp_path, stored, linked):
    progress = doubles.RecordingProgress()
    source = stored.open("rb") if linked else io.BytesIO(stored.read_bytes())

    with source:
        borrow(source, tmp_path / "read", progress=progress)

    assert progress.reports[-1] == (3 * MIB + 3, 3 * MIB + 3)
    assert progress.reports == sorted(progress.reports)
