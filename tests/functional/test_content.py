# SPDX-License-Identifier: Apache-2.0
"""The guest content digest of real images, through every format in turn."""

import contextlib
import itertools
import struct

import pytest

from glance_tasks import exceptions
from glance_tasks.imagefile import content
from glance_tasks.imagefile import disk as disks
from glance_tasks.imagefile import restraint
from glance_tasks.testing import contexts
from glance_tasks.testing import doubles
from tests.support import conversions
from tests.support import images
from tests.support import programs

MIB = 1 << 20
BLOCK = 64 << 10
LIMITS = restraint.Limits(60, 60, 4 << 30, 1 << 30)
JOURNEY = ("raw", "qcow2", "vmdk", "vdi", "vhdx", "vhd", "raw")


@contextlib.contextmanager
def opened(path, disk_format):
    with disks.opened(
        path, disk_format, limits=LIMITS, stop=doubles.NeverStop()
    ) as disk:
        yield disk


def digest(path, disk_format):
    with opened(path, disk_format) as disk:
        return content.digest_of(
            disk,
            stop=doubles.NeverStop(),
            progress=doubles.RecordingProgress(),
        )


def compare(one, one_format, other, other_format):
    with opened(one, one_format) as first, opened(other, other_format) as last:
        return content.compare(
            first,
            last,
            stop=doubles.NeverStop(),
            progress=doubles.RecordingProgress(),
        )


def converted(home, source, disk_format, target):
    """Convert by our own step; gives the new file."""
    home.mkdir()
    (home / "fetched").hardlink_to(source)
    size = source.stat().st_size
    with opened(source, disk_format) as disk:
        inspected = {"disk_format": disk_format, "virtual_size": disk.size}
    fetched = {"name": "fetched", "size": size}
    ctx = contexts.context(home)
    artifact = conversions.converted(ctx, target, fetched, inspected)
    return home / artifact["name"]


def journey(tmp_path, size):
    """Give the files of a disk that goes through all formats."""
    images.disk(tmp_path / "disk", size)
    files = [tmp_path / "disk"]
    for number, (source, target) in enumerate(itertools.pairwise(JOURNEY)):
        home = tmp_path / f"{number}-{target}"
        files.append(converted(home, files[-1], source, target))
    return files


@pytest.mark.parametrize("size", [8 * MIB, 3 * MIB + 1001])
def test_a_disk_keeps_its_digest_through_every_format(tmp_path, size):
    files = journey(tmp_path, size)

    found = [digest(*pair) for pair in zip(files, JOURNEY, strict=True)]

    assert len(set(found)) == 1
    assert found[0].startswith("gcd1:")
    assert programs.qemus(tmp_path) == []


@pytest.mark.parametrize("target", conversions.WORDS)
def test_one_flipped_bit_is_found_and_its_block_named(tmp_path, target):
    images.disk(tmp_path / "disk", 8 * MIB)
    place = 5 * MIB + 12_345
    with (tmp_path / "disk").open("r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        images.made(
            tmp_path / "image",
            tmp_path / "disk",
            *conversions.WORDS[target].split(),
        )
        file.seek(place)
        file.write(bytes([byte ^ 1]))

    found = compare(tmp_path / "disk", "raw", tmp_path / "image", target)

    assert found == content.Difference(place // BLOCK)
    assert digest(tmp_path / "disk", "raw") != digest(
        tmp_path / "image", target
    )


@pytest.mark.parametrize("target", ["qcow2", "vmdk", "vdi", "vhd"])
def test_the_holes_of_an_image_are_told(tmp_path, target):
    with (tmp_path / "disk").open("wb") as file:
        file.truncate(64 * MIB)
        for place in (0, 33 * MIB):
            file.seek(place)
            file.write(b"x")
    words = conversions.WORDS[target].split()
    images.made(tmp_path / "image", tmp_path / "disk", *words)

    with opened(tmp_path / "image", target) as disk:
        found = list(disk.data(0, disk.size))

    # A VHD has blocks of 2 MiB, whole or not at all.
    assert sum(end - begin for begin, end in found) <= 4 * MIB
    for place in (0, 33 * MIB):
        assert any(begin <= place < end for begin, end in found)


def test_a_damaged_image_is_told_in_words(tmp_path):
    images.disk(tmp_path / "disk", 8 * MIB)
    images.made(tmp_path / "image", tmp_path / "disk", "-O", "qcow2")
    with (tmp_path / "image").open("r+b") as file:
        (first_table,) = struct.unpack_from(">Q", file.read(48), 40)
        file.seek(first_table)
        file.write(struct.pack(">Q", (1 << 63) | 0x50200))

    with pytest.raises(exceptions.ConvertError) as caught:
        digest(tmp_path / "image", "qcow2")

    assert "cannot be read: error 5" in str(caught.value)
    assert programs.qemus(tmp_path) == []
