# SPDX-License-Identifier: Apache-2.0
"""Images by their bytes, good ones and hostile ones.

A function named after a format gives the bytes of a small image that is good
unless it is told otherwise; its keywords are the fields of the format's own
specification.
"""

import functools
import struct
import uuid

MIB = 1 << 20
CLUSTER = 64 << 10


def packed(order: str, layout: str, changes: dict[str, object]) -> bytes:
    """Pack fields given as lines of ``name code default``."""
    data, names = b"", set()
    for line in layout.split("\n"):
        if not line.strip():
            continue
        name, code, default = line.split()
        names.add(name)
        value = changes.get(name, int(default, 0))
        data += struct.pack(order + code, value)
    assert changes.keys() <= names, changes.keys() - names
    return data


def qcow2(
    *,
    extensions: bytes = b"",
    l1: bytes = bytes(16),
    refcounts: bytes = b"",
    **changes: object,
) -> bytes:
    """Give a qcow2 of version 3 with a disk of 1 GiB and no data.

    The refcount table is the second cluster and the L1 table the third, with
    one more after it.
    """
    header = packed(
        ">",
        """
        magic                   I 0x514649fb
        version                 I 3
        backing_file_offset     Q 0
        backing_file_size       I 0
        cluster_bits            I 16
        size                    Q 0x40000000
        crypt_method            I 0
        l1_size                 I 2
        l1_table_offset         Q 0x20000
        refcount_table_offset   Q 0x10000
        refcount_table_clusters I 1
        nb_snapshots            I 0
        snapshots_offset        Q 0
        incompatible            Q 0
        compatible              Q 0
        autoclear               Q 0
        refcount_order          I 4
        header_length           I 112
        compression_type        B 0
        """,
        changes,
    )
    first = header.ljust(112, b"\0") + extensions
    return (
        first.ljust(CLUSTER, b"\0")[:CLUSTER]
        + refcounts.ljust(CLUSTER, b"\0")
        + l1.ljust(CLUSTER, b"\0")
        + bytes(CLUSTER)
    )


def extension(kind: int, data: bytes) -> bytes:
    """Give one header extension of a qcow2."""
    padding = -len(data) % 8
    return struct.pack(">II", kind, len(data)) + data + bytes(padding)


DESCRIPTOR = """\
# Disk DescriptorFile
version=1
CID=fffffffe
parentCID=ffffffff
createType="monolithicSparse"

# Extent description
RW 2048 SPARSE "disk.vmdk"

# The Disk Data Base
#DDB

ddb.virtualHWVersion = "4"
ddb.geometry.cylinders = "2"
ddb.adapterType = "ide"
"""


def _vmdk_header(changes: dict[str, object]) -> bytes:
    header = packed(
        "<",
        """
        magic             I 0x564d444b
        version           I 1
        flags             I 3
        capacity          Q 2048
        grain             Q 128
        descriptor_offset Q 1
        descriptor_size   Q 20
        entries_per_table I 512
        redundant         Q 21
        directory         Q 26
        overhead          Q 128
        unclean           B 0
        line_ends         I 0x0a0d200a
        compression       H 0
        """,
        changes,
    )
    return header.ljust(512, b"\0")


def vmdk(
    descriptor: str | bytes = DESCRIPTOR,
    *,
    footer: dict[str, object] | None = None,
    **changes: object,
) -> bytes:
    """Give a sparse VMDK with a disk of 1 MiB and no data.

    :param footer: what the footer of a streamOptimized image says else than
        the header, when there is to be one
    """
    text = descriptor if isinstance(descriptor, bytes) else descriptor.encode()
    if footer is not None:
        changes = {"directory": (1 << 64) - 1, **changes}
    data = _vmdk_header(changes) + text.ljust(20 * 512, b"\0")
    data = data.ljust(128 * 512, b"\0")
    if footer is None:
        return data
    marker = struct.pack("<QII", 1, 0, 3).ljust(512, b"\0")
    end = _vmdk_header({**changes, "directory": 26, **footer})
    return data + marker + end + bytes(512)


def vmdk_lines(*added: str, without: str = "\0") -> str:
    """Give the descriptor with lines added, and without those naming one."""
    kept = [x for x in DESCRIPTOR.splitlines() if without not in x]
    return "\n".join([*kept, *added]) + "\n"


def _summed(data: bytes, place: int) -> bytes:
    """Fill in the checksum of a VHD's structure."""
    rest = data[:place] + bytes(4) + data[place + 4 :]
    value = struct.pack(">I", ~sum(rest) & 0xFFFFFFFF)
    return data[:place] + value + data[place + 4 :]


def vhd_footer(**changes: object) -> bytes:
    """Give the footer of a VHD: a fixed disk of 1 MiB."""
    data = packed(
        ">",
        """
        cookie          Q 0x636f6e6563746978
        features        I 2
        version         I 0x10000
        data_offset     Q 0xffffffffffffffff
        time_stamp      I 0
        creator         I 0x77696e20
        creator_version I 0xa0000
        creator_os      I 0x5769326b
        original_size   Q 0x100000
        current_size    Q 0x100000
        geometry        I 0x1e0411
        disk_type       I 2
        checksum        I 0
        """,
        changes,
    ).ljust(512, b"\0")
    return data if "checksum" in changes else _summed(data, 64)


def vhd_fixed(content: bytes = b"", **changes: object) -> bytes:
    """Give a fixed VHD of 1 MiB that begins with ``content``."""
    return content.ljust(MIB, b"\0") + vhd_footer(**changes)


