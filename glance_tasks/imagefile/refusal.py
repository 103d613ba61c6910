# SPDX-License-Identifier: Apache-2.0
"""The four ways to refuse an image, each with its failure code."""

from glance_tasks import exceptions


def mismatch(text: str) -> exceptions.UnsafeImage:
    """Make the error of an image that is not what it was declared to be."""
    return exceptions.UnsafeImage(text, code="format_mismatch")


def malformed(text: str) -> exceptions.UnsafeImage:
    """Make the error of an image whose headers cannot be true."""
    return exceptions.UnsafeImage(text, code="image_malformed")


def unsafe(text: str) -> exceptions.UnsafeImage:
    """Make the error of an image that reaches or hides something else."""
    return exceptions.UnsafeImage(text, code="unsafe_image")


def require_size(disk_format: str, virtual_size: int, limit: int) -> None:
    """Refuse a disk of more than ``limit`` bytes, or of none.

    :raises UnsafeImage: ``virtual_size_exceeded``, or ``image_malformed``
    """
    if virtual_size > limit:
        raise exceptions.UnsafeImage(
            f"the disk in the {disk_format} image has {virtual_size} bytes;"
            f" expected at most {limit}",
            code="virtual_size_exceeded",
        )
    if virtual_size <= 0:
        raise malformed(
            f"the {disk_format} image holds a disk of {virtual_size} bytes;"
            " expected at least one"
        )


def require_sectors(disk_format: str, virtual_size: int) -> None:
    """Refuse a disk that ends within a sector of 512 bytes.

    qemu 7.2 makes it longer in a VDI, shorter in a QCOW2 or a VHD, so the
    disk would have another size than was told here.

    :raises UnsafeImage: ``image_malformed``
    """
    if virtual_size % 512:
        raise malformed(
            f"the disk in the {disk_format} image has {virtual_size} bytes;"
            " expected whole sectors of 512"
        )
