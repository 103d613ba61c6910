# SPDX-License-Identifier: Apache-2.0
"""The archives that are unpacked, and what they are recognised by."""

from collections.abc import Callable
from collections.abc import Mapping
import functools

from glance_tasks.archive import compression
from glance_tasks.archive import member as members
from glance_tasks.archive import ova
from glance_tasks.archive import zip as zips
from glance_tasks.imagefile import reader


def _whole(codec: compression.Codec, archive: reader.Reader) -> members.Member:
    """Give all of a file: such an archive holds one thing without a name."""
    return members.Member(codec.name, 0, archive.size, codec=codec)


#: How the disk image is found in each kind of archive.
FINDERS: Mapping[str, Callable[[reader.Reader], members.Member]] = {
    "gzip": functools.partial(_whole, compression.GZIP),
    "xz": functools.partial(_whole, compression.XZ),
    "zstd": functools.partial(_whole, compression.ZSTD),
    "zip": zips.find,
    "ova": ova.find,
}

# An OVA is a tar; any other tar has no descriptor to be read by.
_BY_SIGNATURE = {name: name for name in FINDERS if name != "ova"}
_BY_SIGNATURE["tar"] = "ova"


def among(signatures: set[str]) -> set[str]:
    """Name the kinds among what a file begins or ends like.

    :param signatures: as :func:`glance_tasks.imagefile.signatures.find`
        gives them
    """
    return {_BY_SIGNATURE[s] for s in signatures & _BY_SIGNATURE.keys()}


def beside(signatures: set[str]) -> set[str]:
    """Name what else a file looks like."""
    return signatures - _BY_SIGNATURE.keys()
