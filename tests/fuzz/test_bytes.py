# SPDX-License-Identifier: Apache-2.0
"""However bytes are cut into pieces, the file and its digests are the same."""

import contextlib
import hashlib
import os
import pathlib

import hypothesis
from hypothesis import strategies as st
import pytest

from glance_tasks import digest
from glance_tasks import directio
from glance_tasks import exceptions
from glance_tasks import ledger
from glance_tasks import merkle
from glance_tasks.imagefile import raw
from glance_tasks.testing import doubles
from tests.support import fuzzing

KIB = 1 << 10
ALGORITHMS = ("md5", "sha512")

# Blocks of nothing, of noise, and what is neither whole nor aligned.
runs = st.tuples(
    st.sampled_from([1, 511, 512, 4 * KIB, 64 * KIB - 1, 64 * KIB, 300 * KIB]),
    st.sampled_from([None, 0, 1, 2]),
)
disks = st.lists(runs, max_size=8).map(
    lambda found: b"".join(
        bytes(size)
        if seed is None
        else hashlib.shake_128(bytes([seed])).digest(size)
        for size, seed in found
    )
)


def digests_of(data):
    return {
        name: hashlib.new(name, data, usedforsecurity=False).hexdigest()
        for name in ALGORITHMS
    }


@contextlib.contextmanager
def descriptor(path, flags=os.O_RDWR | os.O_CREAT | os.O_TRUNC):
    fd = os.open(path, flags)
    try:
        yield fd
    finally:
        os.close(fd)


def never():
    """Let the work go on."""


# --- digests -----------------------------------------------------------------


@fuzzing.examples(200)
@hypothesis.given(
    st.lists(st.binary(min_size=1, max_size=64), max_size=20),
    st.integers(1, 5),
    st.sets(st.integers(0, 20)),
)
def test_digests_and_file_are_those_of_the_pieces_in_order(
    tmp_path, pieces, buffers, looked
):
    written = bytearray()

    def write(piece, offset):
        assert offset == len(written)
        written.extend(piece)

    states = digest.fresh_states(ALGORITHMS)
    so_far, snapshots = b"", []
    with digest.Digests(
        states, write=write, buffers=buffers, size=64
    ) as digests:
        for number, piece in enumerate(pieces):
            buffer = digests.buffer(never)[: len(piece)]
            buffer[:] = piece
            digests.update(buffer)
            so_far += piece
            if number in looked:
                snapshots.append((digests.snapshot(), digests_of(so_far)))
        for snapshot, expected in snapshots:
            assert snapshot.hexdigests() == expected
        assert digests.hexdigests() == digests_of(so_far)
        assert digests.offset == len(so_far)

    assert written == so_far


# --- writing -----------------------------------------------------------------

writes = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 4095, 4096, 256 * KIB, 300 * KIB + 5]),
        st.sampled_from([1, 4096, 5000, 256 * KIB, 256 * KIB + 1, 700 * KIB]),
        # Where in memory the piece begins: O_DIRECT wants whole blocks.
        st.sampled_from([0, 0, 1, 512, 4096]),
    ),
    max_size=5,
)


@fuzzing.examples(80)
@hypothesis.given(writes)
def test_writes_past_the_cache_and_through_it_make_one_file(tmp_path, wanted):
    model = bytearray()
    memory = directio.buffer(1 << 20)

    with descriptor(tmp_path / "file") as fd:
        writer = directio.Writer(fd)
        for number, (offset, size, start) in enumerate(wanted):
            piece = memory[start : start + size]
            piece[:] = bytes([number + 1]) * size
            writer.write(piece, offset)
            model.extend(bytes(max(0, offset + size - len(model))))
            model[offset : offset + size] = piece
        writer.close()

    assert (tmp_path / "file").read_bytes() == model


@fuzzing.examples(150)
@hypothesis.given(disks, disks, st.integers(0, 5000), st.booleans())
def test_a_sparse_write_reads_back_as_what_was_written(
    tmp_path, disk, before, offset, skip
):
    hypothesis.assume(disk)
    piece = directio.buffer(len(disk))
    piece[:] = disk
    with descriptor(tmp_path / "file") as fd:
        if not skip:
            # What is there already is only skipped where it is nothing.
            os.write(fd, before)
        writer = directio.Writer(fd)
        raw.write_sparse(writer, piece, offset, skip=skip)
        writer.close()
        os.ftruncate(fd, offset + len(disk))

    assert (tmp_path / "file").read_bytes()[offset:] == disk


class Disk:
    """A view of a disk, in pieces of drawn sizes.

    :ivar size: in bytes
    """

    def __init__(self, data, pieces):
        self.size = len(data)
        self._data, self._pieces = data, pieces

    def stream(self, start, buffer):
        """Give the bytes from ``start`` on."""
        for number in range(len(self._data) + 1):
            rest = self._data[start:]
            if not rest:
                return
            size = min(len(rest), self._pieces[number % len(self._pieces)])
            piece = buffer()[:size]
            piece[:] = rest[:size]
            start += size
            yield piece


class Cut(doubles.RecordingProgress):
    """Leaves the run once that many bytes are done."""

    def __init__(self, after):
        super().__init__()
        self._after = after

    def bytes(self, done, total):
        """Leave, or go on."""
        if done >= self._after:
            raise exceptions.RunInterrupted


@pytest.fixture
def frequent_marks(monkeypatch):
    monkeypatch.setattr(raw, "_BETWEEN_MARKS", 128 * KIB)


@pytest.mark.usefixtures("frequent_marks")
@fuzzing.examples(60)
@hypothesis.given(
    disks,
    st.lists(st.sampled_from([4 * KIB, 64 * KIB, 300 * KIB]), min_size=1),
    st.lists(st.integers(0, 1 << 20), max_size=3),
    st.integers(0, 1 << 20),
    st.binary(max_size=8),
)
def test_a_raw_copy_cut_anywhere_is_the_disk(
    tmp_path, disk, pieces, cuts, place, spoil
):
    path = tmp_path / "copy"
    ledger.remove(path)
    for after in cuts:
        with contextlib.suppress(exceptions.RunInterrupted):
            copy(path, disk, pieces, Cut(after))
    if path.exists():
        with descriptor(path, os.O_RDWR) as fd:
            os.pwrite(fd, spoil, place)

    written = copy(path, disk, pieces, doubles.RecordingProgress())

    assert path.read_bytes() == disk
    tree = merkle.Tree()
    tree.update(memoryview(disk))
    expected = {**digests_of(disk), merkle.NAME: tree.hexdigest()}
    assert (written.size, written.digests) == (len(disk), expected)


def copy(path: pathlib.Path, disk, pieces, progress):
    return raw.write_raw(
        Disk(disk, pieces),
        path,
        source={"name": "disk"},
        stop=doubles.NeverStop(),
        progress=progress,
    )
