# SPDX-License-Identifier: Apache-2.0
"""Images that name another file of this machine, in every way known."""

import pathlib
import struct

from tests.support import crafted
from tests.support import images
from tests.support.corpus import qcow2
from tests.support.corpus import specimen


def _backed(name: bytes) -> bytes:
    image = crafted.qcow2(backing_file_offset=512, backing_file_size=len(name))
    return image[:512] + name + image[512 + len(name) :]


def _inside(content: bytes, *words: str) -> specimen.Writer:
    """Give what has qemu-img put an image into the disk of another."""

    def write(path: pathlib.Path) -> None:
        disk = path.with_name("inner")
        disk.write_bytes(content)
        images.made(path, disk, *words)
        disk.unlink()

    return write


def _qcow2(canary: str) -> dict[str, specimen.Content]:
    name = canary.encode()
    external = crafted.extension(0x44415441, name)
    return {
        "a backing file": _backed(name),
        "a backing file by json": _backed(
            b'json:{"driver":"raw","file":{"driver":"file","filename":"%s"}}'
            % name
        ),
        "a backing file over the network": _backed(b"nbd://127.0.0.1:9/x"),
        "a data file": crafted.qcow2(incompatible=4, extensions=external),
        "the name of a data file": crafted.qcow2(extensions=external),
        "a bitmap and a data file": qcow2.bitmaps(1, 64)[:112]
        + external
        + crafted.qcow2()[112 + len(external) :],
    }


def _extents(canary: str) -> dict[str, str]:
    return {
        "a flat extent": f'RW 2048 FLAT "{canary}" 0',
        "a sparse extent": f'RW 2048 SPARSE "{canary}"',
        "an extent by json": 'RW 2048 FLAT "json:{\\"driver\\":\\"file\\",'
        f'\\"filename\\":\\"{canary}\\"}}" 0',
        "a device as an extent": f'RW 2048 VMFSRDM "{canary}"',
    }


def _vmdk(canary: str) -> dict[str, specimen.Content]:
    lines, hint = crafted.vmdk_lines, f'parentFileNameHint="{canary}"'
    text = crafted.DESCRIPTOR.encode()
    short = b"\n".join(
        line
        for line in text.splitlines()
        if line and not line.startswith((b"#", b"ddb"))
    )
    found: dict[str, specimen.Content] = {
        "a parent": crafted.vmdk(lines(hint)),
        "a parent in a comment": crafted.vmdk(lines(f"# {hint}")),
        "a parent in the database": crafted.vmdk(lines(f"ddb.{hint}")),
        "a parent behind a full descriptor": crafted.vmdk(
            short.ljust(512, b"\n") + hint.encode() + b"\n", descriptor_size=1
        ),
    }
    for name, line in _extents(canary).items():
        flat = lines(line, without="SPARSE").replace("Sparse", "Flat")
        found[f"{name} alone"] = flat.encode().ljust(1024, b"\0")
        found[f"{name} in no disk"] = crafted.vmdk(flat, capacity=0)
        found[f"{name} in a disk"] = crafted.vmdk(flat)
    return found


def _vhd(canary: str) -> dict[str, specimen.Content]:
    name = canary.encode("utf-16-le")
    locator = struct.pack(">4sIII", b"W2ku", 512, len(name), 0) + bytes(8)
    head = bytes(24) + canary.encode("utf-16-be").ljust(512, b"\0") + locator
    return {
        "a differencing disk": crafted.vhd(parent=head, disk_type=4),
        "a parent of a whole disk": crafted.vhd(parent=head),
    }


def specimens(canary: pathlib.Path) -> list[specimen.Specimen]:
    """Give images whose headers name ``canary``; all must be refused."""
    name = str(canary)
    found = {
        "qcow2": _qcow2(name),
        "vmdk": _vmdk(name),
        "vhd": _vhd(name),
    }
    return [
        specimen.Specimen(f"{kind}: {what}", kind, "unsafe_image", content)
        for kind, entries in found.items()
        for what, content in entries.items()
    ]


def nested(canary: pathlib.Path) -> list[specimen.Specimen]:
    """Give images the disks in which are such images themselves."""
    inner = _backed(str(canary).encode())
    flat = _vmdk(str(canary))["a flat extent alone"]
    assert isinstance(flat, bytes)
    return [
        specimen.Specimen(
            f"{' '.join(words)} of {what}",
            kind,
            "unsafe_image",
            _inside(content, *words),
        )
        for kind, words in (
            ("qcow2", ("-O", "qcow2")),
            ("qcow2", ("-O", "qcow2", "-c")),
            ("vmdk", ("-O", "vmdk")),
            ("vhdx", ("-O", "vhdx")),
        )
        for what, content in (("a qcow2", inner), ("a descriptor", flat))
    ]
