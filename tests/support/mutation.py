# SPDX-License-Identifier: Apache-2.0
"""Images that are nearly good: honest ones with fields and bytes changed.

What covers its own structures by checksums gets them right again, or nothing
behind the checksum would ever be looked at.
"""

from collections.abc import Mapping
import dataclasses
import functools
import pathlib
import struct
import tempfile
from typing import Any

from hypothesis import strategies as st

from glance_tasks.imagefile import vhdx
from tests.support import crafted
from tests.support import images

MIB = 1 << 20

# Offset and code of the fields by which a header can lie; from the end of
# the file when the offset is negative.
_QCOW2 = {
    **{4: ">I", 8: ">Q", 16: ">I", 20: ">I", 24: ">Q", 32: ">I", 36: ">I"},
    **{40: ">Q", 48: ">Q", 56: ">I", 60: ">I", 64: ">Q", 72: ">Q", 80: ">Q"},
    **{88: ">Q", 96: ">I", 100: ">I", 104: ">B", 112: ">I", 116: ">I"},
}
_VMDK = {
    **{4: "<I", 8: "<I", 12: "<Q", 20: "<Q", 28: "<Q", 36: "<Q", 44: "<I"},
    **{48: "<Q", 56: "<Q", 64: "<Q", 72: "<B", 73: "<I", 77: "<H"},
}
_VHD = {
    **{-512 + 16: ">Q", -512 + 48: ">Q", -512 + 60: ">I", -512 + 28: ">I"},
    **{16: ">Q", 512 + 8: ">Q", 512 + 16: ">Q"},
    **{512 + 24: ">I", 512 + 28: ">I", 512 + 32: ">I", 512 + 40: ">Q"},
}
_REGION, _ITEM = (192 << 10) + 16, 2 * MIB + 32
_VHDX = {
    (192 << 10) + 8: "<I",
    (64 << 10) + 48: "<Q",
    2 * MIB + 10: "<H",
    2 * MIB + (64 << 10): "<I",
    2 * MIB + (64 << 10) + 4: "<I",
    2 * MIB + (64 << 10) + 8: "<Q",
    **{_REGION + 32 * n + 16: "<Q" for n in range(3)},
    **{_REGION + 32 * n + 24: "<I" for n in range(3)},
    **{_ITEM + 32 * n + 16: "<I" for n in range(6)},
    **{_ITEM + 32 * n + 20: "<I" for n in range(6)},
}
_VDI = {
    **{68: "<I", 76: "<I", 340: "<I", 344: "<I", 360: "<I", 368: "<Q"},
    **{376: "<I", 380: "<I", 384: "<I", 388: "<I", 424: "<Q", 512: "<I"},
}
FIELDS: Mapping[str, Mapping[int, str]] = {
    "raw": {0: "<Q", 510: "<H", -512: "<Q"},
    "iso": {0: "<Q", 510: "<H", 0x8000: "<Q"},
    "qcow2": _QCOW2,
    "vmdk": _VMDK,
    "vhd": _VHD,
    "vhdx": _VHDX,
    "vdi": _VDI,
}

#: What changes the meaning of a file by standing in it.
WORDS = (
    b"QFI\xfb",
    b"KDMV",
    b"COWD",
    b"conectix",
    b"cxsparse",
    b"vhdxfile",
    b"koly",
    b"\x7f\x10\xda\xbe",
    b"LUKS\xba\xbe",
    b"# Disk DescriptorFile\n",
    b"\nversion=1\n",
    b'\nparentFileNameHint="bait"\n',
    b'\nRW 2048 FLAT "bait" 0\n',
    b'\nRW 2048 SPARSE "bait"\n',
    b'createType="monolithicFlat"\n',
    b"parentCID=00000001\n",
    b"#",
    b"\n",
    b"\0",
    b'"',
    b"\x0e\xb7\x05\x37\x00\x00\x00\x08",
    b"DATA\x00\x00\x00\x04bait",
    b"\xe2\x79\x2a\xca\x00\x00\x00\x05qcow2",
)

_MADE = {
    "qcow2": ("-O qcow2", "-O qcow2 -c -o compat=0.10,cluster_size=512"),
    "vmdk": (
        "-O vmdk -o subformat=monolithicSparse",
        "-O vmdk -o subformat=streamOptimized",
    ),
    "vhd": (
        "-O vpc -o subformat=dynamic,force_size=on",
        "-O vpc -o subformat=fixed,force_size=on",
    ),
    "vhdx": ("-O vhdx -o subformat=dynamic,block_size=1M",),
    "vdi": ("-O vdi", "-O vdi -o static=on"),
}


