# SPDX-License-Identifier: Apache-2.0
"""QCOW2: every table in its place, in the file and apart from the others."""

from collections.abc import Iterator
import struct

from glance_tasks.imagefile import qcow2_header
from glance_tasks.imagefile import reader
from glance_tasks.imagefile import refusal

_MAX_L1 = 32 << 20
_MAX_REFCOUNT_TABLE = 8 << 20
# Far more than anybody keeps in one file; qemu itself stops at 65,536.
_MAX_SNAPSHOTS = 256
# qemu has every bitmap in memory, of a bit for each 512 bytes at worst.
_MAX_BITMAPS = 16
_MAX_BITMAP_DIRECTORY = 64 << 10
# Of a bit for each cluster, so that the map takes no more than 64 MiB.
_MAX_CLUSTERS = 512 << 20

_L1_OFFSET = 0x00FFFFFFFFFFFE00
_L1_RESERVED = 0x7F000000000001FF
_REFCOUNT_OFFSET = 0xFFFFFFFFFFFFFE00
_REFCOUNT_RESERVED = 0x00000000000001FF


def check(image: reader.Reader, header: qcow2_header.Header) -> None:
    """Look at the tables the header names, and at those named in them.

    :raises UnsafeImage: ``image_malformed``
    """
    _require_sizes(header)
    taken = _Clusters(image, header)
    l1 = taken.take("L1 table", header.l1_table_offset, header.l1_size * 8)
    refcounts = taken.take(
        "refcount table",
        header.refcount_table_offset,
        header.refcount_table_clusters * header.cluster,
    )
    _require_snapshots(image, header, taken)
    taken.take_named("L2 table", l1, _L1_OFFSET, _L1_RESERVED)
    taken.take_named(
        "refcount block", refcounts, _REFCOUNT_OFFSET, _REFCOUNT_RESERVED
    )


def require_place(
    image: reader.Reader,
    header: qcow2_header.Header,
    what: str,
    offset: int,
    length: int,
) -> None:
    """Refuse a table that is not aligned to clusters or not in the file.

    :raises UnsafeImage: ``image_malformed``
    """
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


def require_bitmaps(
    image: reader.Reader, header: qcow2_header.Header, place: int
) -> None:
    """Check the header extension at ``place`` that tells of bitmaps.

    :raises UnsafeImage: ``image_malformed``
    """
    count, _, length, offset = struct.unpack(
        ">IIQQ", image.at(place, 24, "qcow2 bitmaps extension")
    )
    if count > _MAX_BITMAPS or length > _MAX_BITMAP_DIRECTORY:
        raise refusal.malformed(
            f"the qcow2 image claims {count} bitmaps in {length} bytes;"
            f" expected at most {_MAX_BITMAPS} in {_MAX_BITMAP_DIRECTORY}"
        )
    require_place(image, header, "bitmap directory", offset, length)


class _Clusters:
    """Which clusters of a file are known to be taken by a table.

    A table that lies in another one, or is named twice, would be read as
    often as it is named: that makes a large disk of a small file.
    """

    def __init__(
        self, image: reader.Reader, header: qcow2_header.Header
    ) -> None:
        self._image, self._header = image, header
        count = -(-image.size // header.cluster)
        if count > _MAX_CLUSTERS:
            raise refusal.malformed(
                f"the qcow2 image has {count} clusters of {header.cluster}"
                f" bytes; expected larger ones, at most {_MAX_CLUSTERS}"
            )
        self._bits = bytearray(count // 8 + 1)

    def take(self, what: str, offset: int, length: int) -> range:
        """Take the clusters of one table; give the places of its bytes."""
        require_place(self._image, self._header, what, offset, length)
        for place in range(offset, offset + length, self._header.cluster):
            self._take(what, place)
        return range(offset, offset + length)

    def take_named(
        self, what: str, table: range, mask: int, reserved: int
    ) -> None:
        """Take one cluster for each entry of ``table``.

        :param mask: of the bits of an entry that are an offset
        :param reserved: the bits that must be 0
        """
        cluster, size = self._header.cluster, self._image.size
        data = self._image.at(table.start, len(table), f"{what}s' table")
        for (entry,) in struct.iter_unpack(">Q", data):
            offset = entry & mask
            if entry & reserved or offset % cluster or offset >= size:
                raise refusal.malformed(
                    f"the qcow2 image has a {what} at {offset}, of its {size}"
                    " bytes; expected whole clusters in the file"
                )
            if offset:
                self._take(what, offset)

    def _take(self, what: str, offset: int) -> None:
        number = offset // self._header.cluster
        bit = 1 << number % 8
        if self._bits[number // 8] & bit:
            raise refusal.malformed(
                f"the qcow2 image has its {what} at {offset}, where its header"
                " or a table is already; expected each in a place of its own"
            )
        self._bits[number // 8] |= bit


def _require_sizes(header: qcow2_header.Header) -> None:
    per_table = header.cluster // 8
    needed = -(-header.size // (header.cluster * per_table))
    if header.l1_size < needed or header.l1_size * 8 > _MAX_L1:
        raise refusal.malformed(
            f"the qcow2 image has an L1 table of {header.l1_size} entries;"
            f" expected {needed} for its {header.size} bytes"
        )
    table = header.refcount_table_clusters * header.cluster
    if not 0 < table <= _MAX_REFCOUNT_TABLE:
        raise refusal.malformed(
            f"the qcow2 image has a refcount table of {table} bytes; expected"
            f" 1 to {_MAX_REFCOUNT_TABLE}"
        )


def _require_snapshots(
    image: reader.Reader, header: qcow2_header.Header, taken: _Clusters
) -> None:
    if header.nb_snapshots > _MAX_SNAPSHOTS:
        raise refusal.malformed(
            f"the qcow2 image claims {header.nb_snapshots} snapshots;"
            f" expected at most {_MAX_SNAPSHOTS}"
        )
    if not header.nb_snapshots:
        return
    taken.take("snapshot table", header.snapshots_offset, 40)
    for l1_offset, l1_size in _snapshots(image, header):
        if l1_size * 8 > _MAX_L1:
            raise refusal.malformed(
                f"the qcow2 image has a snapshot of {l1_size} L1 entries;"
                f" expected at most {_MAX_L1 // 8}"
            )
        taken.take("snapshot's L1 table", l1_offset, l1_size * 8)


def _snapshots(
    image: reader.Reader, header: qcow2_header.Header
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
