# SPDX-License-Identifier: Apache-2.0
"""QCOW2: the header may not lie, nor name anything outside the file.

Fields and limits are those of qemu's docs/interop/qcow2.txt and block/qcow2.c.
"""

import struct

from glance_tasks.imagefile import qcow2_header
from glance_tasks.imagefile import qcow2_tables
from glance_tasks.imagefile import reader
from glance_tasks.imagefile import refusal

_CORRUPT = 1 << 1
_DATA_FILE = 1 << 2
_COMPRESSION_TYPE = 1 << 3
_KNOWN_FEATURES = 0b1111
_LAZY_REFCOUNTS = 1 << 0
_BITMAPS = 1 << 0

_ENCRYPTION_HEADER = 0x0537BE77
_DATA_FILE_NAME = 0x44415441
_BITMAPS_HEADER = 0x23852875


def check(image: reader.Reader, limit: int) -> int:
    """Give the virtual size in bytes.

    :param limit: of the virtual size
    :raises UnsafeImage: for whatever is wrong with it
    """
    header = qcow2_header.Header.read(image)
    _require_alone(header)
    _require_geometry(image, header)
    refusal.require_size("qcow2", header.size, limit)
    refusal.require_sectors("qcow2", header.size)
    _require_extensions(image, header)
    qcow2_tables.check(image, header)
    return header.size


def _require_alone(header: qcow2_header.Header) -> None:
    if header.backing_file_offset or header.backing_file_size:
        raise refusal.unsafe(
            "the qcow2 image names a backing file; expected an image complete"
            " in itself"
        )
    if header.incompatible & _DATA_FILE:
        raise refusal.unsafe(
            "the qcow2 image keeps its data in another file; expected an"
            " image complete in itself"
        )
    if header.crypt_method:
        raise _encrypted()
    unknown = header.incompatible & ~_KNOWN_FEATURES
    unknown |= header.compatible & ~_LAZY_REFCOUNTS
    # The second autoclear feature is a data file's.
    unknown |= header.autoclear & ~_BITMAPS
    if unknown:
        raise refusal.unsafe(
            f"the qcow2 image needs features unknown here (bits {unknown:#x});"
            " expected none besides compression type, lazy refcounts and"
            " bitmaps"
        )
    if header.incompatible & _CORRUPT:
        raise refusal.malformed(
            "the qcow2 image is marked corrupt; expected one that"
            " qemu-img check finds good"
        )


def _encrypted() -> Exception:
    return refusal.unsafe(
        "the qcow2 image is encrypted; expected one that can be read without"
        " a key"
    )


def _require_geometry(
    image: reader.Reader, header: qcow2_header.Header
) -> None:
    if not 9 <= header.cluster_bits <= 21:
        raise refusal.malformed(
            f"the qcow2 image has {header.cluster_bits} cluster bits;"
            " expected 9 to 21"
        )
    least = qcow2_header.LENGTHS[header.version]
    if not least <= header.header_length <= header.cluster:
        raise refusal.malformed(
            f"the qcow2 image has a header of {header.header_length} bytes;"
            f" expected {least} to {header.cluster}, one cluster"
        )
    if header.refcount_order > 6:
        raise refusal.malformed(
            f"the qcow2 image has a refcount order of {header.refcount_order};"
            " expected at most 6"
        )
    if header.incompatible & _COMPRESSION_TYPE:
        _require_compression(image, header)


def _require_compression(
    image: reader.Reader, header: qcow2_header.Header
) -> None:
    kind = image.at(104, 1, "qcow2 compression type")[0]
    if header.header_length < 105 or kind > 1:
        raise refusal.malformed(
            f"the qcow2 image is compressed by method {kind}; expected 0"
            " (zlib) or 1 (zstd), told in its header"
        )


def _require_extensions(
    image: reader.Reader, header: qcow2_header.Header
) -> None:
    place = header.header_length
    while place + 8 <= min(header.cluster, image.size):
        kind, length = struct.unpack(
            ">II", image.at(place, 8, "qcow2 header extension")
        )
        if kind == 0:
            return
        if kind == _ENCRYPTION_HEADER:
            raise _encrypted()
        if kind == _DATA_FILE_NAME:
            raise refusal.unsafe(
                "the qcow2 image names a data file; expected an image"
                " complete in itself"
            )
        if kind == _BITMAPS_HEADER:
            qcow2_tables.require_bitmaps(image, header, place + 8)
        place += 8 + (length + 7) // 8 * 8
        if place > header.cluster:
            raise refusal.malformed(
                f"the qcow2 image has a header extension of {length} bytes;"
                " expected its extensions to end within the first cluster"
            )