_STREAM = crafted.DESCRIPTOR.replace("monolithicSparse", "streamOptimized")
_CRAFTED: Mapping[str, tuple[bytes, ...]] = {
    "raw": (crafted.partitioned(),),
    "iso": (crafted.iso(), crafted.iso(partitions=False)),
    "qcow2": (crafted.qcow2(),),
    "vmdk": (crafted.vmdk(), crafted.vmdk(_STREAM, footer={})),
    "vhd": (crafted.vhd(), crafted.vhd_fixed()),
    "vhdx": (crafted.vhdx(),),
    "vdi": (crafted.vdi(),),
}


@functools.cache
def honest() -> Mapping[str, tuple[bytes, ...]]:
    """Give good images by Glance's names: crafted, and made by qemu-img."""
    good = dict(_CRAFTED)
    with tempfile.TemporaryDirectory() as name:
        home = pathlib.Path(name)
        images.disk(home / "disk", MIB)
        for kind, ways in _MADE.items():
            for words in ways:
                images.made(home / "made", home / "disk", *words.split())
                good[kind] += ((home / "made").read_bytes(),)
    return good


@dataclasses.dataclass(frozen=True)
class Mutant:
    """A file that may be an image.

    :ivar declared: what it is said to be
    :ivar hole: bytes of nothing behind ``data``
    """

    declared: str
    data: bytes
    hole: int = 0

    def write(self, path: pathlib.Path) -> None:
        """Write the file, its hole as a hole."""
        with path.open("wb") as file:
            file.write(self.data)
            file.truncate(len(self.data) + self.hole)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        # Megabytes in a log help nobody; a failure prints what makes it anew.
        printer.text(f"<{self.declared}, {len(self.data)}+{self.hole} bytes>")


def bloated(declared: str) -> Mutant:
    """Give a file that claims a table as long as its hole."""
    data = bytearray(_CRAFTED[declared][0])
    grow_table(declared, data, 1 << 28)
    repair(declared, data)
    return Mutant(declared, bytes(data), 6 << 30)


@st.composite
def mutants(draw: st.DrawFn) -> Mutant:
    """Draw a file that is nearly an image of the format declared for it."""
    declared = draw(st.sampled_from(sorted(FIELDS)))
    other = draw(st.integers(0, 9)) == 0
    real = draw(st.sampled_from(sorted(FIELDS))) if other else declared
    data = bytearray(draw(st.sampled_from(honest()[real])))
    for _ in range(draw(st.integers(0, 4))):
        draw(st.sampled_from(_CHANGES))(draw, real, data)
    if draw(st.integers(0, 9)):
        repair(real, data)
    hole = draw(_HOLES)
    if draw(st.integers(0, 9)) == 0:
        del data[draw(st.integers(0, len(data))) :]
    return Mutant(declared, bytes(data), hole)


# Up to 256 MiB of a hole are read.
_HOLES = st.sampled_from([0] * 9 + [1, 511, MIB, 6 << 30, 6 << 30])


