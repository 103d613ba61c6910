# SPDX-License-Identifier: Apache-2.0
"""QCOW2: the header may not lie, nor name anything outside the file.

Fields and limits are those of qemu's docs/interop/qcow2.txt and block/qcow2.c.
"""

from collections.abc import Iterator
import dataclasses
import struct
from typing import Self

from glance_tasks.imagefile import reader
from glance_tasks.imagefile import refusal

_HEADER = struct.Struct(">4sIQIIQIIQQIIQ")
_MORE = struct.Struct(">QQQII")
_MAX_L1 = 32 << 20
_MAX_REFCOUNT_TABLE = 8 << 20
# Far more than anybody keeps in one file; qemu itself stops at 65,536.
_MAX_SNAPSHOTS = 256

_CORRUPT = 1 << 1
_DATA_FILE = 1 << 2
_KNOWN_FEATURES = 0b1111
_COMPRESSION_TYPE = 1 << 3

_ENCRYPTION_HEADER = 0x0537BE77
_DATA_FILE_NAME = 0x44415441

_ENTRY_OFFSET = 0x00FFFFFFFFFFFE00
_ENTRY_RESERVED = 0x7F000000000001FF


@dataclasses.dataclass(frozen=True, slots=True)
class Header:
    """The header's fields, by the names of the specification."""

    magic: bytes
    version: int
    backing_file_offset: int
    backing_file_size: int
    cluster_bits: int
    size: int
    crypt_method: int
    l1_size: int
    l1_table_offset: int
    refcount_table_offset: int
    refcount_table_clusters: int
    nb_snapshots: int
    snapshots_offset: int
    incompatible: int = 0
    compatible: int = 0
    autoclear: int = 0
    refcount_order: int = 4
    header_length: int = _HEADER.size

    @classmethod
    def read(cls, image: reader.Reader) -> Self:
        """Read it.

        :raises UnsafeImage: when it is cut short or of another version
        """
        head = image.at(0, _HEADER.size, "qcow2 header")
        fields = _HEADER.unpack(head)
        version = fields[1]
        if version == 1:
            raise refusal.mismatch(
                "the image is qcow of version 1; expected qcow2, which is"
                " version 2 or 3"
            )
        if version not in (2, 3):
            raise refusal.malformed(
                f"the qcow2 image has version {version}; expected 2 or 3"
            )
        if version == 3:
            more = image.at(_HEADER.size, _MORE.size, "qcow2 header")
            fields += _MORE.unpack(more)
        return cls(*fields)

    @property
    def cluster(self) -> int:
        """Bytes of one cluster."""
        return 1 << self.cluster_bits


def check(image: reader.Reader, limit: int) -> int:
    """Give the virtual size in bytes.

    :param limit: of the virtual size
    :raises UnsafeImage: for whatever is wrong with it
    """
    header = Header.read(image)
    _require_alone(header)
    _require_geometry(image, header)
    refusal.require_size("qcow2", header.size, limit)
    refusal.require_sectors("qcow2", header.size)
    _require_extensions(image, header)
    _require_tables(image, header)
    _require_snapshots(image, header)
    return header.size


def _require_alone(header: Header) -> None:
    if header.backing_file_offset or header.backing_file_size:
        raise refusal.unsafe(
            "the qcow2 image names a backing file; expected an image complete"
            " in itself"
        )
    if header.incompatible & _DATA_FILE:
        raise refusal.unsafe(
            "the qcow2 image keeps its data in another file; expected an"
            " image complete in itself"
        )
    if header.crypt_method:
        raise _encrypted()
    unknown = header.incompatible & ~_KNOWN_FEATURES
    if unknown:
        raise refusal.unsafe(
            f"the qcow2 image needs features unknown here (bits {unknown:#x});"
            " expected none besides compression type and lazy refcounts"
        )
    if header.incompatible & _CORRUPT:
        raise refusal.malformed(
            "the qcow2 image is marked corrupt; expected one that"
            " qemu-img check finds good"
        )


def _encrypted() -> Exception:
    return refusal.unsafe(
        "the qcow2 image is encrypted; expected one that can be read without"
        " a key"
    )


def _require_geometry(image: reader.Reader, header: Header) -> None:
    if not 9 <= header.cluster_bits <= 21:
        raise refusal.malformed(
            f"the qcow2 image has {header.cluster_bits} cluster bits;"
            " expected 9 to 21"
        )
    least = _HEADER.size if header.version == 2 else _HEADER.size + _MORE.size
    if not least <= header.header_length <= header.cluster:
        raise refusal.malformed(
            f"the qcow2 image has a header of {header.header_length} bytes;"
            f" expected {least} to {header.cluster}, one cluster"
        )
    if header.refcount_order > 6:
        raise refusal.malformed(
            f"the qcow2 image has a refcount order of {header.refcount_order};"
            " expected at most 6"
        )
    if header.incompatible & _COMPRESSION_TYPE:
        _require_compression(image, header)


