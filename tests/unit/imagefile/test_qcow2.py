# SPDX-License-Identifier: Apache-2.0
import struct

import pytest

from glance_tasks import exceptions
from glance_tasks.imagefile import inspect
from tests.support import crafted

DATA_FILE = crafted.extension(0x44415441, b"/etc/passwd")
ENCRYPTION = crafted.extension(0x0537BE77, bytes(16))


def snapshots(count, **changes):
    """Give an image whose fourth cluster is a snapshot table."""
    entry = crafted.packed(
        ">",
        """
        l1_offset Q 0x20000
        l1_size   I 2
        id_size   H 1
        name_size H 1
        seconds   I 0
        parts     I 0
        clock     Q 0
        vm_state  I 0
        extra     I 16
        """,
        changes,
    )
    entry += bytes(16) + b"1a"
    table = entry.ljust(-(-len(entry) // 8) * 8, b"\0") * min(count, 100)
    image = crafted.qcow2(nb_snapshots=count, snapshots_offset=0x30000)
    return image[:0x30000] + table.ljust(crafted.CLUSTER, b"\0")


HOSTILE = {
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
    "a snapshot's name beyond the file": (
        "image_malformed",
        snapshots(2, extra=1 << 30),
    ),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_qcow2_is_refused(tmp_path, what):
    code, data = HOSTILE[what]
    (tmp_path / "image").write_bytes(data)

    with pytest.raises(exceptions.UnsafeImage) as caught:
        inspect.inspect(tmp_path / "image", "qcow2", 1 << 44)

    assert caught.value.code == code


@pytest.mark.parametrize(
    "data",
    [
        snapshots(2),
        crafted.qcow2(incompatible=1),
        crafted.qcow2(incompatible=8, compression_type=1),
        crafted.qcow2(l1=struct.pack(">Q", 1 << 63 | 0x30000)),
        crafted.qcow2(extensions=crafted.extension(0x6803F857, bytes(48))),
    ],
)
def test_an_unusual_but_whole_qcow2_is_accepted(tmp_path, data):
    (tmp_path / "image").write_bytes(data)

    found = inspect.inspect(tmp_path / "image", "qcow2", 1 << 40)

    assert found.virtual_size == 1 << 30


def test_the_owner_reads_what_was_found_and_what_is_right(tmp_path):
    (tmp_path / "image").write_bytes(crafted.qcow2(backing_file_offset=512))

    with pytest.raises(exceptions.UnsafeImage) as caught:
        inspect.inspect(tmp_path / "image", "qcow2", 1 << 40)

    assert str(caught.value) == (
        "the qcow2 image names a backing file; expected an image complete in"
        " itself"
    )
