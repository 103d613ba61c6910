# SPDX-License-Identifier: Apache-2.0
"""VHDX images whose regions and items lie."""

import pathlib
import struct
from typing import Any

from tests.support import crafted
from tests.support.corpus import specimen

UNKNOWN = "00000000-0000-0000-0000-000000000001"
TABLE, METADATA = crafted.REGIONS
PARAMETERS, SIZE, SECTOR = crafted.ITEMS


def image(**changes: Any) -> specimen.Content:
    """Give what writes an image: 4 MiB, so none is made before its turn."""
    return lambda path: path.write_bytes(crafted.vhdx(**changes))


def region(name: str, place: int, length: int) -> specimen.Content:
    """Give an image one region of which is another."""
    kept = [entry for entry in crafted.REGIONS if entry[0] != name]
    return image(regions=(*kept, (name, place, length, 1)))


def item(name: str, value: bytes, place: int = 65600) -> specimen.Content:
    """Give an image one item of which is another."""
    kept = [entry for entry in crafted.ITEMS if entry[0] != name]
    return image(items=(*kept, (name, place, value)))


def second_table_differs(path: pathlib.Path) -> None:
    """Write an image whose region tables are not the same."""
    data = bytearray(crafted.vhdx())
    data[(256 << 10) + 40] ^= 1
    path.write_bytes(data)


HOSTILE: dict[str, tuple[str, specimen.Content]] = {
    "a parent": (
        "unsafe_image",
        item(crafted.PARAMETERS, struct.pack("<II", 32 << 20, 2)),
    ),
    "a parent's place": (
        "unsafe_image",
        item(crafted.PARENT_LOCATOR, bytes(20)),
    ),
    "a log to replay": ("image_malformed", image(log=b"\x01" * 16)),
    "headers with wrong checksums": (
        "image_malformed",
        image(checksums=False),
    ),
    "4 billion regions": (
        "image_malformed",
        image(region_count=(1 << 32) - 1),
    ),
    "2048 regions": ("image_malformed", image(region_count=2048)),
    "no regions": ("image_malformed", image(region_count=0)),
    "no metadata": ("image_malformed", image(regions=(TABLE,))),
    "a region twice": (
        "image_malformed",
        image(regions=(TABLE, METADATA, TABLE)),
    ),
    "a required region nobody knows": (
        "image_malformed",
        image(regions=(TABLE, METADATA, (UNKNOWN, 2 << 20, 1 << 20, 1))),
    ),
    "another second region table": ("image_malformed", second_table_differs),
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
    "2048 items": ("image_malformed", image(item_count=2048)),
    "no items": ("image_malformed", image(item_count=0)),
    "an item twice": (
        "image_malformed",
        image(items=(PARAMETERS, SIZE, SECTOR, SIZE)),
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

SPECIMENS = specimen.hostile("vhdx", HOSTILE)
