# SPDX-License-Identifier: Apache-2.0
"""Files of gigabytes, nearly all holes, whose headers ask for memory or time.

The work it takes to judge them must not grow with what they claim.
"""

from collections.abc import Sequence
import pathlib
import struct
import uuid
import zlib

from tests.support import crafted
from tests.support.corpus import specimen

MIB, GIB = 1 << 20, 1 << 30
_SMALL = 512


def _many_tables(offsets: Sequence[int]) -> bytes:
    return struct.pack(f">{len(offsets)}Q", *(1 << 63 | o for o in offsets))


def l1_tables(count: int, *, same: bool) -> specimen.Content:
    """Give a qcow2 of clusters of 512 bytes with that many L2 tables.

    :param same: all of them the same one
    """

    def write(path: pathlib.Path) -> None:
        first = 4 * MIB + 8 * count
        step = 0 if same else _SMALL
        header = crafted.qcow2(
            cluster_bits=9,
            size=count * 64 * _SMALL,
            l1_size=count,
            l1_table_offset=4 * MIB,
            refcount_table_offset=_SMALL,
        )
        tables = _many_tables([first + step * n for n in range(count)])
        specimen.sparse(
            (0, header[:112]),
            (4 * MIB, tables),
            size=first + count * _SMALL,
        )(path)

    return write


def many_extensions() -> specimen.Content:
    """Give a qcow2 whose header is followed by 262,130 empty extensions."""
    header = crafted.qcow2(
        cluster_bits=21,
        l1_size=1,
        l1_table_offset=4 * MIB,
        refcount_table_offset=2 * MIB,
    )
    empty = struct.pack(">II", 5, 0) * ((2 * MIB - 112) // 8)
    return specimen.sparse((0, header[:112] + empty), size=8 * MIB)


def compressed_bomb(size: int) -> bytes:
    """Give a qcow2 of ``size`` bytes that are all in one cluster."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -12)
    packed = packer.compress(bytes(crafted.CLUSTER)) + packer.flush()
    entry = struct.pack(">Q", 1 << 62 | 0x40000)
    l2 = entry * (crafted.CLUSTER // 8)
    l1_size = -(-size // (crafted.CLUSTER * crafted.CLUSTER // 8))
    l1 = _many_tables([0x30000] * l1_size)
    image = crafted.qcow2(size=size, l1_size=l1_size, l1=l1)
    return image[:0x30000] + l2 + packed.ljust(crafted.CLUSTER, b"\0")


def _metadata(entries: Sequence[tuple[uuid.UUID, int, int]]) -> bytes:
    head = struct.pack("<8sHH20x", b"metadata", 0, len(entries))
    return head + b"".join(
        name.bytes_le + struct.pack("<IIII", place, length, 0, 0)
        for name, place, length in entries
    )


def vhdx_items(count: int, length: int) -> specimen.Content:
    """Give a VHDX with that many unknown items over one another."""
    regions = (
        (crafted.BLOCK_TABLE, 3 * MIB, MIB, 1),
        (crafted.METADATA, 4 * MIB, GIB, 1),
    )
    known = [
        (uuid.UUID(name), place, len(value))
        for name, place, value in crafted.ITEMS
    ]
    unknown = [
        (uuid.UUID(int=number + 1), 1 << 17, length) for number in range(count)
    ]
    values = [(4 * MIB + place, value) for _, place, value in crafted.ITEMS]
    return specimen.sparse(
        (0, crafted.vhdx(regions=regions)[: 2 * MIB]),
        (4 * MIB, _metadata([*known, *unknown])),
        *values,
        size=2 * GIB,
    )


def vhdx_block_table(length: int) -> specimen.Content:
    """Give a VHDX with a block table of ``length`` bytes for 64 MiB."""
    regions = (
        (crafted.BLOCK_TABLE, 3 * MIB, length, 1),
        (crafted.METADATA, 2 * MIB, MIB, 1),
    )
    data = crafted.vhdx(regions=regions)
    return specimen.sparse((0, data), size=3 * MIB + length)


def vdi_blocks(blocks: int, size: int) -> specimen.Content:
    """Give a VDI with a table of that many blocks, none of them in use."""
    end = 512 + blocks * 4
    head = crafted.vdi(blocks=blocks, data=end, size=size)[:512]
    return specimen.sparse((0, head + b"\xff" * MIB), size=end)


def vhd_entries(entries: int) -> specimen.Content:
    """Give a dynamic VHD with a table of that many blocks."""
    data = crafted.vhd(header={"entries": entries, "block": 1 << 21})
    end = 1536 + entries * 4
    return specimen.sparse(
        (0, data[:1536]), (end, data[-512:]), size=end + 512
    )


def descriptor(line: bytes) -> bytes:
    """Give a VMDK with a descriptor of 1 MiB that is full of one line."""
    text = crafted.DESCRIPTOR.encode()
    text += line * ((2047 * 512 - len(text) - 1) // len(line))
    head = crafted.vmdk(descriptor_size=2047, overhead=4096)[:512]
    body = head + text.ljust(2047 * 512, b"\0")
    return body.ljust(4096 * 512, b"\0")


QCOW2: dict[str, tuple[str, specimen.Content]] = {
    "four million L2 tables in one": (
        "image_malformed",
        l1_tables(4 << 20, same=True),
    ),
    "a bomb of one cluster": ("image_malformed", compressed_bomb(GIB * 1024)),
    "a bomb of petabytes": (
        "virtual_size_exceeded",
        compressed_bomb(GIB << 12),
    ),
}
VHDX: dict[str, tuple[str, specimen.Content]] = {
    "ten items of 900 MiB": ("image_malformed", vhdx_items(10, 900 * MIB)),
    "a block table of 3 GiB": ("image_malformed", vhdx_block_table(3 * GIB)),
}
VDI: dict[str, tuple[str, specimen.Content]] = {
    "a table of 4 GiB": ("image_malformed", vdi_blocks((1 << 30) - 256, MIB)),
    "a disk of 4 PiB": (
        "virtual_size_exceeded",
        vdi_blocks((1 << 30) - 256, 4 << 50),
    ),
}
VHD: dict[str, tuple[str, specimen.Content]] = {
    "a table of 8 GiB": ("image_malformed", vhd_entries(2 << 30)),
}
VMDK: dict[str, tuple[str, specimen.Content]] = {
    "a descriptor of one long line": (
        "unsafe_image",
        descriptor(b'ddb.a.a.a.a = "'),
    ),
    "a descriptor of half a million blanks": (
        "unsafe_image",
        descriptor(b"ddb.a ="),
    ),
}

SPECIMENS = [
    *specimen.hostile("qcow2", QCOW2),
    *specimen.hostile("vhdx", VHDX),
    *specimen.hostile("vdi", VDI),
    *specimen.hostile("vhd", VHD),
    *specimen.hostile("vmdk", VMDK),
]

#: What is large and odd and breaks no rule.
HARMLESS = [
    specimen.Specimen(
        "four million L2 tables", "qcow2", None, l1_tables(4 << 20, same=False)
    ),
    specimen.Specimen(
        "262,130 header extensions", "qcow2", None, many_extensions()
    ),
    specimen.Specimen(
        "2,000 items of 1 MiB", "vhdx", None, vhdx_items(2000, MIB)
    ),
    specimen.Specimen(
        "a descriptor of 1 MiB", "vmdk", None, descriptor(b"# a comment\n")
    ),
    specimen.Specimen(
        "a disk of 64 GiB of zeros",
        "raw",
        None,
        specimen.sparse(size=64 * GIB),
    ),
]
