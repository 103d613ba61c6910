# SPDX-License-Identifier: Apache-2.0
import struct

import pytest

from glance_tasks import exceptions
from glance_tasks.imagefile import inspect
from tests.support import crafted
from tests.support.corpus import qcow2 as corpus


@pytest.mark.parametrize(
    "data",
    [
        corpus.snapshots(2),
        corpus.bitmaps(1, 64),
        crafted.qcow2(incompatible=1, compatible=1),
        crafted.qcow2(refcounts=struct.pack(">Q", 0x30000)),
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
