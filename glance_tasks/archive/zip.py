# SPDX-License-Identifier: Apache-2.0
"""Zip archives: one entry, told of twice in the same words.

A zip has a directory at its end and a header before each entry, and readers
differ in which they believe. Here both must agree, and with one entry that
begins at the first byte and ends where the directory begins there is no room
for another one, beside it or over it.
"""

import stat
import struct
import zipfile

from glance_tasks.archive import compression
from glance_tasks.archive import member as members
from glance_tasks.archive import rationed
from glance_tasks.archive import refusal
from glance_tasks.imagefile import reader

_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_SIGNATURE = b"PK\x07\x08"
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_PATCHED = 0x20
_DESCRIBED_LATER = 0x8
_UNKNOWN_32 = 0xFFFFFFFF
_CODECS = {
    zipfile.ZIP_STORED: None,
    zipfile.ZIP_DEFLATED: compression.DEFLATE,
}


def find(archive: reader.Reader) -> members.Member:
    """Find the one entry.

    :raises ArchiveError: when there are others, or it is not plain
    """
    with rationed.explained(
        "zip", zipfile.BadZipFile, NotImplementedError, struct.error
    ):
        listed = zipfile.ZipFile(rationed.RationedFile(archive))
    entries = listed.infolist()
    if len(entries) != 1:
        raise refusal.unfit(
            f"the zip archive holds {len(entries)} entries; expected the disk"
            " image alone"
        )
    entry = entries[0]
    _require_plain(entry)
    start = _require_same(archive, entry)
    _require_nothing_else(archive, entry, start, listed.start_dir)
    return members.Member(
        "zip",
        start,
        entry.compress_size,
        codec=_CODECS[entry.compress_type],
        size=entry.file_size,
        crc32=entry.CRC,
    )


def _require_plain(entry: zipfile.ZipInfo) -> None:
    if entry.flag_bits & _ENCRYPTED:
        raise refusal.unfit(
            "the zip archive is encrypted; expected it without a password"
        )
    if entry.compress_type not in _CODECS or entry.flag_bits & _PATCHED:
        raise refusal.unfit(
            f"the zip archive is packed by method {entry.compress_type};"
            " expected 0, stored, or 8, deflate"
        )
    if entry.volume:
        raise refusal.unfit(
            f"the zip archive's entry is on disk {entry.volume} of several;"
            " expected one file"
        )
    # What made it on Unix keeps the file's mode there.
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if entry.is_dir() or kind not in (0, stat.S_IFREG):
        raise refusal.unfit(
            f"the zip archive's entry {entry.filename[:80]!r} is a directory,"
            " a link or a device; expected a file"
        )


def _require_same(archive: reader.Reader, entry: zipfile.ZipInfo) -> int:
    """Compare the header before the entry; give where its bytes begin."""
    raw = archive.head(_LOCAL.size)
    if entry.header_offset or len(raw) < _LOCAL.size:
        raise _contradiction("its entry begins elsewhere than at its start")
    local = _LOCAL.unpack(raw)
    magic, _, flags, method, _, _, crc, packed, size = local[:9]
    name, extra = map(int, local[9:])
    if (magic, flags, method) != (
        b"PK\x03\x04",
        entry.flag_bits,
        entry.compress_type,
    ):
        raise _contradiction("the header of its entry is another one")
    if entry.orig_filename.encode(
        "utf-8" if flags & 0x800 else "cp437"
    ) != archive.some(_LOCAL.size, name):
        raise _contradiction("the header of its entry has another name")
    later = bool(flags & _DESCRIBED_LATER)
    for told, true in (
        (crc, entry.CRC),
        (packed, entry.compress_size),
        (size, entry.file_size),
    ):
        # Large sizes stand in an extra field, which the directory has too.
        if told not in (true, _UNKNOWN_32) and not (later and told == 0):
            raise _contradiction("the header of its entry has other sizes")
    return _LOCAL.size + name + extra


def _require_nothing_else(
    archive: reader.Reader,
    entry: zipfile.ZipInfo,
    start: int,
    directory: int,
) -> None:
    """Compare what lies between the entry's bytes and the directory."""
    end = start + entry.compress_size
    between = directory - end
    if not 0 <= between <= 24:
        raise _contradiction(
            f"its entry ends at byte {end} and its directory begins at"
            f" {directory}"
        )
    later = archive.some(end, between)
    facts = entry.CRC, entry.compress_size, entry.file_size
    expected = {b""}
    if entry.flag_bits & _DESCRIBED_LATER:
        expected = {struct.pack("<IQQ", *facts)}
        if max(facts) <= _UNKNOWN_32:
            expected.add(struct.pack("<III", *facts))
        expected |= {_SIGNATURE + plain for plain in expected}
    if later not in expected:
        raise _contradiction("what follows its entry does not describe it")


def _contradiction(what: str) -> Exception:
    return refusal.malformed(
        f"the zip archive contradicts itself: {what}; expected one file in"
        " it, described the same everywhere"
    )
