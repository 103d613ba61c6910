# SPDX-License-Identifier: Apache-2.0
"""How much may come out of an archive."""

import dataclasses

from glance_tasks import exceptions

# zstd packs zeros 30,000 to 1 and xz 7,000 to 1: a blank disk of a few MiB
# is no bomb.
_FREE = 64 << 20


@dataclasses.dataclass(frozen=True, slots=True)
class Caps:
    """What unpacking one archive may use. Bytes.

    :ivar max_bytes: of the unpacked file
    :ivar max_ratio: unpacked bytes for each packed one, past 64 MiB
    :ivar memory: of a decompressor: the dictionary of xz, the window of zstd
    """

    max_bytes: int
    max_ratio: int
    memory: int

    def require(self, size: int, packed: int) -> None:
        """Refuse a file of more than may come out.

        The ratio is to the whole archive, not to what was read of it so far:
        an honest disk may begin with gigabytes of zeros.

        :param size: bytes of the unpacked file, or those that came so far
        :param packed: bytes it is packed in
        :raises ArchiveError: ``unpack_size_limit`` or ``unpack_ratio_limit``
        """
        if size > self.max_bytes:
            raise exceptions.ArchiveError(
                f"the archive of {packed} bytes unpacks to more than"
                f" {self.max_bytes} bytes; expected no more",
                code="unpack_size_limit",
            )
        if size > max(_FREE, packed * self.max_ratio):
            raise exceptions.ArchiveError(
                f"the archive of {packed} bytes unpacks to more than"
                f" {self.max_ratio} times that; expected no more",
                code="unpack_ratio_limit",
            )
