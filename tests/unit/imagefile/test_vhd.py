# SPDX-License-Identifier: Apache-2.0
import pytest

from glance_tasks import exceptions
from glance_tasks.imagefile import inspect
from tests.support import crafted

LOCATOR = bytes(16) + bytes(520) + b"W2ku" + bytes(20)

HOSTILE = {
    "a differencing disk": ("unsafe_image", crafted.vhd(disk_type=4)),
    "a differencing disk without data": (
        "unsafe_image",
        crafted.vhd_fixed(disk_type=4),
    ),
    "half a sector": (
        "image_malformed",
        crafted.vhd_fixed(current_size=(1 << 20) - 256),
    ),
    "a parent's identity": ("unsafe_image", crafted.vhd(parent=b"\x01" * 16)),
    "a parent's place": ("unsafe_image", crafted.vhd(parent=LOCATOR)),
    "an unknown type": ("image_malformed", crafted.vhd(disk_type=7)),
    "a wrong checksum": ("image_malformed", crafted.vhd_fixed(checksum=1)),
    "a fixed disk larger than the file": (
        "image_malformed",
        crafted.vhd_fixed(current_size=2 << 20),
    ),
    "a fixed disk that begins like a dynamic one": (
        "image_malformed",
        crafted.vhd_fixed(crafted.vhd_footer()),
    ),
    "no footer at the end": ("image_malformed", crafted.vhd() + bytes(512)),
    "another footer at the end": (
        "image_malformed",
        crafted.vhd()[:-512]
        + crafted.vhd_footer(disk_type=3, data_offset=512, features=3),
    ),
    "a dynamic header outside the file": (
        "image_malformed",
        crafted.vhd(data_offset=1 << 40),
    ),
    "a dynamic header that is none": (
        "image_malformed",
        crafted.vhd(header={"cookie": 1}),
    ),
    "blocks of 3 bytes": ("image_malformed", crafted.vhd(header={"block": 3})),
    "blocks of no bytes": (
        "image_malformed",
        crafted.vhd(header={"block": 0}),
    ),
    "blocks of 1 GiB": (
        "image_malformed",
        crafted.vhd(header={"block": 1 << 30}),
    ),
    "too few blocks": ("image_malformed", crafted.vhd(header={"entries": 0})),
    "millions of blocks": (
        "image_malformed",
        crafted.vhd(header={"entries": (1 << 32) - 1}),
    ),
    "a table outside the file": (
        "image_malformed",
        crafted.vhd(header={"table": 1 << 40}),
    ),
    "a table in the footer": (
        "image_malformed",
        crafted.vhd(header={"table": 0}),
    ),
    "a disk of petabytes": (
        "virtual_size_exceeded",
        crafted.vhd(current_size=1 << 50),
    ),
    "no disk": ("image_malformed", crafted.vhd(current_size=0)),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_vhd_is_refused(tmp_path, what):
    code, data = HOSTILE[what]
    (tmp_path / "image").write_bytes(data)

    with pytest.raises(exceptions.UnsafeImage) as caught:
        inspect.inspect(tmp_path / "image", "vhd", 1 << 44)

    assert caught.value.code == code


def test_the_size_is_the_one_that_is_told_and_not_that_of_the_cylinders(
    tmp_path,
):
    data = crafted.vhd(creator=0x77610000, geometry=0x00010101)
    (tmp_path / "image").write_bytes(data)

    found = inspect.inspect(tmp_path / "image", "vhd", 1 << 40)

    assert found.virtual_size == 1 << 20