def _numbers(now: int, size: int, bits: int) -> st.SearchStrategy[int]:
    """Draw the value of a field of a file of ``size`` bytes."""
    edges = {0, 1, 2, 3, 4, 512, size, size // 512, size // MIB, 5 << 30}
    edges |= {1 << n for n in range(3, 64, 3)}
    near = st.builds(
        lambda edge, by: edge + by,
        st.sampled_from(sorted(edges)) | st.just(now),
        st.sampled_from([0, 0, -1, 1, -256]),
    )
    top = (1 << bits) - 1
    full = st.one_of(near, st.integers(0, top), st.just(top))
    return full.map(lambda number: max(0, min(number, top)))


def _set_field(draw: st.DrawFn, real: str, data: bytearray) -> None:
    place = draw(st.sampled_from(sorted(FIELDS[real])))
    code = FIELDS[real][place]
    width = struct.calcsize(code)
    place %= len(data)
    held = bytes(data[place : place + width]).ljust(width, b"\0")
    (now,) = struct.unpack(code, held)
    value = draw(_numbers(now, len(data), 8 * width))
    data[place : place + width] = struct.pack(code, value)


def _set_bytes(draw: st.DrawFn, real: str, data: bytearray) -> None:
    place = draw(_places(len(data)))
    piece = draw(st.binary(min_size=1, max_size=16))
    data[place : place + len(piece)] = piece


def _set_word(draw: st.DrawFn, real: str, data: bytearray) -> None:
    """Write a word over what is there, or where a text ends."""
    word, place = draw(st.sampled_from(WORDS)), draw(_places(len(data)))
    if draw(st.booleans()):
        place = max(0, bytes(data[:MIB]).find(b"\0" * 8, place))
    data[place : place + len(word)] = word


def _swap_words(draw: st.DrawFn, real: str, data: bytearray) -> None:
    """Change what the descriptor of a VMDK says, keeping it whole."""
    if real != "vmdk":
        return
    text = bytes(data[512 : 21 * 512]).rstrip(b"\0")
    for _ in range(draw(st.integers(1, 3))):
        old, new = draw(st.sampled_from(_SWAPS))
        text = text.replace(old, new)
    data[512 : 21 * 512] = text.ljust(20 * 512, b"\0")[: 20 * 512]


_SWAPS = (
    (b"parentCID=ffffffff", b"parentCID=00000001"),
    (b"version=1\n", b'version=1\nparentFileNameHint="bait"\n'),
    (b"SPARSE", b"FLAT"),
    (b"disk.vmdk", b"/etc/hostname"),
    (b"monolithicSparse", b"twoGbMaxExtentFlat"),
    (b"# ", b"#"),
    (b"\n", b"\r\n"),
    (b"ddb", b" ddb"),
)


def _grow_table(draw: st.DrawFn, real: str, data: bytearray) -> None:
    """Make a table long, where only a file with a hole can hold it."""
    length = draw(st.sampled_from([1 << n for n in (10, 20, 26, 28, 30)]))
    grow_table(real, data, length)


def grow_table(real: str, data: bytearray, length: int) -> None:
    """Claim a table of so many entries, without contradiction."""
    if real == "vhdx":
        _fill_items(data, min(length, MIB - (64 << 10)))
    for place, code, value in _TABLES.get(real, lambda n: [])(length):
        struct.pack_into(code, data, place, value)


# Places, codes and values that agree on a table of so many entries.
_TABLES: Mapping[str, Any] = {
    "qcow2": lambda n: [(36, ">I", n), (40, ">Q", 2 * MIB), (20, ">I", 16)],
    "vdi": lambda n: [
        (340, "<I", 512),
        (344, "<I", min(512 + 4 * n, (1 << 32) - 1)),
        (384, "<I", n),
        (388, "<I", 0),
    ],
    "vhd": lambda n: [(512 + 28, ">I", n)],
}


def _fill_items(data: bytearray, length: int) -> None:
    """Give the metadata of a VHDX as many items as it can have."""
    items = b"".join(
        struct.pack("<QQIIII", 1, number, 64 << 10, length, 0, 0)
        for number in range(2000)
    )
    (count,) = struct.unpack_from("<H", data, 2 * MIB + 10)
    place = _ITEM + 32 * min(count, 6)
    data[place : place + len(items)] = items
    struct.pack_into("<H", data, 2 * MIB + 10, min(count, 6) + 2000)


def _places(size: int) -> st.SearchStrategy[int]:
    """Draw a place, mostly where headers are."""
    starts = [0, 0, 512, 1024, 192 << 10, 2 * MIB, size - 600]
    return st.builds(
        lambda start, by: min(max(0, start) + by, max(0, size - 1)),
        st.sampled_from(starts),
        st.integers(0, 700),
    )


_CHANGES: tuple[Any, ...] = (
    _set_field,
    _set_field,
    _set_field,
    _set_bytes,
    _set_word,
    _grow_table,
    _swap_words,
)


# --- checksums ---------------------------------------------------------------


def repair(real: str, data: bytearray) -> None:
    """Make the checksums right, and copies the same."""
    if real == "vhd" and len(data) > 2048:
        _sum(data, len(data) - 512, 512, 64)
        if data.startswith(b"conectix"):
            data[:512] = data[-512:]
            _sum(data, 512, 1024, 36)
    if real == "vhdx" and len(data) > 2 * MIB:
        for place, length in ((64 << 10, 4096), (192 << 10, 64 << 10)):
            _crc(data, place, length)
            copy = place + (64 << 10)
            data[copy : copy + length] = data[place : place + length]


def _sum(data: bytearray, start: int, length: int, place: int) -> None:
    at = start + place
    data[at : at + 4] = bytes(4)
    total = ~sum(data[start : start + length]) & 0xFFFFFFFF
    data[at : at + 4] = struct.pack(">I", total)


def _crc(data: bytearray, place: int, length: int) -> None:
    data[place + 4 : place + 8] = bytes(4)
    checksum = vhdx.crc32c(bytes(data[place : place + length]))
    data[place + 4 : place + 8] = struct.pack("<I", checksum)