def _require_compression(image: reader.Reader, header: Header) -> None:
    kind = image.at(104, 1, "qcow2 compression type")[0]
    if header.header_length < 105 or kind > 1:
        raise refusal.malformed(
            f"the qcow2 image is compressed by method {kind}; expected 0"
            " (zlib) or 1 (zstd), told in its header"
        )


def _require_extensions(image: reader.Reader, header: Header) -> None:
    place = header.header_length
    while place + 8 <= min(header.cluster, image.size):
        kind, length = struct.unpack(
            ">II", image.at(place, 8, "qcow2 header extension")
        )
        if kind == 0:
            return
        if kind == _ENCRYPTION_HEADER:
            raise _encrypted()
        if kind == _DATA_FILE_NAME:
            raise refusal.unsafe(
                "the qcow2 image names a data file; expected an image"
                " complete in itself"
            )
        place += 8 + (length + 7) // 8 * 8
        if place > header.cluster:
            raise refusal.malformed(
                f"the qcow2 image has a header extension of {length} bytes;"
                " expected its extensions to end within the first cluster"
            )


def _require_place(
    image: reader.Reader, header: Header, what: str, offset: int, length: int
) -> None:
    """Refuse a table that is not aligned to clusters or not in the file."""
    if (
        offset % header.cluster
        or offset < header.cluster
        or offset + length > image.size
    ):
        raise refusal.malformed(
            f"the qcow2 image has {length} bytes of {what} at {offset};"
            f" expected them in the file's {image.size} bytes, behind the"
            f" header, on a cluster of {header.cluster}"
        )


def _require_tables(image: reader.Reader, header: Header) -> None:
    per_table = header.cluster // 8
    needed = -(-header.size // (header.cluster * per_table))
    length = header.l1_size * 8
    if header.l1_size < needed or length > _MAX_L1:
        raise refusal.malformed(
            f"the qcow2 image has an L1 table of {header.l1_size} entries;"
            f" expected {needed} for its {header.size} bytes"
        )
    _require_place(image, header, "L1 table", header.l1_table_offset, length)
    table = header.refcount_table_clusters * header.cluster
    if not 0 < table <= _MAX_REFCOUNT_TABLE:
        raise refusal.malformed(
            f"the qcow2 image has a refcount table of {table} bytes; expected"
            f" 1 to {_MAX_REFCOUNT_TABLE}"
        )
    _require_place(
        image, header, "refcount table", header.refcount_table_offset, table
    )
    _require_entries(image, header, length)


def _require_entries(
    image: reader.Reader, header: Header, length: int
) -> None:
    table = image.at(header.l1_table_offset, length, "L1 table")
    for (entry,) in struct.iter_unpack(">Q", table):
        offset = entry & _ENTRY_OFFSET
        if (
            entry & _ENTRY_RESERVED
            or offset % header.cluster
            or offset >= image.size
        ):
            raise refusal.malformed(
                f"the qcow2 image has a table at {offset}, of its"
                f" {image.size} bytes; expected whole clusters in the file"
            )


def _require_snapshots(image: reader.Reader, header: Header) -> None:
    if header.nb_snapshots > _MAX_SNAPSHOTS:
        raise refusal.malformed(
            f"the qcow2 image claims {header.nb_snapshots} snapshots;"
            f" expected at most {_MAX_SNAPSHOTS}"
        )
    if not header.nb_snapshots:
        return
    _require_place(
        image, header, "snapshot table", header.snapshots_offset, 40
    )
    for l1_offset, l1_size in _snapshots(image, header):
        if l1_size * 8 > _MAX_L1:
            raise refusal.malformed(
                f"the qcow2 image has a snapshot of {l1_size} L1 entries;"
                f" expected at most {_MAX_L1 // 8}"
            )
        _require_place(
            image, header, "snapshot's L1 table", l1_offset, l1_size * 8
        )


def _snapshots(
    image: reader.Reader, header: Header
) -> Iterator[tuple[int, int]]:
    place = header.snapshots_offset
    for _ in range(header.nb_snapshots):
        entry = image.at(place, 40, "snapshot table")
        l1_offset, l1_size, id_size, name_size = struct.unpack(
            ">QIHH", entry[:16]
        )
        (extra,) = struct.unpack(">I", entry[36:])
        yield l1_offset, l1_size
        place += (40 + extra + id_size + name_size + 7) // 8 * 8
