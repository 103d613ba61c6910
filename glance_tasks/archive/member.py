# SPDX-License-Identifier: Apache-2.0
"""The one disk image in an archive: where it lies and what is known of it."""

import dataclasses

from glance_tasks.archive import compression


@dataclasses.dataclass(frozen=True, slots=True)
class Member:
    """Packed bytes of an archive that unpack to the disk image.

    What the archive says of it is only compared, never trusted.

    :ivar archive: Glance's or the program's name of its kind
    :ivar start: where they begin in the archive
    :ivar length: how many there are
    :ivar codec: that they are packed with; None when they are the image
    :ivar size: bytes of the image
    :ivar crc32: of the image
    :ivar digest: algorithm, by its name in hashlib, and lower-case
        hexadecimal of the image
    """

    archive: str
    start: int
    length: int
    codec: compression.Codec | None = None
    size: int | None = None
    crc32: int | None = None
    digest: tuple[str, str] | None = None
