# SPDX-License-Identifier: Apache-2.0
"""VMDK images that other readers read in another way."""

from tests.support import crafted
from tests.support.corpus import specimen

lines = crafted.vmdk_lines


def extent(line: str) -> bytes:
    """Give an image with that line in the place of its extent."""
    return crafted.vmdk(lines(line, without="SPARSE"))


#: Fits into a sector.
SHORT = b"".join(
    line + b"\n"
    for line in crafted.DESCRIPTOR.encode().splitlines()
    if line and not line.startswith((b"#", b"ddb"))
)


#: These reach for something outside.
HOSTILE = {
    "a second createType": crafted.vmdk(lines('createType="monolithicFlat"')),
    "the same createType twice": crafted.vmdk(
        lines('createType="monolithicSparse"')
    ),
    "createType in other letters": crafted.vmdk(
        lines('CREATETYPE="monolithicFlat"')
    ),
    "createType in a comment": crafted.vmdk(
        lines('# createType="monolithicFlat"')
    ),
    "createType in the database": crafted.vmdk(
        lines('ddb.comment = "createType=monolithicFlat"')
    ),
    "no createType": crafted.vmdk(lines(without="createType")),
    "createType with spaces": crafted.vmdk(
        lines('create Type = "monolithicFlat"')
    ),
    "monolithicFlat": crafted.vmdk(
        lines('createType="monolithicFlat"', without="createType")
    ),
    "twoGbMaxExtentSparse": crafted.vmdk(
        lines('createType="twoGbMaxExtentSparse"', without="createType")
    ),
    "a flat extent": extent('RW 2048 FLAT "disk-flat.vmdk" 0'),
    "an extent with a path": extent('RW 2048 SPARSE "/etc/passwd"'),
    "an extent that climbs": extent('RW 2048 SPARSE "..\\secret"'),
    "an extent over the network": extent('RW 2048 SPARSE "nbd:host:10809"'),
    "an extent of json": extent('RW 2048 SPARSE "json:{}"'),
    "a second extent": crafted.vmdk(lines('RW 2048 SPARSE "other.vmdk"')),
    "an extent in a comment": crafted.vmdk(lines('#RW 2048 FLAT "x" 0')),
    "an extent of zeros": extent("RW 2048 ZERO"),
    "no extent": crafted.vmdk(lines(without="SPARSE")),
    "a device": extent('RW 2048 VMFSRDM "disk"'),
    "a parent hint": crafted.vmdk(lines('parentFileNameHint="base.vmdk"')),
    "a parent hint in a comment": crafted.vmdk(
        lines('# parentFileNameHint="base.vmdk"')
    ),
    "a parent hint in the disk database": crafted.vmdk(
        lines('ddb.parentFileNameHint="nbd:127.0.0.1:10809"')
    ),
    "a parent hint in a name": extent('RW 2048 SPARSE "parentFileNameHint"'),
    "a parent hint behind a descriptor without an end": crafted.vmdk(
        SHORT.ljust(512, b"\n") + b'parentFileNameHint="/etc/passwd"\n',
        descriptor_size=1,
    ),
    "a parent": crafted.vmdk(lines("parentCID=12345678", without="parentCID")),
    "a native snapshot": crafted.vmdk(lines('isNativeSnapshot="yes"')),
    "a change tracking file": crafted.vmdk(lines('changeTrackPath="x.vmdk"')),
    "an unknown field": crafted.vmdk(lines('anything="else"')),
    "a carriage return inside a line": crafted.vmdk(
        lines('# a\rcreateType="monolithicFlat"')
    ),
    "letters that are not ASCII": crafted.vmdk(lines("# é")),
    "text after the zeros": crafted.vmdk(
        crafted.DESCRIPTOR.encode() + b'\0createType="monolithicFlat"\n'
    ),
    "no capacity": crafted.vmdk(capacity=0),
    "only a descriptor": crafted.DESCRIPTOR.encode().ljust(1024, b"\0"),
    "only a flat descriptor": b"# Disk DescriptorFile\nversion=1\n"
    b'createType="monolithicFlat"\nRW 2048 FLAT "/etc/passwd" 0\n',
    "COWD": b"COWD".ljust(2048, b"\0"),
}

#: The headers of these lie.
DAMAGED = {
    "another size in the descriptor": extent('RW 4096 SPARSE "disk.vmdk"'),
    "version 4": crafted.vmdk(version=4),
    "grains of 3 sectors": crafted.vmdk(grain=3),
    "grains of 4 GiB": crafted.vmdk(grain=1 << 23),
    "grains of no sectors": crafted.vmdk(grain=0),
    "tables of 1 entry": crafted.vmdk(entries_per_table=1),
    "tables of no entries": crafted.vmdk(entries_per_table=0),
    "an unknown compression": crafted.vmdk(compression=2),
    "line ends changed by a transfer": crafted.vmdk(line_ends=0x0A0A200A),
    "a descriptor elsewhere": crafted.vmdk(descriptor_offset=2),
    "a descriptor of gigabytes": crafted.vmdk(descriptor_size=1 << 40),
    "a descriptor beyond the file": crafted.vmdk(descriptor_size=2047),
    "no descriptor": crafted.vmdk(descriptor_size=0),
    "a directory outside the file": crafted.vmdk(directory=1 << 40),
    "no directory": crafted.vmdk(directory=0),
    "a second directory outside the file": crafted.vmdk(redundant=1 << 40),
    "data outside the file": crafted.vmdk(overhead=1 << 40),
    "a footer with another capacity": crafted.vmdk(footer={"capacity": 4096}),
    "a footer with no capacity": crafted.vmdk(footer={"capacity": 0}),
    "a footer with another descriptor": crafted.vmdk(
        footer={"descriptor_offset": 3}
    ),
    "a footer that names another footer": crafted.vmdk(
        footer={"directory": (1 << 64) - 1}
    ),
    "a footer that qemu looks for elsewhere": crafted.vmdk(footer={}) + b"x",
    "no footer where one was promised": crafted.vmdk(directory=(1 << 64) - 1),
}

SPECIMENS = specimen.hostile(
    "vmdk",
    {name: ("unsafe_image", data) for name, data in HOSTILE.items()}
    | {name: ("image_malformed", data) for name, data in DAMAGED.items()}
    | {"petabytes": ("virtual_size_exceeded", crafted.vmdk(capacity=1 << 45))},
)
