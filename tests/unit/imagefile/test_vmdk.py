# SPDX-License-Identifier: Apache-2.0
import pytest

from glance_tasks import exceptions
from glance_tasks.imagefile import inspect
from tests.support import crafted

lines = crafted.vmdk_lines


def extent(line):
    return crafted.vmdk(lines(line, without="SPARSE"))


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
    "no footer where one was promised": crafted.vmdk(directory=(1 << 64) - 1),
}


def refused(tmp_path, data, limit=1 << 40):
    (tmp_path / "image").write_bytes(data)
    with pytest.raises(exceptions.UnsafeImage) as caught:
        inspect.inspect(tmp_path / "image", "vmdk", limit)
    return caught.value.code


@pytest.mark.parametrize("what", HOSTILE)
def test_a_vmdk_that_reaches_outside_itself_is_refused(tmp_path, what):
    assert refused(tmp_path, HOSTILE[what]) == "unsafe_image"


@pytest.mark.parametrize("what", DAMAGED)
def test_a_vmdk_whose_headers_lie_is_refused(tmp_path, what):
    assert refused(tmp_path, DAMAGED[what]) == "image_malformed"


def test_a_vmdk_of_petabytes_is_refused(tmp_path):
    code = refused(tmp_path, crafted.vmdk(capacity=1 << 45))

    assert code == "virtual_size_exceeded"


@pytest.mark.parametrize(
    "descriptor",
    [
        crafted.DESCRIPTOR.replace("\n", "\r\n"),
        lines('encoding="UTF-8"', 'isNativeSnapshot="no"'),
        lines("parentCID=FFFFFFFF", without="parentCID"),
        lines(
            'ddb.uuid.image="7a1f0c52-0a3e-4a11-8a77-0d0c8e2b7a11"',
            'ddb.longContentID = "0123456789abcdef0123456789abcdef"',
            'ddb.toolsVersion = "2147483647"',
            without="ddb.",
        ),
        lines('RDONLY 2048 SPARSE "web server (copy).vmdk"', without="SPARSE"),
    ],
)
def test_a_descriptor_as_other_programs_write_it_is_accepted(
    tmp_path, descriptor
):
    (tmp_path / "image").write_bytes(crafted.vmdk(descriptor))

    found = inspect.inspect(tmp_path / "image", "vmdk", 1 << 40)

    assert found.virtual_size == 1 << 20
