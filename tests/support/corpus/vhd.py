# SPDX-License-Identifier: Apache-2.0
"""VHD images whose footers and tables lie."""

from tests.support import crafted
from tests.support.corpus import specimen

LOCATOR = bytes(16) + bytes(520) + b"W2ku" + bytes(20)

HOSTILE: dict[str, tuple[str, specimen.Content]] = {
    "a differencing disk": ("unsafe_image", crafted.vhd(disk_type=4)),
    "a differencing disk without data": (
        "unsafe_image",
        crafted.vhd_fixed(disk_type=4),
    ),
    "a parent's identity": ("unsafe_image", crafted.vhd(parent=b"\x01" * 16)),
    "a parent's place": ("unsafe_image", crafted.vhd(parent=LOCATOR)),
    "an unknown type": ("image_malformed", crafted.vhd(disk_type=7)),
    "a wrong checksum": ("image_malformed", crafted.vhd_fixed(checksum=1)),
    "half a sector": (
        "image_malformed",
        crafted.vhd_fixed(current_size=(1 << 20) - 256),
    ),
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
    "a footer that qemu looks for elsewhere": (
        "image_malformed",
        bytes(100) + crafted.vhd_fixed(),
    ),
    "a disk of petabytes": (
        "virtual_size_exceeded",
        crafted.vhd(current_size=1 << 50),
    ),
    "no disk": ("image_malformed", crafted.vhd(current_size=0)),
}

SPECIMENS = specimen.hostile("vhd", HOSTILE)
