# SPDX-License-Identifier: Apache-2.0
"""Digest and comparison of plain disks; of other formats see functional."""

import contextlib
import hashlib
import os

import pytest

from glance_tasks import exceptions
from glance_tasks import merkle
from glance_tasks.imagefile import content
from glance_tasks.imagefile import disk as disks
from glance_tasks.testing import doubles

BLOCK = 64 << 10
MIB = 1 << 20
NEVER = doubles.NeverStop()


@pytest.fixture
def make(tmp_path):
    """Makes a sparse disk with texts at places; gives its path."""

    def make(name, size, **places):
        path = tmp_path / name
        with path.open("wb") as file:
            file.truncate(size)
            for place, text in places.items():
                file.seek(int(place.strip("_")))
                file.write(text)
        return path

    return make


class Counting(disks.PlainDisk):
    """Counts the bytes that are read."""

    passed = 0

    def stream(self, start, buffer, end=None):
        for piece in super().stream(start, buffer, end):
            self.passed += len(piece)
            yield piece


@contextlib.contextmanager
def opened(*paths, stop=NEVER):
    with contextlib.ExitStack() as stack:
        fds = [os.open(path, os.O_RDONLY) for path in paths]
        for fd in fds:
            stack.callback(os.close, fd)
        yield [Counting(fd, stop) for fd in fds]


def digest(path, **chosen):
    progress = chosen.get("progress", doubles.RecordingProgress())
    stop = chosen.get("stop", NEVER)
    with opened(path, stop=stop) as (disk,):
        found = content.digest_of(disk, stop=stop, progress=progress)
        return found, disk.passed


def compare(one, other, **chosen):
    progress = chosen.get("progress", doubles.RecordingProgress())
    with opened(one, other) as disks:
        found = content.compare(*disks, stop=NEVER, progress=progress)
        return found, [disk.passed for disk in disks]


def expected(path):
    tree = merkle.Tree()
    tree.update(memoryview(path.read_bytes()))
    return merkle.text(tree.hexdigest())


@pytest.mark.parametrize("size", [1, BLOCK, MIB + 1, 9 * MIB + 512])
def test_the_digest_is_that_of_all_bytes(make, size):
    path = make("disk", size, _0=b"a")
    with path.open("r+b") as file:
        file.seek(size // 2)
        file.write(hashlib.shake_256(b"x").digest(size - size // 2))

    found, _ = digest(path)

    assert found == expected(path)


def test_holes_are_not_read(make):
    places = {"_0": b"a", f"_{1 << 38}": b"b", f"_{(1 << 39) + 70}": b"c"}
    path = make("disk", 1 << 40, **places)

    found, passed = digest(path)

    assert found.startswith("gcd1:")
    assert passed == 3 * BLOCK


def test_written_zeros_are_as_good_as_a_hole(make):
    holes = make("holes", 4 * MIB, _70000=b"x")
    zeros = make("zeros", 4 * MIB, _0=bytes(4 * MIB))
    with zeros.open("r+b") as file:
        file.seek(70_000)
        file.write(b"x")

    assert digest(holes)[0] == digest(zeros)[0]
    assert compare(holes, zeros)[0] == digest(holes)[0]


@pytest.mark.parametrize("size", [0, 1, 10 * MIB])
def test_a_disk_of_zeros_has_the_digest_of_nothing(make, size):
    assert digest(make("disk", size)) == (digest(make("no", 0))[0], 0)


def test_equal_disks_give_their_digest(make):
    one = make("one", 8 * MIB, _100=b"a", _5000000=b"b")
    other = make("other", 8 * MIB, _100=b"a", _5000000=b"b")

    found, passed = compare(one, other)

    assert found == expected(one)
    assert passed == [2 * BLOCK, 2 * BLOCK]


@pytest.mark.parametrize("place", [0, BLOCK - 1, BLOCK, 3 * MIB + 77])
def test_one_flipped_bit_is_found_and_its_block_named(make, place):
    data = hashlib.shake_256(b"disk").digest(4 * MIB)
    one = make("one", 4 * MIB, _0=data)
    other = make("other", 4 * MIB, _0=data)
    with other.open("r+b") as file:
        file.seek(place)
        file.write(bytes([data[place] ^ 0x10]))

    found, _ = compare(one, other)

    assert found == content.Difference(place // BLOCK)
    assert found.offset == place // BLOCK * BLOCK
    assert digest(one)[0] != digest(other)[0]


@pytest.mark.parametrize("in_first", [True, False])
def test_data_in_the_hole_of_the_other_is_found(make, in_first):
    empty = make("empty", 1 << 30)
    filled = make("filled", 1 << 30, _500000000=b"x")
    pair = (filled, empty) if in_first else (empty, filled)

    found, _ = compare(*pair)

    assert found == content.Difference(500_000_000 // BLOCK)


@pytest.mark.parametrize("more", [1, 512, BLOCK, MIB])
def test_zeros_at_the_end_are_no_difference(make, more):
    size = 2 * MIB + 1000
    one = make("one", size, _5=b"a", _2097200=b"b")
    other = make("other", size + more, _5=b"a", _2097200=b"b")

    assert compare(one, other)[0] == compare(other, one)[0] == expected(one)


@pytest.mark.parametrize("place", [MIB + 100, MIB + BLOCK, 3 * MIB - 1])
def test_data_behind_the_end_of_the_other_is_found(make, place):
    one = make("one", MIB + 100, _0=b"a")
    other = make("other", 3 * MIB, _0=b"a", **{f"_{place}": b"x"})

    assert compare(one, other)[0] == content.Difference(place // BLOCK)
    assert compare(other, one)[0] == content.Difference(place // BLOCK)


def test_progress_reaches_the_size_of_the_disk(make):
    path = make("disk", 8 * MIB, _0=b"a", _4000000=b"b")
    both, one = doubles.RecordingProgress(), doubles.RecordingProgress()

    digest(path, progress=one)
    compare(path, path, progress=both)

    for progress in one, both:
        assert progress.reports[-1] == (8 * MIB, 8 * MIB)
        assert progress.reports == sorted(progress.reports)


@pytest.mark.parametrize("number", [1, 2, 9])
def test_a_stop_is_heard(make, number):
    path = make("disk", 32 * MIB, _0=b"\1" * 32 * MIB)

    with pytest.raises(exceptions.LeaseLost):
        digest(path, stop=doubles.StopAfter(number))


def test_stretches_are_joined_up_to_a_length(monkeypatch):
    monkeypatch.setattr(content, "_LONGEST", 4 * BLOCK)
    stretches = [(0, 10), (20, 30), (BLOCK, 3 * BLOCK), (3 * BLOCK, 9 * BLOCK)]
    stretches += [(20 * BLOCK + 5, 20 * BLOCK + 6)]

    found = list(content._blocks(stretches, 20 * BLOCK + 10))

    assert found == [
        (0, 3 * BLOCK),
        (3 * BLOCK, 9 * BLOCK),
        (20 * BLOCK, 20 * BLOCK + 10),
    ]
