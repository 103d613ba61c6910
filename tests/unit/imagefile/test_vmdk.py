# SPDX-License-Identifier: Apache-2.0
import pytest

from glance_tasks import exceptions
from glance_tasks.imagefile import inspect
from tests.support import crafted

lines = crafted.vmdk_lines


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


def shortened(fewer, behind=None):
    """Give a descriptor whose CID is shorter than the one it replaced."""
    text = crafted.DESCRIPTOR.encode()
    stale = text[len(text) - fewer + 1 :] if behind is None else behind
    return text + b"\0" + stale


@pytest.mark.parametrize("fewer", [1, 2, 3, 7])
def test_what_is_left_of_a_longer_cid_is_no_other_text(tmp_path, fewer):
    # qemu-img 7.2 makes one image of 250 like this.
    (tmp_path / "image").write_bytes(crafted.vmdk(shortened(fewer)))

    found = inspect.inspect(tmp_path / "image", "vmdk", 1 << 40)

    assert found.virtual_size == 1 << 20


@pytest.mark.parametrize("behind", [b"x", b"\0\n", b"n\n\n", None])
def test_anything_else_behind_the_text_is_refused(tmp_path, behind):
    descriptor = shortened(9, behind)
    (tmp_path / "image").write_bytes(crafted.vmdk(descriptor))

    with pytest.raises(exceptions.UnsafeImage, match="not plain text"):
        inspect.inspect(tmp_path / "image", "vmdk", 1 << 40)
