# SPDX-License-Identifier: Apache-2.0
import bz2
import gzip
import io
import lzma
import tarfile
import zipfile

import pytest

from glance_tasks import exceptions
from glance_tasks.imagefile import inspect
from tests.support import crafted


def tar():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("disk.ovf"))
    return buffer.getvalue()


def zipped():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("disk", "content")
    return buffer.getvalue()


def disk_then(end):
    return bytes(1 << 16) + end


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


@pytest.mark.parametrize("what", DISGUISED)
def test_a_disk_may_not_begin_or_end_like_another_format(tmp_path, what):
    data, name = DISGUISED[what]
    (tmp_path / "image").write_bytes(data)

    with pytest.raises(exceptions.UnsafeImage) as caught:
        inspect.inspect(tmp_path / "image", "raw", 1 << 40)

    assert caught.value.code == "format_mismatch"
    assert f"looks like {name};" in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        disk_then(b"koly".ljust(1024, b"\0")),
        disk_then(b"conectix".ljust(513, b"\0")),
        b"# a note\nversions of this file\n",
        b"BZ" + bytes(64),
        b"\x1f\x8b" + bytes(64),
    ],
)
def test_what_only_resembles_another_format_is_a_disk(tmp_path, data):
    (tmp_path / "image").write_bytes(data)

    found = inspect.inspect(tmp_path / "image", "raw", 1 << 40)

    assert found.virtual_size == len(data)
