# SPDX-License-Identifier: Apache-2.0
"""VDI: dynamic or fixed, never differencing. All fields are little-endian."""

from collections.abc import Iterator
import struct

from glance_tasks.imagefile import reader
from glance_tasks.imagefile import refusal

_LENGTH = 456
_BLOCK = 1 << 20
_UNALLOCATED = 0xFFFFFFFE


def check(image: reader.Reader, limit: int) -> int:
    """Give the virtual size in bytes.

    :param limit: of the virtual size
    :raises UnsafeImage: for whatever is wrong with it
    """
    header = image.at(0, _LENGTH, "vdi header")
    version, _, image_type = struct.unpack_from("<III", header, 68)
    if version != 0x00010001:
        raise refusal.malformed(
            f"the vdi image has version {version:#x}; expected 0x10001"
        )
    _require_alone(image_type, header[424:456])
    table, data = struct.unpack_from("<II", header, 340)
    (sector,) = struct.unpack_from("<I", header, 360)
    size, block, extra, blocks, allocated = struct.unpack_from(
        "<QIIII", header, 368
    )
    refusal.require_size("vdi", size, limit)
    refusal.require_sectors("vdi", size)
    needed = -(-size // _BLOCK)
    # More blocks than that would have us read a table of 4 GiB.
    if sector != 512 or block != _BLOCK or extra or blocks != needed:
        raise refusal.malformed(
            f"the vdi image has {blocks} blocks of {block}+{extra} bytes in"
            f" sectors of {sector}; expected {needed} blocks of {_BLOCK} bytes"
            f" for its {size}, and sectors of 512"
        )
    _require_blocks(image, table, data, blocks, allocated)
    return int(size)


def _require_alone(image_type: int, parents: bytes) -> None:
    if image_type == 4 or parents.strip(b"\x00"):
        raise refusal.unsafe(
            "the vdi image is a differencing disk; expected an image complete"
            " in itself"
        )
    if image_type not in (1, 2):
        raise refusal.malformed(
            f"the vdi image has type {image_type}; expected 1 (dynamic) or 2"
            " (fixed)"
        )


def _require_blocks(
    image: reader.Reader, table: int, data: int, blocks: int, allocated: int
) -> None:
    if table < _LENGTH or table + blocks * 4 > min(data, image.size):
        raise refusal.malformed(
            f"the vdi image has a table of {blocks} blocks at {table} and its"
            f" data at {data}; expected the table before the data"
        )
    if allocated > blocks or data + allocated * _BLOCK > image.size:
        raise refusal.malformed(
            f"the vdi image has {allocated} of {blocks} blocks at {data};"
            f" expected them in the file's {image.size} bytes"
        )
    for entry in _entries(image, table, blocks):
        if allocated <= entry < _UNALLOCATED:
            raise refusal.malformed(
                f"the vdi image names its block {entry}; expected a number"
                f" below {allocated}"
            )


def _entries(image: reader.Reader, table: int, blocks: int) -> Iterator[int]:
    end = table + blocks * 4
    for place in range(table, end, reader.CHUNK_SIZE):
        length = min(reader.CHUNK_SIZE, end - place)
        piece = image.at(place, length, "vdi block table")
        yield from (entry for (entry,) in struct.iter_unpack("<I", piece))
