# SPDX-License-Identifier: Apache-2.0
"""What is said to be a plain disk, and what is two formats at once."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile

from tests.support import crafted
from tests.support.corpus import specimen


def tar() -> bytes:
    """Give an archive of one member."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("disk.ovf"))
    return buffer.getvalue()


def zipped() -> bytes:
    """Give an archive of one member."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("disk", "content")
    return buffer.getvalue()


def disk_then(end: bytes) -> bytes:
    """Give a disk of zeros that ends so."""
    return bytes(1 << 16) + end


#: What is said to be raw: the bytes, and what they look like.
DISGUISED = {
    "qcow of version 1": (b"QFI\xfb\x00\x00\x00\x01" + bytes(512), "qcow2"),
    "qcow2": (crafted.qcow2(), "qcow2"),
    "qed": (b"QED\x00" + bytes(512), "qed"),
    "sparse vmdk": (crafted.vmdk(), "vmdk"),
    "COWD": (b"COWD\x01" + bytes(512), "vmdk"),
    "vmdk descriptor": (crafted.DESCRIPTOR.encode(), "vmdk"),
    "descriptor after comments": (
        b"# a\n\n  # b\nVersion=1\ncreateType=x\n",
        "vmdk",
    ),
    "dynamic vhd": (crafted.vhd(), "vhd"),
    "fixed vhd": (crafted.vhd_fixed(), "vhd"),
    "vhd with a footer of 511 bytes": (
        disk_then(crafted.vhd_footer()[:511]),
        "vhd",
    ),
    "vhdx": (crafted.vhdx(), "vhdx"),
    "vdi": (crafted.vdi(), "vdi"),
    "parallels": (b"WithoutFreeSpace" + bytes(512), "parallels"),
    "new parallels": (b"WithouFreSpacExt" + bytes(512), "parallels"),
    "bochs": (b"Bochs Virtual HD Image\x00" + bytes(512), "bochs"),
    "cloop": (b"#!/bin/sh\n#V2.0 Format\nmodprobe cloop\n", "cloop"),
    "dmg": (disk_then(b"koly".ljust(512, b"\0")), "dmg"),
    "dmg with some bytes more": (
        disk_then(b"koly".ljust(600, b"\0")),
        "dmg",
    ),
    "luks": (b"LUKS\xba\xbe\x00\x01" + bytes(1024), "luks"),
    "gzip": (gzip.compress(b"disk"), "gzip"),
    "bzip2": (bz2.compress(b"disk"), "bzip2"),
    "xz": (lzma.compress(b"disk"), "xz"),
    "lzma": (lzma.compress(b"disk", lzma.FORMAT_ALONE), "lzma"),
    "zstd": (b"\x28\xb5\x2f\xfd\x04\x00" + bytes(16), "zstd"),
    "lz4": (b"\x04\x22\x4d\x18" + bytes(16), "lz4"),
    "compress": (b"\x1f\x9d\x90" + bytes(16), "compress"),
    "zip": (zipped(), "zip"),
    "zip behind a disk": (disk_then(zipped()), "zip"),
    "empty zip": (b"PK\x05\x06" + bytes(18), "zip"),
    "7z": (b"7z\xbc\xaf\x27\x1c" + bytes(32), "7z"),
    "rar": (b"Rar!\x1a\x07\x01\x00", "rar"),
    "tar": (tar(), "tar"),
}

QCOW2_HEAD = crafted.qcow2()[:512]

#: Files that two readers take for two formats, and what they are said to be.
POLYGLOTS: dict[str, tuple[str, bytes]] = {
    "an ISO said to be qcow2": (
        "qcow2",
        crafted.iso(QCOW2_HEAD, partitions=False),
    ),
    "a qcow2 said to be ISO": (
        "iso",
        crafted.iso(QCOW2_HEAD, partitions=False),
    ),
    "a qcow2 that ends as a VHD": (
        "qcow2",
        crafted.qcow2() + crafted.vhd_footer(),
    ),
    "a qcow2 with partitions": (
        "qcow2",
        QCOW2_HEAD[:510] + b"\x55\xaa" + crafted.qcow2()[512:],
    ),
    "a VHD that begins as a qcow2": ("vhd", crafted.vhd_fixed(QCOW2_HEAD)),
    "a VHD that begins as a descriptor": (
        "vhd",
        crafted.vhd_fixed(b"# Disk DescriptorFile\n"),
    ),
    "an ISO that begins as a VMDK": (
        "iso",
        crafted.iso(crafted.vmdk()[:4096], partitions=False),
    ),
    "an ISO that ends as a VHD": (
        "iso",
        crafted.iso() + crafted.vhd_footer(),
    ),
    "a VMDK that holds an ISO": (
        "vmdk",
        crafted.iso(crafted.vmdk()[:0x8000], partitions=False),
    ),
}

LUKS = b"LUKS\xba\xbe\x00\x01".ljust(1 << 16, b"\xff")

#: Formats that nobody asked for, under the names of those they are not.
IMPOSTORS: dict[str, tuple[str, bytes]] = {
    "LUKS said to be qcow2": ("qcow2", LUKS),
    "LUKS of version 2 said to be iso": (
        "iso",
        b"LUKS\xba\xbe\x00\x02" + bytes(1 << 16),
    ),
    "an empty file said to be qcow2": ("qcow2", b""),
    "a magic and no more said to be vhdx": ("vhdx", b"vhdx"),
    "a disk said to be vmdk": ("vmdk", crafted.partitioned()),
    "a docker image": ("docker", tar()),
}

SPECIMENS = [
    *specimen.hostile(
        "raw",
        {
            name: ("format_mismatch", data)
            for name, (data, _) in DISGUISED.items()
        }
        | {"an empty file": ("image_malformed", b"")},
    ),
    *(
        specimen.Specimen(name, declared, "unsafe_image", data)
        for name, (declared, data) in POLYGLOTS.items()
    ),
    *(
        specimen.Specimen(name, declared, "format_mismatch", data)
        for name, (declared, data) in IMPOSTORS.items()
    ),
]
