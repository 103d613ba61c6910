# SPDX-License-Identifier: Apache-2.0
import uuid

from glance_tasks.imagefile import inspect
from glance_tasks.imagefile import vhdx
from tests.support import crafted
from tests.support import metering


def test_the_checksum_is_castagnolis():
    assert vhdx.crc32c(b"123456789") == 0xE3069283


def test_unknown_metadata_is_not_read(tmp_path):
    length = (1 << 20) - (64 << 10)
    unknown = tuple(
        (str(uuid.UUID(int=number)), 64 << 10, bytes(length))
        for number in range(1, 100)
    )
    data = crafted.vhdx(items=(*unknown, *crafted.ITEMS))
    (tmp_path / "image").write_bytes(data)

    with metering.metered() as cost:
        inspect.inspect(tmp_path / "image", "vhdx", 1 << 44)

    assert cost.memory < 16 << 20
