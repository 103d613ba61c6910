# SPDX-License-Identifier: Apache-2.0
from glance_tasks.imagefile import vhdx


def test_the_checksum_is_castagnolis():
    assert vhdx.crc32c(b"123456789") == 0xE3069283
