# SPDX-License-Identifier: Apache-2.0
"""VHDX: every table in its place, no parent, no log left to replay.

The structures are those of MS-VHDX; all fields are little-endian.
"""

from collections.abc import Iterator
from collections.abc import Mapping
import dataclasses
import struct
import uuid

from glance_tasks.imagefile import reader
from glance_tasks.imagefile import refusal

_MIB = 1 << 20
_TABLE_LENGTH = 64 << 10
_MAX_ENTRIES = 2047
_MAX_DISK = 64 << 40
_MAX_ITEM = 1 << 20
# What a block table may be longer than its disk needs, in bytes.
_SPARE = 64 << 20
_HEADERS = (64 << 10, 128 << 10)
_REGION_TABLES = (192 << 10, 256 << 10)

_METADATA = uuid.UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e")
_BLOCK_TABLE = uuid.UUID("2dc27766-f623-4200-9d64-115e9bfd4a08")

_PARAMETERS = uuid.UUID("caa16737-fa36-4d43-b3b6-33f0aa44e76b")
_DISK_SIZE = uuid.UUID("2fa54224-cd1b-4876-b211-5dbed83bf4b8")
_LOGICAL_SECTOR = uuid.UUID("8141bf1d-a96f-4709-ba47-f233a8faab5f")
_PHYSICAL_SECTOR = uuid.UUID("cda348c7-445d-4471-9cc9-e9885251c556")
_PAGE_83 = uuid.UUID("beca12ab-b2e6-4523-93ef-c309e000c746")
_PARENT = uuid.UUID("a8d35f2d-b30b-454d-abf7-d3d84834ab0c")
_LENGTHS = {
    _PARAMETERS: 8,
    _DISK_SIZE: 8,
    _LOGICAL_SECTOR: 4,
    _PHYSICAL_SECTOR: 4,
    _PAGE_83: 16,
}


@dataclasses.dataclass(frozen=True, slots=True)
class Region:
    """A part of the file: its place and length in bytes."""

    offset: int
    length: int


def check(image: reader.Reader, limit: int) -> int:
    """Give the virtual size in bytes.

    :param limit: of the virtual size
    :raises UnsafeImage: for whatever is wrong with it
    """
    _require_clean(image)
    regions = _regions(image)
    items = _items(image, regions[_METADATA])
    block, flags = struct.unpack("<II", items[_PARAMETERS])
    if flags & 2 or _PARENT in items:
        raise refusal.unsafe(
            "the vhdx image is a differencing disk; expected an image"
            " complete in itself"
        )
    (size,) = struct.unpack("<Q", items[_DISK_SIZE])
    (sector,) = struct.unpack("<I", items[_LOGICAL_SECTOR])
    refusal.require_size("vhdx", size, min(limit, _MAX_DISK))
    _require_block_table(regions[_BLOCK_TABLE], size, block, sector)
    return int(size)


def _checksum_fits(data: bytes) -> bool:
    """Tell whether the checksum at byte 4 is that of the structure."""
    (stored,) = struct.unpack_from("<I", data, 4)
    return bool(stored == crc32c(data[:4] + bytes(4) + data[8:]))


def _crc_table() -> Iterator[int]:
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        yield value


_CRC = tuple(_crc_table())


def crc32c(data: bytes) -> int:
    """Give the Castagnoli checksum; zlib only has the other CRC-32."""
    value = 0xFFFFFFFF
    for byte in data:
        value = _CRC[(value ^ byte) & 0xFF] ^ value >> 8
    return value ^ 0xFFFFFFFF


def _require_clean(image: reader.Reader) -> None:
    """Refuse damaged headers and a log that would change the image."""
    valid = []
    for place in _HEADERS:
        header = image.at(place, 4096, "vhdx header")
        if header.startswith(b"head") and _checksum_fits(header):
            (sequence,) = struct.unpack_from("<Q", header, 8)
            valid.append((sequence, header))
    if not valid:
        raise refusal.malformed(
            "the vhdx image has no header with the right checksum; expected"
            " at least one of its two"
        )
    if any(header[48:64].strip(b"\x00") for _, header in valid):
        raise refusal.malformed(
            "the vhdx image was not closed: its log has to be replayed;"
            " expected an empty log"
        )


