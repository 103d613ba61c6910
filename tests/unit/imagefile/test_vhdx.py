# SPDX-License-Identifier: Apache-2.0
import struct
import uuid

import pytest

from glance_tasks import exceptions
from glance_tasks.imagefile import inspect
from glance_tasks.imagefile import vhdx
from tests.support import crafted
from tests.support import metering

UNKNOWN = "00000000-0000-0000-0000-000000000001"
TABLE, METADATA = crafted.REGIONS
PARAMETERS, SIZE, SECTOR = crafted.ITEMS


def region(name, place, length):
    kept = [entry for entry in crafted.REGIONS if entry[0] != name]
    return crafted.vhdx(regions=(*kept, (name, place, length, 1)))


def item(name, value, place=65600):
    kept = [entry for entry in crafted.ITEMS if entry[0] != name]
    return crafted.vhdx(items=(*kept, (name, place, value)))


def second_table_differs():
    image = bytearray(crafted.vhdx())
    image[(256 << 10) + 40] ^= 1
    return bytes(image)


HOSTILE = {
    "a parent": (
        "unsafe_image",
        item(crafted.PARAMETERS, struct.pack("<II", 32 << 20, 2)),
    ),
    "a parent's place": (
        "unsafe_image",
        item(crafted.PARENT_LOCATOR, bytes(20)),
    ),
    "a log to replay": ("image_malformed", crafted.vhdx(log=b"\x01" * 16)),
    "headers with wrong checksums": (
        "image_malformed",
        crafted.vhdx(checksums=False),
    ),
    "4 billion regions": (
        "image_malformed",
        crafted.vhdx(region_count=(1 << 32) - 1),
    ),
    "2048 regions": ("image_malformed", crafted.vhdx(region_count=2048)),
    "no regions": ("image_malformed", crafted.vhdx(region_count=0)),
    "no metadata": ("image_malformed", crafted.vhdx(regions=(TABLE,))),
    "a region twice": (
        "image_malformed",
        crafted.vhdx(regions=(TABLE, METADATA, TABLE)),
    ),
    "a required region nobody knows": (
        "image_malformed",
        crafted.vhdx(
            regions=(TABLE, METADATA, (UNKNOWN, 2 << 20, 1 << 20, 1))
        ),
    ),
    "another second region table": ("image_malformed", second_table_differs()),
    "metadata outside the file": (
        "image_malformed",
        region(crafted.METADATA, 1 << 40, 1 << 20),
    ),
    "metadata in the header": (
        "image_malformed",
        region(crafted.METADATA, 0, 1 << 20),
    ),
    "metadata between MiB": (
        "image_malformed",
        region(crafted.METADATA, (2 << 20) + 512, 1 << 20),
    ),
    "a block table beyond the file": (
        "image_malformed",
        region(crafted.BLOCK_TABLE, 3 << 20, 1 << 31),
    ),
    "a block table of no bytes": (
        "image_malformed",
        region(crafted.BLOCK_TABLE, 3 << 20, 0),
    ),
    "2048 items": ("image_malformed", crafted.vhdx(item_count=2048)),
    "no items": ("image_malformed", crafted.vhdx(item_count=0)),
    "an item twice": (
        "image_malformed",
        crafted.vhdx(items=(PARAMETERS, SIZE, SECTOR, SIZE)),
    ),
    "an item beyond the metadata": (
        "image_malformed",
        item(crafted.DISK_SIZE, struct.pack("<Q", 1 << 20), 1 << 20),
    ),
    "an item in its table": (
        "image_malformed",
        item(crafted.DISK_SIZE, struct.pack("<Q", 1 << 20), 4096),
    ),
    "a size of 4 bytes": ("image_malformed", item(crafted.DISK_SIZE, b"1234")),
    "a size of 64 KiB": (
        "image_malformed",
        item(crafted.DISK_SIZE, bytes(65536)),
    ),
    "blocks of 3 MiB": (
        "image_malformed",
        item(crafted.PARAMETERS, struct.pack("<II", 3 << 20, 0)),
    ),
    "blocks of no bytes": (
        "image_malformed",
        item(crafted.PARAMETERS, struct.pack("<II", 0, 0)),
    ),
    "sectors of no bytes": (
        "image_malformed",
        item(crafted.LOGICAL_SECTOR, struct.pack("<I", 0)),
    ),
    "a disk that ends within a sector": (
        "image_malformed",
        item(crafted.DISK_SIZE, struct.pack("<Q", 1000)),
    ),
    "a disk of petabytes": (
        "virtual_size_exceeded",
        item(crafted.DISK_SIZE, struct.pack("<Q", 1 << 50)),
    ),
    "no disk": ("image_malformed", item(crafted.DISK_SIZE, bytes(8))),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_vhdx_is_refused(tmp_path, what):
    code, data = HOSTILE[what]
    (tmp_path / "image").write_bytes(data)

    with pytest.raises(exceptions.UnsafeImage) as caught:
        inspect.inspect(tmp_path / "image", "vhdx", 1 << 44)

    assert caught.value.code == code


def test_unknown_metadata_is_not_read(tmp_path):
    length = (1 << 20) - (64 << 10)
    unknown = tuple(
        (str(uuid.UUID(int=number)), 64 << 10, bytes(length))
        for number in range(1, 100)
    )
    data = crafted.vhdx(items=(*unknown, *crafted.ITEMS))
    (tmp_path / "image").write_bytes(data)

    with metering.metered() as cost:
        inspect.inspect(tmp_path / "image", "vhdx", 1 << 44)

    assert cost.memory < 16 << 20


def test_the_checksum_is_castagnolis():
    assert vhdx.crc32c(b"123456789") == 0xE3069283
