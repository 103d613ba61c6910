# SPDX-License-Identifier: Apache-2.0
"""Zips that hold one file, and those that only look so."""

import io
import random
import struct
import zipfile

import pytest

from glance_tasks import exceptions
from glance_tasks.archive import zip as zips
from glance_tasks.imagefile import reader
from tests.support import archives

IMAGE = archives.IMAGE
GOOD = archives.zipped(("disk", IMAGE))
LOCAL, LISTED, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"


@pytest.fixture
def find(tmp_path):
    def find(data):
        (tmp_path / "archive").write_bytes(data)
        with reader.opened(tmp_path / "archive") as archive:
            return zips.find(archive)

    return find


def put(data, magic, place, layout, *values):
    """Overwrite fields of one of its structures."""
    changed = bytearray(data)
    start = data.rindex(magic) + place
    struct.pack_into(layout, changed, start, *values)
    return bytes(changed)


def both(data, local, listed, layout, *values):
    """Overwrite the same field in the header and in the directory."""
    return put(
        put(data, LOCAL, local, layout, *values),
        *(LISTED, listed, layout),
        *values,
    )


def mode(bits):
    return put(GOOD, LISTED, 38, "<I", bits << 16)


def named(name):
    return archives.zipped((name, IMAGE))


def longer_directory(size):
    """Give a zip whose directory is as much longer."""
    listed, end = GOOD.rindex(LISTED), GOOD.rindex(END)
    data = GOOD[:end] + bytes(size) + GOOD[end:]
    return put(data, END, 12, "<I", end - listed + size)


def overlapping():
    """Give a zip two of whose entries share their bytes."""
    target = io.BytesIO(GOOD)
    with zipfile.ZipFile(target, "a") as archive:
        again = archive.infolist()[0]
        archive.filelist.append(again)
        archive._didModify = True
    return target.getvalue()


UNFIT = {
    "nothing": archives.zipped(),
    "two files": archives.zipped(("a", IMAGE), ("b", IMAGE)),
    "the same file twice": overlapping(),
    "a directory": named("disk/"),
    "a link": mode(0o120777),
    "a device": mode(0o060660),
    "a pipe": mode(0o010660),
    "a password": both(GOOD, 6, 8, "<H", 1),
    "strong encryption": both(GOOD, 6, 8, "<H", 0x41),
    "a hidden header": both(GOOD, 6, 8, "<H", 0x2000),
    "a patch": both(GOOD, 6, 8, "<H", 0x20),
    "bzip2 inside": archives.zipped(("a", IMAGE), method=zipfile.ZIP_BZIP2),
    "lzma inside": archives.zipped(("a", IMAGE), method=zipfile.ZIP_LZMA),
    "deflate64": both(GOOD, 8, 10, "<H", 9),
    "several disks": put(GOOD, LISTED, 34, "<H", 1),
    "an endless directory": longer_directory(5 << 20),
}

MALFORMED = {
    "no end": GOOD[:-10],
    "no directory": GOOD.replace(LISTED, b"PK\0\0"),
    "no header": GOOD.replace(LOCAL, b"PK\0\0", 1),
    "something before it": b"#!/bin/sh\n" + GOOD,
    "another file before it": archives.zipped(("x", b"x"))[:40] + GOOD,
    "an entry that begins elsewhere": put(GOOD, LISTED, 42, "<I", 5),
    "another name in the header": put(GOOD, LOCAL, 30, "4s", b"disc"),
    "another method in the header": put(GOOD, LOCAL, 8, "<H", 0),
    "another flag in the header": put(GOOD, LOCAL, 6, "<H", 8),
    "another size in the header": put(GOOD, LOCAL, 22, "<I", 7),
    "another length in the header": put(GOOD, LOCAL, 18, "<I", 7),
    "another sum in the header": put(GOOD, LOCAL, 14, "<I", 7),
    "a shorter entry": both(GOOD, 18, 20, "<I", 7),
    "a longer entry": both(GOOD, 18, 20, "<I", 1 << 30),
    "an extra field over the directory": put(GOOD, LOCAL, 28, "<H", 60_000),
    "a gap": GOOD.replace(LISTED, bytes(16) + LISTED),
    "a version from the future": put(GOOD, LISTED, 6, "<H", 99),
}


@pytest.mark.parametrize("name", UNFIT)
def test_a_zip_that_is_no_lone_plain_file_is_refused(find, name):
    with pytest.raises(exceptions.ArchiveError, match="expected") as caught:
        find(UNFIT[name])

    assert caught.value.code == "archive_unfit"


@pytest.mark.parametrize("name", MALFORMED)
def test_a_zip_that_contradicts_itself_is_refused(find, name):
    with pytest.raises(exceptions.ArchiveError, match="expected") as caught:
        find(MALFORMED[name])

    assert caught.value.code == "archive_malformed"


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "C:\\disk", "Brötchen", "a/b"]
)
def test_the_name_of_the_file_does_not_matter(find, name):
    assert find(named(name)).size == len(IMAGE)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_the_entry_is_found_with_what_is_told_of_it(find, method):
    data = archives.zipped(("disk", IMAGE), method=method)

    member = find(data)

    assert (member.size, member.start) == (len(IMAGE), 34)
    assert member.crc32 == zipfile.crc32(IMAGE)
    assert (member.codec is None) == (method == zipfile.ZIP_STORED)


def test_a_large_file_has_its_sizes_in_an_extra_field(find):
    target = io.BytesIO()
    with (
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("disk", "w", force_zip64=True) as file,
    ):
        file.write(IMAGE)

    assert find(target.getvalue()).size == len(IMAGE)


STREAMED = archives.zipped_as_a_stream(IMAGE)


def test_a_zip_that_was_written_to_a_pipe_is_taken(find):
    assert find(STREAMED).size == len(IMAGE)


@pytest.mark.parametrize("place", [0, 4, 8, 12])
def test_a_descriptor_behind_the_entry_must_be_true(find, place):
    data = bytearray(STREAMED)
    data[STREAMED.rindex(b"PK\x07\x08") + place] ^= 1

    with pytest.raises(exceptions.ArchiveError) as caught:
        find(bytes(data))

    assert caught.value.code == "archive_malformed"


def test_no_byte_of_a_zip_makes_the_reader_break(find):
    data = archives.zipped(("disk", b"a small image"))
    chooser = random.Random(2)

    for _ in range(2000):
        bad = bytearray(data)
        for _ in range(chooser.randrange(1, 4)):
            bad[chooser.randrange(len(bad))] = chooser.randrange(256)
        try:
            member = find(bytes(bad))
        except exceptions.ArchiveError:
            continue
        assert member.start + member.length <= len(data)