def _regions(image: reader.Reader) -> Mapping[uuid.UUID, Region]:
    first, second = (
        image.at(place, _TABLE_LENGTH, "vhdx region table")
        for place in _REGION_TABLES
    )
    magic, _, count = struct.unpack_from("<4sII", first, 0)
    if magic != b"regi" or count > _MAX_ENTRIES:
        raise refusal.malformed(
            f"the vhdx image has a region table of {count} entries;"
            f" expected at most {_MAX_ENTRIES}"
        )
    if first != second or not _checksum_fits(first):
        raise refusal.malformed(
            "the vhdx image's two region tables differ or have a wrong"
            " checksum; expected them to be the same and whole"
        )
    return _known_regions(image, first, count)


def _known_regions(
    image: reader.Reader, table: bytes, count: int
) -> Mapping[uuid.UUID, Region]:
    regions: dict[uuid.UUID, Region] = {}
    for index in range(count):
        name, offset, length, required = struct.unpack_from(
            "<16sQII", table, 16 + 32 * index
        )
        kind = uuid.UUID(bytes_le=name)
        if kind in regions or (
            required and kind not in (_METADATA, _BLOCK_TABLE)
        ):
            raise refusal.malformed(
                f"the vhdx image has a region {kind} twice or unknown;"
                " expected its metadata and its block table"
            )
        if (
            offset < _MIB
            or offset % _MIB
            or length % _MIB
            or offset + length > image.size
        ):
            raise refusal.malformed(
                f"the vhdx image has a region of {length} bytes at {offset};"
                f" expected whole MiB in the file's {image.size} bytes"
            )
        regions[kind] = Region(offset, length)
    if not regions.keys() >= {_METADATA, _BLOCK_TABLE}:
        raise refusal.malformed(
            f"the vhdx image has {count} regions; expected its metadata and"
            " its block table among them"
        )
    return regions


def _items(image: reader.Reader, region: Region) -> Mapping[uuid.UUID, bytes]:
    """Give the metadata's items; of unknown ones that they are there."""
    table = image.at(region.offset, _TABLE_LENGTH, "vhdx metadata")
    magic, _, count = struct.unpack_from("<8sHH", table, 0)
    if magic != b"metadata" or count > _MAX_ENTRIES:
        raise refusal.malformed(
            f"the vhdx image has {count} items of metadata; expected at most"
            f" {_MAX_ENTRIES}"
        )
    items: dict[uuid.UUID, bytes] = {}
    for index in range(count):
        name, offset, length, _ = struct.unpack_from(
            "<16sIII", table, 32 + 32 * index
        )
        kind = uuid.UUID(bytes_le=name)
        if (
            kind in items
            or offset < _TABLE_LENGTH
            or offset + length > region.length
            or length != _LENGTHS.get(kind, length)
            or length > _MAX_ITEM
        ):
            raise refusal.malformed(
                f"the vhdx image has the item {kind} of {length} bytes at"
                f" {offset} in its metadata; expected it once, within"
                f" {region.length} bytes"
            )
        # Others may be as long as the region, and there may be 2,000 of them.
        length = _LENGTHS.get(kind, 0)
        items[kind] = image.at(region.offset + offset, length, "vhdx item")
    missing = {_PARAMETERS, _DISK_SIZE, _LOGICAL_SECTOR} - items.keys()
    if missing:
        raise refusal.malformed(
            f"the vhdx image lacks {len(missing)} items of metadata; expected"
            " its parameters, its size and its sectors"
        )
    return items


def _require_block_table(
    region: Region, size: int, block: int, sector: int
) -> None:
    if (
        sector not in (512, 4096)
        or size % sector
        or block & (block - 1)
        or not _MIB <= block <= 256 * _MIB
    ):
        raise refusal.malformed(
            f"the vhdx image has {size} bytes in blocks of {block} and sectors"
            f" of {sector}; expected whole sectors of 512 or 4096 bytes and a"
            " power of two from 1 to 256 MiB"
        )
    blocks = -(-size // block)
    ratio = (sector << 23) // block
    entries = blocks + (blocks - 1) // ratio
    # qemu has the whole region in memory.
    if not 0 <= region.length - entries * 8 <= _SPARE:
        raise refusal.malformed(
            f"the vhdx image has a block table of {region.length} bytes;"
            f" expected {entries * 8} for its {size} bytes"
        )
