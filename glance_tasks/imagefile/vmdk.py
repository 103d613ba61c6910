# SPDX-License-Identifier: Apache-2.0
"""VMDK: one sparse file, with a descriptor that says nothing else.

qemu searches the descriptor's text for words wherever they stand, comments
and extents included, while other readers go by lines. So every line must be
one that only one reading is possible of.
"""

import dataclasses
import re
import struct
from typing import Self

from glance_tasks import redaction
from glance_tasks.imagefile import reader
from glance_tasks.imagefile import refusal

SECTOR = 512

_HEADER = struct.Struct("<4sIIQQQQIQQQB4sH")
_FOOTER_FOLLOWS = 0xFFFFFFFFFFFFFFFF
_MAX_DIRECTORY = 128 << 20
# At most; a shorter one leaves at most one byte less behind the text.
_CID_DIGITS = 8

_COMMENT = re.compile(r"#[A-Za-z ]*")
_FIELD = re.compile(r'([A-Za-z]+)=("?)([A-Za-z0-9-]*)\2')
_EXTENT = re.compile(r'(?:RW|RDONLY) ([0-9]{1,19}) SPARSE "([^"/\\:]+)"')
_DATABASE = re.compile(r'ddb(?:\.[A-Za-z0-9_]+)+ *= *"[A-Za-z0-9 .,_()+:-]*"')
# qemu follows it from inside a comment, a name and the disk database too.
_PARENT = re.compile("parentFileNameHint", re.IGNORECASE)
_FIELDS = {
    "version": re.compile("[1-3]"),
    "encoding": re.compile("[A-Za-z0-9-]+"),
    "cid": re.compile("[0-9a-fA-F]{1,8}"),
    "parentcid": re.compile("[fF]{8}"),
    "isnativesnapshot": re.compile("no"),
    "createtype": re.compile("monolithicSparse|streamOptimized"),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Header:
    """The header of a sparse extent, by the specification's names.

    Offsets and sizes are in sectors of 512 bytes.
    """

    magic: bytes
    version: int
    flags: int
    capacity: int
    grain: int
    descriptor_offset: int
    descriptor_size: int
    entries_per_table: int
    redundant_directory: int
    directory: int
    overhead: int
    unclean: int
    line_ends: bytes
    compression: int

    @classmethod
    def read(cls, image: reader.Reader, offset: int) -> Self:
        """Read the header, or the footer that stands for it."""
        return cls(
            *_HEADER.unpack(image.at(offset, _HEADER.size, "vmdk header"))
        )


def check(image: reader.Reader, limit: int) -> int:
    """Give the virtual size in bytes.

    :param limit: of the virtual size
    :raises UnsafeImage: for whatever is wrong with it
    """
    if image.head(4) != b"KDMV":
        raise refusal.unsafe(
            "the vmdk image is a descriptor or an extent of several files;"
            " expected monolithicSparse or streamOptimized in one file"
        )
    header = Header.read(image, 0)
    _require_header(header)
    refusal.require_size("vmdk", header.capacity * SECTOR, limit)
    _require_descriptor(image, header)
    if header.directory == _FOOTER_FOLLOWS:
        header = _footer(image, header)
    _require_directory(image, header)
    return header.capacity * SECTOR


def _require_header(header: Header) -> None:
    if (
        header.version not in (1, 2, 3)
        or header.entries_per_table != 512
        or not 8 <= header.grain <= 1 << 15
        or header.grain & (header.grain - 1)
        or header.compression > 1
    ):
        raise refusal.malformed(
            f"the vmdk image has version {header.version}, grains of"
            f" {header.grain} sectors, tables of {header.entries_per_table}"
            f" entries, compression {header.compression}; expected 1 to 3, a"
            " power of two from 8, 512, and 0 or 1"
        )
    if header.line_ends != b"\n \r\n":
        raise refusal.malformed(
            "the vmdk image's line ends were changed, as by a transfer in text"
            " mode; expected its bytes as they were made"
        )
    if not header.capacity:
        # qemu then takes the descriptor in it for that of another image.
        raise refusal.unsafe(
            "the vmdk image has a capacity of 0; expected its own disk in it"
        )
    if header.descriptor_offset != 1 or not 1 <= header.descriptor_size < 2048:
        raise refusal.malformed(
            f"the vmdk image has its descriptor at sector"
            f" {header.descriptor_offset}, {header.descriptor_size} long;"
            " expected 1, and 1 to 2047"
        )


def _footer(image: reader.Reader, header: Header) -> Header:
    """Give the footer: the header again, with the directory's place."""
    if image.size % SECTOR:
        # qemu counts the last sector as whole, and finds another footer.
        raise refusal.malformed(
            f"the vmdk image has {image.size} bytes; expected whole sectors of"
            f" {SECTOR}"
        )
    start = image.size - 3 * SECTOR
    footer = Header.read(image, start + SECTOR)
    if dataclasses.replace(footer, directory=_FOOTER_FOLLOWS) != header:
        raise refusal.malformed(
            "the vmdk image's footer is not its header; expected them to"
            " differ in the place of the grain directory only"
        )
    return footer


def _require_directory(image: reader.Reader, header: Header) -> None:
    covered = header.entries_per_table * header.grain
    length = -(-header.capacity // covered) * 4
    places = [header.directory]
    if header.flags & 2:
        places.append(header.redundant_directory)
    for place in places:
        if (
            place < 1
            or length > _MAX_DIRECTORY
            or place * SECTOR + length > image.size
        ):
            raise refusal.malformed(
                f"the vmdk image has a grain directory of {length} bytes at"
                f" sector {place}; expected it in the file's {image.size}"
                " bytes"
            )
    if header.overhead * SECTOR > image.size:
        raise refusal.malformed(
            f"the vmdk image has its data at sector {header.overhead};"
            f" expected it in the file's {image.size} bytes"
        )


def _is_left_over(padding: bytes, text: bytes) -> bool:
    """Tell whether behind a text there is nothing, or its own former end.

    qemu 7.2 writes each new CID in as few digits as it needs, and leaves the
    end of a longer text as it was: in one of 250 images that it makes.
    """
    stale = padding.rstrip(b"\x00")
    return len(stale) < _CID_DIGITS and text.endswith(stale)


def _require_descriptor(image: reader.Reader, header: Header) -> None:
    raw = image.at(SECTOR, header.descriptor_size * SECTOR, "vmdk descriptor")
    text, zero, padding = raw.partition(b"\x00")
    # Without a zero qemu reads on behind the descriptor: it takes 20 sectors,
    # whatever the header says, and looks for a parent in all of them.
    if not (text.isascii() and zero and _is_left_over(padding, text)):
        raise refusal.unsafe(
            "the vmdk image's descriptor is not plain text up to its end;"
            " expected ASCII, then zeros"
        )
    fields, extents = _parse(text.decode("ascii"))
    if "createtype" not in fields or len(extents) != 1:
        raise refusal.unsafe(
            f"the vmdk image's descriptor has {len(extents)} extents and the"
            f" fields {sorted(fields)}; expected one extent and a createType"
        )
    if extents[0] != header.capacity:
        raise refusal.malformed(
            f"the vmdk image's descriptor tells of {extents[0]} sectors and"
            f" its header of {header.capacity}; expected them to agree"
        )


def _parse(text: str) -> tuple[dict[str, str], list[int]]:
    """Give the fields by lower-case name, and the extents' sectors."""
    fields: dict[str, str] = {}
    extents: list[int] = []
    for line in (line.rstrip("\r ") for line in text.split("\n")):
        if _PARENT.search(line):
            raise _odd_line(line)
        if not line or _COMMENT.fullmatch(line) or _DATABASE.fullmatch(line):
            continue
        extent, field = _EXTENT.fullmatch(line), _FIELD.fullmatch(line)
        if extent and extent[2].isprintable():
            extents.append(int(extent[1]))
        elif field and field[1].lower() not in fields:
            fields[field[1].lower()] = field[3]
        else:
            raise _odd_line(line)
    for name, value in fields.items():
        if name not in _FIELDS or not _FIELDS[name].fullmatch(value):
            raise _odd_line(f"{name}={value}")
    return fields, extents


def _odd_line(line: str) -> Exception:
    return refusal.unsafe(
        f"the vmdk image's descriptor holds the line"
        f" {redaction.redact(line[:80])!r}; expected known fields once each,"
        " one SPARSE extent named without a path, and no parent"
    )
