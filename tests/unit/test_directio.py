# SPDX-License-Identifier: Apache-2.0
"""Past the page cache a file is written and read as through it."""

import errno
import os

import pytest

from glance_tasks import directio

MIB = 1 << 20


@pytest.fixture
def fd(tmp_path):
    descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def writer(fd):
    made = directio.Writer(fd)
    yield made
    made.close()


@pytest.fixture
def direct(monkeypatch):
    """The offsets and sizes that were written past the cache."""
    return watched(monkeypatch, "pwrite", len)


def watched(monkeypatch, name, size):
    """Note where a call of os passes by the cache, and with how many bytes."""
    seen, plain = [], getattr(os, name)

    def call(fd, data, offset):
        path = f"/proc/self/fdinfo/{fd}"
        with open(path, encoding="ascii") as info:
            flags = int(info.read().partition("flags:")[2].split()[0], 8)
        if flags & os.O_DIRECT:
            seen.append((offset, size(data)))
        return plain(fd, data, offset)

    monkeypatch.setattr(os, name, call)
    return seen


def filled(size):
    buffer = directio.buffer(size)
    buffer[:] = os.urandom(size)
    return buffer


def needs_direct(path):
    if not directio.supported(path):
        pytest.skip("this file system writes through the cache only")


def test_whole_blocks_pass_by_the_cache_and_the_tail_does_not(
    tmp_path, writer, direct
):
    needs_direct(tmp_path / "file")
    data = filled(2 * MIB)

    writer.write(data[: MIB + 5], 4096)

    assert direct == [(4096, MIB)]
    found = (tmp_path / "file").read_bytes()
    assert found == bytes(4096) + bytes(data[: MIB + 5])


@pytest.mark.parametrize(
    ("start", "size", "offset"),
    [(0, 4096, 0), (0, MIB, 100), (0, 1, 0), (0, 255 << 10, 0)],
)
def test_what_is_small_or_odd_goes_through_it(
    tmp_path, writer, direct, start, size, offset
):
    data = filled(2 * MIB)

    writer.write(data[start : start + size], offset)

    assert direct == []
    found = (tmp_path / "file").read_bytes()
    assert found == bytes(offset) + bytes(data[start : start + size])


def test_memory_that_lies_askew_is_written_all_the_same(tmp_path, writer):
    data = filled(2 * MIB)[1 : MIB + 1]

    writer.write(data, 0)

    assert (tmp_path / "file").read_bytes() == bytes(data)


def test_a_file_system_without_it_gets_the_bytes_through_the_cache(
    tmp_path, writer, monkeypatch
):
    plain = os.open

    def refusing(path, flags, *args, **kwargs):
        if flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return plain(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", refusing)
    data = filled(MIB)

    writer.write(data, 0)

    assert not directio.supported(tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == bytes(data)


def test_a_full_disk_is_told(fd, monkeypatch):
    def full(fd, piece, offset):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    writer = directio.Writer(fd)

    with pytest.raises(OSError, match="No space left"):
        writer.write(filled(MIB), 0)
    writer.close()


def test_closing_leaves_no_descriptor_but_the_callers(fd, tmp_path):
    before = os.listdir("/proc/self/fd")
    writer = directio.Writer(fd)
    writer.write(filled(MIB), 0)

    writer.close()
    writer.close()

    assert os.listdir("/proc/self/fd") == before


# --- reading -----------------------------------------------------------------


@pytest.fixture
def reader(fd):
    made = directio.Reader(fd)
    yield made
    made.close()


@pytest.fixture
def past(monkeypatch):
    """The offsets and sizes that were read past the cache."""
    return watched(monkeypatch, "preadv", lambda into: len(into[0]))


@pytest.mark.parametrize("size", [0, 5, 300 << 10, MIB, MIB + 5])
def test_what_was_written_is_read_to_its_end(tmp_path, fd, reader, past, size):
    needs_direct(tmp_path / "file")
    data = os.urandom(size)
    os.pwrite(fd, data, 0)
    buffer, found = directio.buffer(MIB), b""

    while count := reader.read(buffer, len(found)):
        found += bytes(buffer[:count])

    assert found == data
    assert past[0] == (0, MIB)


@pytest.mark.parametrize(
    ("start", "size", "offset"),
    [(0, 4096, 0), (0, MIB, 100), (1, MIB, 0), (0, 1, 0)],
)
def test_what_is_small_or_odd_is_read_through_it(
    fd, reader, start, size, offset
):
    data = os.urandom(2 * MIB)
    os.pwrite(fd, data, 0)
    buffer = directio.buffer(2 * MIB)

    count = reader.read(buffer[start : start + size], offset)

    assert count == size
    assert buffer[start : start + size] == data[offset : offset + size]


def test_a_file_system_without_it_is_read_through_the_cache(
    fd, reader, monkeypatch
):
    def refuse(*args, **kwargs):
        raise OSError(errno.EINVAL, "no O_DIRECT here")

    data = os.urandom(MIB)
    os.pwrite(fd, data, 0)
    monkeypatch.setattr(os, "open", refuse)
    buffer = directio.buffer(MIB)

    assert reader.read(buffer, 0) == MIB
    assert buffer == data
