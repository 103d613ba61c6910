# SPDX-License-Identifier: Apache-2.0
"""OVAs: a tar with a descriptor, the disk it names, and digests of both."""

from collections.abc import Mapping
from urllib import parse

from glance_tasks.archive import descriptor
from glance_tasks.archive import manifest
from glance_tasks.archive import member as members
from glance_tasks.archive import refusal
from glance_tasks.archive import tar
from glance_tasks.imagefile import reader

_MAX_TEXT = 1 << 20

_Entries = Mapping[str, tar.Entry]


def find(archive: reader.Reader) -> members.Member:
    """Find the disk that the descriptor names.

    Whatever else is in there is left alone.

    :raises ArchiveError: when there is not exactly one, or anything in the
        archive is not as it should be
    """
    entries = tar.entries(archive)
    name = _only(entries, ".ovf", required=True)
    text = _text(archive, entries, name)
    digests = _digests(archive, entries)
    if digests is not None:
        manifest.require(digests, name, text)
    disk = descriptor.disk_file(text)
    # It is a URI there: a space is %20.
    name = parse.unquote(disk.href)
    entry = entries.get(name)
    if entry is None:
        raise refusal.unfit(
            f"the ova archive's descriptor has its disk in {name[:80]!r},"
            " which is not in the archive; expected the name of a file beside"
            " it"
        )
    if disk.size not in (None, entry.size):
        raise refusal.malformed(
            f"the ova archive's disk has {entry.size} bytes; expected the"
            f" {disk.size} of its descriptor"
        )
    told = None if digests is None else manifest.expected(digests, name)
    return members.Member(
        "ova", entry.start, entry.size, size=entry.size, digest=told
    )


def _only(entries: _Entries, suffix: str, *, required: bool) -> str:
    """Give the one name with that ending; empty when there is none."""
    named = [name for name in entries if name.lower().endswith(suffix)]
    if len(named) > 1 or (required and not named):
        raise refusal.unfit(
            f"the ova archive holds {len(named)} files named *{suffix};"
            " expected one"
        )
    return named[0] if named else ""


def _digests(
    archive: reader.Reader, entries: _Entries
) -> manifest.Digests | None:
    name = _only(entries, ".mf", required=False)
    return manifest.parse(_text(archive, entries, name)) if name else None


def _text(archive: reader.Reader, entries: _Entries, name: str) -> bytes:
    entry = entries[name]
    if entry.size > _MAX_TEXT:
        raise refusal.unfit(
            f"the ova archive's {name[:80]!r} has {entry.size} bytes;"
            f" expected at most {_MAX_TEXT}"
        )
    return archive.some(entry.start, entry.size)
