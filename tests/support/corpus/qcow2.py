# SPDX-License-Identifier: Apache-2.0
"""QCOW2 images whose headers and tables lie or reach outside."""

import struct

from tests.support import crafted
from tests.support.corpus import specimen

DATA_FILE = crafted.extension(0x44415441, b"/etc/passwd")
ENCRYPTION = crafted.extension(0x0537BE77, bytes(16))


def snapshots(count: int, **changes: int) -> bytes:
    """Give an image whose fourth cluster is a snapshot table.

    The snapshots' L1 tables are the clusters after it.
    """
    written = min(count, 100)
    table = b"".join(
        _snapshot(0x40000 + number * crafted.CLUSTER, changes)
        for number in range(written)
    )
    image = crafted.qcow2(nb_snapshots=count, snapshots_offset=0x30000)
    table = table.ljust(crafted.CLUSTER, b"\0")
    return image[:0x30000] + table + bytes(written * crafted.CLUSTER)


def _snapshot(place: int, changes: dict[str, int]) -> bytes:
    entry = crafted.packed(
        ">",
        """
        l1_offset Q 0
        l1_size   I 2
        id_size   H 1
        name_size H 1
        seconds   I 0
        parts     I 0
        clock     Q 0
        vm_state  I 0
        extra     I 16
        """,
        {"l1_offset": place, **changes},
    )
    entry += bytes(16) + b"1a"
    return entry.ljust(-(-len(entry) // 8) * 8, b"\0")


def bitmaps(count: int, length: int, offset: int = 0x30000) -> bytes:
    """Give an image whose header tells of bitmaps."""
    data = struct.pack(">IIQQ", count, 0, length, offset)
    return crafted.qcow2(
        autoclear=1, extensions=crafted.extension(0x23852875, data)
    )


def tables(*offsets: int) -> bytes:
    """Give the entries of an L1 table."""
    return struct.pack(f">{len(offsets)}Q", *(1 << 63 | o for o in offsets))


HOSTILE: dict[str, tuple[str, specimen.Content]] = {
    "half a sector": ("image_malformed", crafted.qcow2(size=(1 << 30) - 256)),
    "a backing file": (
        "unsafe_image",
        crafted.qcow2(backing_file_offset=512, backing_file_size=11),
    ),
    "the name of a backing file at 0": (
        "unsafe_image",
        crafted.qcow2(backing_file_size=11),
    ),
    "a data file": ("unsafe_image", crafted.qcow2(incompatible=4)),
    "the name of a data file": (
        "unsafe_image",
        crafted.qcow2(extensions=DATA_FILE),
    ),
    "an unknown feature": ("unsafe_image", crafted.qcow2(incompatible=32)),
    "the last feature": ("unsafe_image", crafted.qcow2(incompatible=1 << 63)),
    "encryption": ("unsafe_image", crafted.qcow2(crypt_method=1)),
    "LUKS": ("unsafe_image", crafted.qcow2(crypt_method=2)),
    "an encryption header": (
        "unsafe_image",
        crafted.qcow2(extensions=ENCRYPTION),
    ),
    "the corrupt bit": ("image_malformed", crafted.qcow2(incompatible=2)),
    "version 1": ("format_mismatch", crafted.qcow2(version=1)),
    "version 4": ("image_malformed", crafted.qcow2(version=4)),
    "8 cluster bits": ("image_malformed", crafted.qcow2(cluster_bits=8)),
    "31 cluster bits": ("image_malformed", crafted.qcow2(cluster_bits=31)),
    "a header beyond its cluster": (
        "image_malformed",
        crafted.qcow2(header_length=65544),
    ),
    "a header too short": (
        "image_malformed",
        crafted.qcow2(header_length=72),
    ),
    "a refcount order of 7": (
        "image_malformed",
        crafted.qcow2(refcount_order=7),
    ),
    "an unknown compression": (
        "image_malformed",
        crafted.qcow2(incompatible=8, compression_type=2),
    ),
    "an extension beyond the cluster": (
        "image_malformed",
        crafted.qcow2(extensions=struct.pack(">II", 5, 1 << 20)),
    ),
    "a disk of petabytes": (
        "virtual_size_exceeded",
        crafted.qcow2(size=1 << 50),
    ),
    "a disk of 2**64 - 1": (
        "virtual_size_exceeded",
        crafted.qcow2(size=(1 << 64) - 1),
    ),
    "no disk": ("image_malformed", crafted.qcow2(size=0)),
    "an L1 table of millions of entries": (
        "image_malformed",
        crafted.qcow2(l1_size=8 << 20),
    ),
    "an L1 table too small": ("image_malformed", crafted.qcow2(l1_size=1)),
    "an L1 table outside the file": (
        "image_malformed",
        crafted.qcow2(l1_table_offset=1 << 40),
    ),
    "an L1 table in the header": (
        "image_malformed",
        crafted.qcow2(l1_table_offset=0),
    ),
    "an L1 table between clusters": (
        "image_malformed",
        crafted.qcow2(l1_table_offset=0x20008),
    ),
    "an L2 table outside the file": (
        "image_malformed",
        crafted.qcow2(l1=struct.pack(">Q", 1 << 63 | 1 << 40)),
    ),
    "an L2 table between clusters": (
        "image_malformed",
        crafted.qcow2(l1=struct.pack(">Q", 1 << 63 | 0x10200)),
    ),
    "reserved bits in the L1 table": (
        "image_malformed",
        crafted.qcow2(l1=struct.pack(">Q", 1 << 62 | 0x30000)),
    ),
    "a refcount table outside the file": (
        "image_malformed",
        crafted.qcow2(refcount_table_offset=1 << 40),
    ),
    "no refcount table": (
        "image_malformed",
        crafted.qcow2(refcount_table_clusters=0),
    ),
    "a refcount table of gigabytes": (
        "image_malformed",
        crafted.qcow2(refcount_table_clusters=1 << 20),
    ),
    "65,536 snapshots": ("image_malformed", snapshots(65536)),
    "snapshots outside the file": (
        "image_malformed",
        crafted.qcow2(nb_snapshots=1, snapshots_offset=1 << 40),
    ),
    "a snapshot's table outside the file": (
        "image_malformed",
        snapshots(1, l1_offset=1 << 40),
    ),
    "a snapshot's table of gigabytes": (
        "image_malformed",
        snapshots(1, l1_size=1 << 28),
    ),
    "a snapshot in the disk's own L1 table": (
        "image_malformed",
        snapshots(1, l1_offset=0x20000),
    ),
    "an unknown compatible feature": (
        "unsafe_image",
        crafted.qcow2(compatible=2),
    ),
    "the autoclear feature of a data file": (
        "unsafe_image",
        crafted.qcow2(autoclear=2),
    ),
    "an L1 table that is its own L2 table": (
        "image_malformed",
        crafted.qcow2(l1=tables(0x20000)),
    ),
    "one L2 table twice": (
        "image_malformed",
        crafted.qcow2(l1=tables(0x30000, 0x30000)),
    ),
    "an L1 table in the refcount table": (
        "image_malformed",
        crafted.qcow2(l1_table_offset=0x10000),
    ),
    "a refcount table that is its own block": (
        "image_malformed",
        crafted.qcow2(refcounts=struct.pack(">Q", 0x10000)),
    ),
    "a refcount block outside the file": (
        "image_malformed",
        crafted.qcow2(refcounts=struct.pack(">Q", 1 << 40)),
    ),
    "thousands of bitmaps": ("image_malformed", bitmaps(60_000, 64)),
    "a bitmap directory of gigabytes": (
        "image_malformed",
        bitmaps(1, 1 << 40),
    ),
    "bitmaps outside the file": (
        "image_malformed",
        bitmaps(1, 64, offset=1 << 40),
    ),
    "a snapshot's name beyond the file": (
        "image_malformed",
        snapshots(2, extra=1 << 30),
    ),
}

SPECIMENS = specimen.hostile("qcow2", HOSTILE)
