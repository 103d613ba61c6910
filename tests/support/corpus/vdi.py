# SPDX-License-Identifier: Apache-2.0
"""VDI images whose header and table lie."""

import struct

from tests.support import crafted
from tests.support.corpus import specimen

HOSTILE: dict[str, tuple[str, specimen.Content]] = {
    "a differencing disk": ("unsafe_image", crafted.vdi(image_type=4)),
    "a parent": ("unsafe_image", crafted.vdi(parent=1)),
    "a link": ("unsafe_image", crafted.vdi(link2=1)),
    "an unknown type": ("image_malformed", crafted.vdi(image_type=3)),
    "another version": ("image_malformed", crafted.vdi(version=1)),
    "sectors of 4096": ("image_malformed", crafted.vdi(sector=4096)),
    "blocks of 1 byte": ("image_malformed", crafted.vdi(block=1)),
    "bytes before each block": ("image_malformed", crafted.vdi(extra=512)),
    "too few blocks": ("image_malformed", crafted.vdi(blocks=3)),
    "more blocks than its disk has": (
        "image_malformed",
        crafted.vdi(blocks=5),
    ),
    "half a sector": ("image_malformed", crafted.vdi(size=(4 << 20) - 256)),
    "millions of blocks": (
        "image_malformed",
        crafted.vdi(blocks=(1 << 32) - 1),
    ),
    "a table outside the file": (
        "image_malformed",
        crafted.vdi(table=1 << 31, data=1 << 31),
    ),
    "a table in the header": ("image_malformed", crafted.vdi(table=0)),
    "a table in the data": ("image_malformed", crafted.vdi(data=512)),
    "blocks beyond the file": ("image_malformed", crafted.vdi(allocated=4)),
    "more blocks in use than there are": (
        "image_malformed",
        crafted.vdi(content=bytes(5 << 20), allocated=5),
    ),
    "a block that is not in use": (
        "image_malformed",
        crafted.vdi(struct.pack("<4I", 7, *[0xFFFFFFFF] * 3)),
    ),
    "a disk of petabytes": (
        "virtual_size_exceeded",
        crafted.vdi(size=1 << 50),
    ),
    "no disk": ("image_malformed", crafted.vdi(size=0)),
}

SPECIMENS = specimen.hostile("vdi", HOSTILE)