def vhd(
    header: dict[str, object] | None = None,
    parent: bytes = b"",
    **changes: object,
) -> bytes:
    """Give a dynamic VHD with a disk of 1 MiB and no data.

    :param header: changes of the dynamic header, others of the footer
    """
    footer = vhd_footer(**{"disk_type": 3, "data_offset": 512, **changes})
    fields = packed(
        ">",
        """
        cookie      Q 0x6378737061727365
        data_offset Q 0xffffffffffffffff
        table       Q 1536
        version     I 0x10000
        entries     I 1
        block       I 0x200000
        checksum    I 0
        """,
        header or {},
    )
    dynamic = (fields + parent).ljust(1024, b"\0")
    table = b"\xff" * 512
    return footer + _summed(dynamic, 36) + table + footer


def vdi(
    blocks_table: bytes = b"\xff" * 16,
    *,
    content: bytes = b"",
    **changes: object,
) -> bytes:
    """Give a dynamic VDI with a disk of 4 MiB and no data but ``content``."""
    header = packed(
        "<",
        """
        signature     I 0xbeda107f
        version       I 0x10001
        header_size   I 400
        image_type    I 1
        flags         I 0
        """,
        {
            k: changes.pop(k)
            for k in ("version", "image_type") & changes.keys()
        },
    )
    rest = packed(
        "<",
        """
        table     I 512
        data      I 1024
        geometry1 I 0
        geometry2 I 0
        geometry3 I 0
        sector    I 512
        unused    I 0
        size      Q 0x400000
        block     I 0x100000
        extra     I 0
        blocks    I 4
        allocated I 0
        uuid      Q 1
        uuid2     Q 1
        snapshot  Q 1
        snapshot2 Q 1
        link      Q 0
        link2     Q 0
        parent    Q 0
        parent2   Q 0
        """,
        changes,
    )
    text = b"<<< Oracle VM VirtualBox Disk Image >>>\n".ljust(64, b"\0")
    head = (text + header + bytes(256) + rest).ljust(512, b"\0")
    return (head + blocks_table).ljust(1024, b"\0") + content


@functools.cache
def crc32c(data: bytes) -> int:
    """Give the Castagnoli checksum, bit by bit."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def _checked(data: bytes) -> bytes:
    return data[:4] + struct.pack("<I", crc32c(data)) + data[8:]


METADATA = "8b7ca206-4790-4b9a-b8fe-575f050f886e"
BLOCK_TABLE = "2dc27766-f623-4200-9d64-115e9bfd4a08"
REGIONS = ((BLOCK_TABLE, 3 * MIB, MIB, 1), (METADATA, 2 * MIB, MIB, 1))
PARAMETERS = "caa16737-fa36-4d43-b3b6-33f0aa44e76b"
DISK_SIZE = "2fa54224-cd1b-4876-b211-5dbed83bf4b8"
LOGICAL_SECTOR = "8141bf1d-a96f-4709-ba47-f233a8faab5f"
PARENT_LOCATOR = "a8d35f2d-b30b-454d-abf7-d3d84834ab0c"
ITEMS = (
    (PARAMETERS, 65536, struct.pack("<II", 32 * MIB, 0)),
    (DISK_SIZE, 65544, struct.pack("<Q", 64 * MIB)),
    (LOGICAL_SECTOR, 65552, struct.pack("<I", 512)),
)


def _named(name: str) -> bytes:
    return uuid.UUID(name).bytes_le


def vhdx(
    *,
    regions: tuple[tuple[str, int, int, int], ...] = REGIONS,
    items: tuple[tuple[str, int, bytes], ...] = ITEMS,
    log: bytes = bytes(16),
    region_count: int | None = None,
    item_count: int | None = None,
    checksums: bool = True,
) -> bytes:
    """Give a dynamic VHDX with a disk of 64 MiB and no data.

    :param regions: name, place, length in bytes, and whether it is required
    :param items: of the metadata: name, place within it, and value
    :param log: the identity of the log; zeros when there is nothing in it
    """
    count = len(regions) if region_count is None else region_count
    table = struct.pack("<4sIII", b"regi", 0, count, 0)
    for name, *fields in regions:
        table += _named(name) + struct.pack("<QII", *fields)
    table = _checked(table.ljust(CLUSTER, b"\0"))
    head = struct.pack("<4sIQ", b"head", 0, 1) + bytes(32) + log
    head = head.ljust(4096, b"\0")
    head = _checked(head) if checksums else head
    count = len(items) if item_count is None else item_count
    metadata = struct.pack("<8sHH20x", b"metadata", 0, count)
    for name, place, value in items:
        metadata += _named(name) + struct.pack(
            "<IIII", place, len(value), 4, 0
        )
    image = bytearray(4 * MIB)
    for place, data in (
        (0, b"vhdxfile"),
        (64 << 10, head),
        (128 << 10, head),
        (192 << 10, table),
        (256 << 10, table),
        (2 * MIB, metadata),
        *((2 * MIB + place, value) for _, place, value in items),
    ):
        image[place : place + len(data)] = data
    return bytes(image)


def iso(start: bytes = b"", *, partitions: bool = True) -> bytes:
    """Give an ISO of 64 KiB; with partitions it boots from a USB stick too."""
    image = bytearray(start.ljust(64 << 10, b"\0"))
    if partitions:
        image[446:462] = bytes.fromhex("80000100ef1fe0ff4000000000010000")
        image[510:512] = b"\x55\xaa"
    image[0x8000:0x8007] = b"\x01CD001\x01"
    image[0x8050:0x8054] = struct.pack("<I", 32)
    image[0x8080:0x8082] = struct.pack("<H", 2048)
    return bytes(image)


def partitioned(size: int = MIB) -> bytes:
    """Give a raw disk with a protective MBR, as every cloud image has."""
    image = bytearray(size)
    image[446:462] = bytes.fromhex("00000200eeffffff01000000ff070000")
    image[510:512] = b"\x55\xaa"
    image[512:520] = b"EFI PART"
    return bytes(image)
