# SPDX-License-Identifier: Apache-2.0
"""Decides, before any other program sees it, what an image file is.

Two readers look at every file, oslo.utils' inspectors and checks of our own
for what those let through. What either recognises must be what was declared,
and nothing else besides.
"""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import pathlib

from glance_tasks.imagefile import detection
from glance_tasks.imagefile import formats
from glance_tasks.imagefile import qcow2
from glance_tasks.imagefile import reader
from glance_tasks.imagefile import refusal
from glance_tasks.imagefile import signatures
from glance_tasks.imagefile import vdi
from glance_tasks.imagefile import vhd
from glance_tasks.imagefile import vhdx
from glance_tasks.imagefile import vmdk

_CHECKS: Mapping[str, Callable[[reader.Reader, int], int]] = {
    "qcow2": qcow2.check,
    "vdi": vdi.check,
    "vhd": vhd.check,
    "vhdx": vhdx.check,
    "vmdk": vmdk.check,
}

#: What bare bytes may look like: a disk has partitions, and every installer
#: made for USB sticks is an ISO with a partition table.
_LOOKS_OF_A_DISK = frozenset({"gpt", "iso"})


@dataclasses.dataclass(frozen=True, slots=True)
class Inspection:
    """What an image was found to be.

    :ivar format: Glance's name
    :ivar virtual_size: bytes of the disk inside
    """

    format: str
    virtual_size: int


def inspect(
    path: pathlib.Path, declared: str, max_virtual_size: int
) -> Inspection:
    """Look at the image at ``path`` without running anything on it.

    :param declared: the format it should have, Glance's name or qemu's
    :param max_virtual_size: bytes the disk inside may have
    :raises UnsafeImage: ``format_mismatch``, ``image_malformed``,
        ``unsafe_image`` or ``virtual_size_exceeded``
    :raises OSError: when the file cannot be read
    """
    wanted = formats.canonical(declared)
    if wanted not in formats.DRIVERS:
        raise refusal.mismatch(
            f"the image was declared {declared[:40]!r}; expected one of"
            f" {', '.join(sorted(formats.DRIVERS))}"
        )
    with reader.opened(path) as image:
        opinions = detection.ask(image)
        found = signatures.find(image) | opinions.keys()
        _require_only(wanted, found, fixed=image.head(8) != b"conectix")
        if wanted in formats.PLAIN:
            size = image.size
            refusal.require_size(wanted, size, max_virtual_size)
        else:
            size = _CHECKS[wanted](image, max_virtual_size)
            if wanted in opinions:
                opinions[wanted].require_safe()
    return Inspection(wanted, size)


def recognised(path: pathlib.Path) -> str:
    """Give the format that a file looks like, raw when like none.

    For an operator who did not say; what an owner declares is held to.

    :returns: Glance's name, to be given to :func:`inspect`
    :raises OSError: when the file cannot be read
    """
    with reader.opened(path) as image:
        found = signatures.find(image) | detection.ask(image).keys()
    likely = sorted(found & set(_CHECKS))
    return likely[0] if likely else "raw"


def _require_only(wanted: str, found: set[str], *, fixed: bool) -> None:
    """Refuse what is not ``wanted``, or is something else as well.

    :param fixed: of a VHD, whether the file begins with its disk
    """
    if wanted in formats.PLAIN:
        _require_plain(wanted, found)
        return
    if wanted not in found:
        raise refusal.mismatch(
            f"the image was declared {wanted} and looks like"
            f" {_named(found) or 'raw'}; expected {wanted}"
        )
    others = found - {wanted}
    if wanted == "vhd" and fixed:
        others -= _LOOKS_OF_A_DISK
    if others:
        raise refusal.unsafe(
            f"the image is {wanted} and looks like {_named(others)} as well;"
            " expected one format"
        )


def _require_plain(wanted: str, found: set[str]) -> None:
    others = found - _LOOKS_OF_A_DISK
    if wanted in ("aki", "ari"):
        others -= signatures.COMPRESSED
    if wanted == "iso" and "iso" not in found:
        raise refusal.mismatch(
            f"the image was declared iso and looks like"
            f" {_named(found - {'gpt'}) or 'raw'}; expected iso"
        )
    if others and wanted == "iso":
        raise refusal.unsafe(
            f"the image is iso and looks like {_named(others)} as well;"
            " expected one format"
        )
    if others:
        raise refusal.mismatch(
            f"the image was declared {wanted} and looks like"
            f" {_named(others)}; expected bytes of a plain disk"
        )


def _named(found: set[str]) -> str:
    return " and ".join(sorted(found))
