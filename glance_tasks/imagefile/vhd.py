# SPDX-License-Identifier: Apache-2.0
"""VHD: fixed or dynamic, never differencing.

The fields are those of Microsoft's "Virtual Hard Disk Image Format", all
big-endian; qemu calls the format vpc.
"""

import dataclasses
import struct
from typing import Self

from glance_tasks.imagefile import reader
from glance_tasks.imagefile import refusal

_LENGTH = 512
_FOOTER = struct.Struct(">8sIIQI4sIIQQHBBI I")
_HEADER = struct.Struct(">8sQQIIII")
_HEADER_LENGTH = 1024
_FIXED, _DYNAMIC = 2, 3
# Of 512 KiB each they hold 2 TiB, more than the format does; qemu has the
# whole table in memory.
_MAX_ENTRIES = 4 << 20


@dataclasses.dataclass(frozen=True, slots=True)
class Footer:
    """The 512 bytes at the end of every VHD, by the specification's names."""

    cookie: bytes
    features: int
    version: int
    data_offset: int
    time_stamp: int
    creator: bytes
    creator_version: int
    creator_os: int
    original_size: int
    current_size: int
    cylinders: int
    heads: int
    sectors: int
    disk_type: int
    checksum: int

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Parse it.

        :raises UnsafeImage: when its own checksum says that it is damaged
        """
        footer = cls(*_FOOTER.unpack(data[: _FOOTER.size]))
        if footer.checksum != _checksum(data, 64):
            raise refusal.malformed(
                f"the vhd image's footer has the checksum"
                f" {footer.checksum:#x}; expected {_checksum(data, 64):#x}"
            )
        return footer


def _checksum(data: bytes, place: int) -> int:
    """Give the complement of the sum of all bytes but the checksum's own."""
    return ~(sum(data) - sum(data[place : place + 4])) & 0xFFFFFFFF


def check(image: reader.Reader, limit: int) -> int:
    """Give the virtual size in bytes: what its footer calls current size.

    :param limit: of the virtual size
    :raises UnsafeImage: for whatever is wrong with it
    """
    if image.size % _LENGTH:
        # qemu counts the last sector as whole, and finds another footer.
        raise refusal.malformed(
            f"the vhd image has {image.size} bytes; expected whole sectors of"
            f" {_LENGTH}"
        )
    data = image.at(image.size - _LENGTH, _LENGTH, "vhd footer")
    if not data.startswith(b"conectix"):
        raise refusal.malformed(
            "the vhd image does not end with its footer; expected the last"
            " 512 bytes to begin with conectix"
        )
    footer = Footer.parse(data)
    _require_type(footer.disk_type)
    refusal.require_size("vhd", footer.current_size, limit)
    refusal.require_sectors("vhd", footer.current_size)
    if footer.disk_type == _FIXED:
        _require_fixed(image, footer)
    else:
        _require_dynamic(image, footer, data)
    return footer.current_size


def _require_type(disk_type: int) -> None:
    if disk_type == 4:
        raise refusal.unsafe(
            "the vhd image is a differencing disk; expected an image complete"
            " in itself"
        )
    if disk_type not in (_FIXED, _DYNAMIC):
        raise refusal.malformed(
            f"the vhd image has disk type {disk_type}; expected 2 (fixed) or"
            " 3 (dynamic)"
        )


def _require_fixed(image: reader.Reader, footer: Footer) -> None:
    if image.head(8) == b"conectix":
        raise refusal.malformed(
            "the vhd image is fixed and begins with a footer; expected that"
            " of a dynamic image only"
        )
    if footer.current_size > image.size - _LENGTH:
        raise refusal.malformed(
            f"the vhd image's disk has {footer.current_size} bytes; expected"
            f" at most the {image.size - _LENGTH} before its footer"
        )


def _require_dynamic(
    image: reader.Reader, footer: Footer, data: bytes
) -> None:
    if image.head(_LENGTH) != data:
        raise refusal.malformed(
            "the vhd image begins with another footer than it ends with;"
            " expected the same"
        )
    header = image.at(footer.data_offset, _HEADER_LENGTH, "vhd header")
    cookie, _, table, version, entries, block, checksum = _HEADER.unpack(
        header[: _HEADER.size]
    )
    if cookie != b"cxsparse" or checksum != _checksum(header, 36):
        raise refusal.malformed(
            f"the vhd image's dynamic header is {cookie!r} version"
            f" {version:#x}, checksum {checksum:#x}; expected b'cxsparse' and"
            f" {_checksum(header, 36):#x}"
        )
    if header[40:56].strip(b"\x00") or header[576:768].strip(b"\x00"):
        raise refusal.unsafe(
            "the vhd image names a parent; expected an image complete in"
            " itself"
        )
    _require_table(image, footer, table, entries, block)


def _require_table(
    image: reader.Reader, footer: Footer, table: int, entries: int, block: int
) -> None:
    if block < 512 or block & (block - 1) or block > 256 << 20:
        raise refusal.malformed(
            f"the vhd image has blocks of {block} bytes; expected a power of"
            " two from 512 to 256 MiB"
        )
    if entries * block < footer.current_size or entries > _MAX_ENTRIES:
        raise refusal.malformed(
            f"the vhd image has {entries} blocks of {block} bytes; expected"
            f" enough for its {footer.current_size} and at most {_MAX_ENTRIES}"
        )
    if table < _LENGTH or table + entries * 4 > image.size:
        raise refusal.malformed(
            f"the vhd image has a block table of {entries} entries at"
            f" {table}; expected it in the file's {image.size} bytes"
        )
