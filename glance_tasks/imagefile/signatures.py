# SPDX-License-Identifier: Apache-2.0
"""What the beginning and the end of a file look like, in qemu's eyes too.

oslo.utils 10.2 takes for raw what is COWD, parallels, bochs, cloop, dmg, a
fixed VHD, qcow 1 or an archive; programs that guess would not.
"""

from collections.abc import Iterator

from glance_tasks.imagefile import reader

#: Streams that hold one other file. Kernels and ramdisks come like this.
COMPRESSED = frozenset(
    {"gzip", "bzip2", "xz", "zstd", "lz4", "lzma", "lzip", "compress"}
)

_BEGINNINGS: tuple[tuple[str, int, bytes], ...] = (
    ("qcow2", 0, b"QFI\xfb"),
    ("qed", 0, b"QED\x00"),
    ("vmdk", 0, b"KDMV"),
    ("vmdk", 0, b"COWD"),
    ("vmdk", 0, b"# Disk DescriptorFile"),
    ("vhd", 0, b"conectix"),
    ("vhdx", 0, b"vhdxfile"),
    ("vdi", 0x40, b"\x7f\x10\xda\xbe"),
    ("luks", 0, b"LUKS\xba\xbe"),
    ("parallels", 0, b"WithoutFreeSpace"),
    ("parallels", 0, b"WithouFreSpacExt"),
    ("bochs", 0, b"Bochs Virtual HD Image"),
    ("cloop", 0, b"#!/bin/sh\n#V2.0 Format\nmodprobe cloop"),
    ("gzip", 0, b"\x1f\x8b\x08"),
    ("bzip2", 0, b"BZh"),
    ("xz", 0, b"\xfd7zXZ\x00"),
    ("zstd", 0, b"\x28\xb5\x2f\xfd"),
    ("lz4", 0, b"\x04\x22\x4d\x18"),
    ("lz4", 0, b"\x02\x21\x4c\x18"),
    ("lzma", 0, b"\x5d\x00\x00"),
    ("lzip", 0, b"LZIP"),
    ("compress", 0, b"\x1f\x9d\x90"),
    ("zip", 0, b"PK\x03\x04"),
    ("zip", 0, b"PK\x05\x06"),
    ("zip", 0, b"PK\x07\x08"),
    ("7z", 0, b"7z\xbc\xaf\x27\x1c"),
    ("rar", 0, b"Rar!\x1a\x07"),
    ("tar", 257, b"ustar"),
    ("iso", 0x8001, b"CD001"),
)

# qemu looks for a dmg trailer of 512 bytes at each of the last 512 places.
_TAIL = 1023

#: Bytes at the beginning that are looked at.
HEAD = 0x8800


def find(image: reader.Reader) -> set[str]:
    """Name every format that the file begins or ends like."""
    return of_head(image.head(HEAD)) | {*_endings(image.tail(_TAIL))}


def of_head(head: bytes) -> set[str]:
    """Name every format that begins like these bytes.

    :param head: the first :data:`HEAD` bytes, all of a shorter file
    """
    found = {
        name
        for name, offset, magic in _BEGINNINGS
        if head.startswith(magic, offset)
    }
    return found | ({"vmdk"} if _reads_as_descriptor(head[:2048]) else set())


def _endings(tail: bytes) -> Iterator[str]:
    # Virtual PC before 2004 wrote footers of 511 bytes.
    if b"conectix" in (tail[-512:][:8], tail[-511:][:8]):
        yield "vhd"
    if b"koly" in tail[:515]:
        yield "dmg"
    if tail[-22:].startswith(b"PK\x05\x06"):
        yield "zip"


def _reads_as_descriptor(head: bytes) -> bool:
    """Tell whether qemu takes it for the text of a VMDK's descriptor."""
    for line in head.split(b"\n"):
        text = line.strip()
        if text and not text.startswith(b"#"):
            return text.lower().startswith(b"version=")
    return False
