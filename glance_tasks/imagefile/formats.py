# SPDX-License-Identifier: Apache-2.0
"""The disk formats by Glance's names, and what qemu calls them."""

from collections.abc import Mapping

#: What may be inspected, and the qemu driver that reads it. The parts of an
#: Amazon image are plain bytes, and so is an ISO.
DRIVERS: Mapping[str, str] = {
    "raw": "raw",
    "ami": "raw",
    "ari": "raw",
    "aki": "raw",
    "iso": "raw",
    "qcow2": "qcow2",
    "vmdk": "vmdk",
    "vhd": "vpc",
    "vhdx": "vhdx",
    "vdi": "vdi",
}

#: What can be written, and the options it is written with.
#: vmdk: the one subformat that is a single file on every VMware product.
#: vhd: without force_size qemu rounds the disk up to whole cylinders.
TARGETS: Mapping[str, str] = {
    "raw": "",
    "qcow2": "compat=1.1",
    "vmdk": "subformat=streamOptimized",
    "vhd": "subformat=dynamic,force_size=on",
    "vhdx": "subformat=dynamic",
    "vdi": "",
}

#: Formats that are their disk, byte for byte.
PLAIN = frozenset(name for name, driver in DRIVERS.items() if driver == "raw")


def canonical(disk_format: str) -> str:
    """Give Glance's name of a format; qemu's ``vpc`` is ``vhd``."""
    name = disk_format.strip().lower()
    return "vhd" if name == "vpc" else name
