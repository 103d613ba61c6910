# SPDX-License-Identifier: Apache-2.0
"""The header of a QCOW2, as the specification names its fields."""

import dataclasses
import struct
from typing import Self

from glance_tasks.imagefile import reader
from glance_tasks.imagefile import refusal

_FIRST = struct.Struct(">4sIQIIQIIQQIIQ")
_MORE = struct.Struct(">QQQII")

#: Bytes of the header of version 2, and the least of version 3.
LENGTHS = {2: _FIRST.size, 3: _FIRST.size + _MORE.size}


@dataclasses.dataclass(frozen=True, slots=True)
class Header:
    """The header's fields, by the names of the specification."""

    magic: bytes
    version: int
    backing_file_offset: int
    backing_file_size: int
    cluster_bits: int
    size: int
    crypt_method: int
    l1_size: int
    l1_table_offset: int
    refcount_table_offset: int
    refcount_table_clusters: int
    nb_snapshots: int
    snapshots_offset: int
    incompatible: int = 0
    compatible: int = 0
    autoclear: int = 0
    refcount_order: int = 4
    header_length: int = _FIRST.size

    @classmethod
    def read(cls, image: reader.Reader) -> Self:
        """Read it.

        :raises UnsafeImage: when it is cut short or of another version
        """
        head = image.at(0, _FIRST.size, "qcow2 header")
        fields = _FIRST.unpack(head)
        version = fields[1]
        if version == 1:
            raise refusal.mismatch(
                "the image is qcow of version 1; expected qcow2, which is"
                " version 2 or 3"
            )
        if version not in (2, 3):
            raise refusal.malformed(
                f"the qcow2 image has version {version}; expected 2 or 3"
            )
        if version == 3:
            more = image.at(_FIRST.size, _MORE.size, "qcow2 header")
            fields += _MORE.unpack(more)
        return cls(*fields)

    @property
    def cluster(self) -> int:
        """Bytes of one cluster."""
        return 1 << self.cluster_bits
