# SPDX-License-Identifier: Apache-2.0
"""The descriptor of an OVA: which of its files is the disk.

It is read by expat alone. A document type is refused where it begins, so no
entity is ever declared, expanded or fetched; what is left needs memory in
proportion to the text, and that is bounded. (defusedxml does the same around
expat; its last release is of 2021.)
"""

from collections.abc import Mapping
import dataclasses
from typing import NoReturn
from xml.parsers import expat

from glance_tasks.archive import refusal

_OVF = ("http://schemas.dmtf.org/ovf/envelope/",)
_PLAIN = (None, "", "identity")


@dataclasses.dataclass(frozen=True, slots=True)
class File:
    """A file that a descriptor names.

    :ivar href: its name in the archive, as it is written
    :ivar size: in bytes, where it is told
    """

    href: str
    size: int | None


def disk_file(text: bytes) -> File:
    """Give the file of the one disk that a descriptor tells of.

    :raises ArchiveError: when it is no such descriptor, or of several disks
    """
    found = _Found()
    found.read(text)
    if len(found.disks) != 1:
        raise refusal.unfit(
            f"the ova archive's descriptor tells of {len(found.disks)} disks;"
            " expected one"
        )
    named = [f for f in found.files if f.get("id") == found.disks[0]]
    if found.disks[0] is None or len(named) != 1:
        raise refusal.malformed(
            f"the ova archive's descriptor names {len(named)} files for its"
            " disk; expected one"
        )
    return _plain(named[0])


def _plain(attributes: Mapping[str, str]) -> File:
    if attributes.get("compression") not in _PLAIN or (
        "chunkSize" in attributes
    ):
        raise refusal.unfit(
            "the ova archive's disk is compressed or in several pieces;"
            " expected it plain, in one file"
        )
    size = attributes.get("size", "").strip()
    if size and not (size.isascii() and size.isdigit() and len(size) < 20):
        raise refusal.malformed(
            f"the ova archive's descriptor gives its disk the size"
            f" {size[:40]!r}; expected a number of bytes"
        )
    return File(attributes.get("href", ""), int(size) if size else None)


class _Found:
    """What is picked out of a descriptor while expat reads it.

    :ivar files: the attributes of each file
    :ivar disks: the id of the file of each disk
    """

    def __init__(self) -> None:
        self.files: list[dict[str, str]] = []
        self.disks: list[str | None] = []

    def read(self, text: bytes) -> None:
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.StartDoctypeDeclHandler = _refuse_doctype
        parser.StartElementHandler = self._begin
        try:
            parser.Parse(text, True)
        except expat.ExpatError as error:
            raise refusal.malformed(
                "the ova archive's descriptor is not XML at line"
                f" {error.lineno}; expected an OVF envelope"
            ) from error

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        space, _, word = name.rpartition(" ")
        if not space.startswith(_OVF):
            return
        own = {
            key.removeprefix(f"{space} "): value
            for key, value in attributes.items()
        }
        if word == "File":
            self.files.append(own)
        elif word == "Disk":
            self.disks.append(own.get("fileRef"))


def _refuse_doctype(*_: object) -> NoReturn:
    raise refusal.unfit(
        "the ova archive's descriptor declares a document type; expected"
        " none, for it could hold entities"
    )
