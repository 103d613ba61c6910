# SPDX-License-Identifier: Apache-2.0
from glance_tasks.imagefile import inspect
from tests.support import crafted


def test_the_size_is_the_one_that_is_told_and_not_that_of_the_cylinders(
    tmp_path,
):
    data = crafted.vhd(creator=0x77610000, geometry=0x00010101)
    (tmp_path / "image").write_bytes(data)

    found = inspect.inspect(tmp_path / "image", "vhd", 1 << 40)

    assert found.virtual_size == 1 << 20
