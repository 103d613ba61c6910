# SPDX-License-Identifier: Apache-2.0
"""Tar archives: plain files under plain names, nothing else."""

import dataclasses
import tarfile

from glance_tasks.archive import rationed
from glance_tasks.archive import refusal
from glance_tasks.imagefile import reader

_MAX_ENTRIES = 256


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """A file in a tar.

    :ivar start: of its bytes in the archive
    :ivar size: in bytes
    """

    start: int
    size: int


def entries(archive: reader.Reader) -> dict[str, Entry]:
    """Give every file in it, by its name.

    :raises ArchiveError: when anything in it is no plain file, is repeated,
        or has a name that is a path
    """
    found: dict[str, Entry] = {}
    with rationed.explained("ova", tarfile.TarError):
        listed = tarfile.TarFile(
            fileobj=rationed.RationedFile(archive), errorlevel=2
        )
        for entry in listed:
            name = entry.name.removeprefix("./")
            _require_plain(entry, name)
            if name in found:
                raise refusal.unfit(
                    f"the ova archive holds {name[:80]!r} twice; expected"
                    " each file once"
                )
            if len(found) == _MAX_ENTRIES:
                raise refusal.unfit(
                    f"the ova archive holds more than {_MAX_ENTRIES} files;"
                    " expected a descriptor and a disk"
                )
            _require_inside(archive, entry, name)
            found[name] = Entry(entry.offset_data, entry.size)
    return found


def _require_plain(entry: tarfile.TarInfo, name: str) -> None:
    # Names are only ever compared; one that is a path was made for those who
    # write to it.
    if not name or name in (".", "..") or {"/", "\\", "\0"} & set(name):
        raise refusal.unfit(
            f"the ova archive holds the path {entry.name[:80]!r}; expected"
            " names of files without directories"
        )
    if not entry.isreg() or entry.issparse():
        raise refusal.unfit(
            f"the ova archive's entry {name[:80]!r} is a link, a device, a"
            " directory or a sparse file; expected a plain one"
        )


def _require_inside(
    archive: reader.Reader, entry: tarfile.TarInfo, name: str
) -> None:
    if entry.size < 0 or entry.offset_data + entry.size > archive.size:
        raise refusal.malformed(
            f"the ova archive of {archive.size} bytes says that"
            f" {name[:80]!r} has {entry.size} bytes at {entry.offset_data};"
            " expected them in it"
        )
