# SPDX-License-Identifier: Apache-2.0
"""Writes the disk image of an archive to a file: one pass, sparse, anew.

A decompressor's state cannot be saved, so unlike a fetch or a conversion to
raw this never goes on where it was cut.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import dataclasses
import os
import pathlib

from glance_tasks import digest
from glance_tasks import directio
from glance_tasks import ledger
from glance_tasks import ports
from glance_tasks.archive import caps as archive_caps
from glance_tasks.archive import content as contents
from glance_tasks.archive import manifest
from glance_tasks.archive import member as members
from glance_tasks.archive import refusal
from glance_tasks.imagefile import raw
from glance_tasks.imagefile import reader
from glance_tasks.imagefile import signatures

_PACKED = signatures.COMPRESSED | {"zip", "7z", "rar", "tar"}


@dataclasses.dataclass(frozen=True, slots=True)
class Unpacked:
    """A file that is whole and durable.

    :ivar size: in bytes
    :ivar digests: algorithm name to lower-case hexadecimal
    """

    size: int
    digests: Mapping[str, str]


def unpack(
    archive: reader.Reader,
    member: members.Member,
    path: pathlib.Path,
    *,
    algorithms: Sequence[str],
    caps: archive_caps.Caps,
    stop: ports.StopSignal,
    progress: ports.Progress,
) -> Unpacked:
    """Write ``member`` to a new file at ``path``.

    What an earlier run left there is removed; the caller asks the fence
    before. Progress is told in bytes of the archive.

    :param algorithms: digests to compute while the bytes pass
    :raises ArchiveError: when it is damaged, breaks a cap, or holds an
        archive itself
    :raises OSError: when the file cannot be written
    """
    content = contents.Content(archive, member, caps, stop.check)
    if member.digest is not None:
        algorithms = (*algorithms, member.digest[0])
    ledger.remove(path)
    with contextlib.ExitStack() as stack:
        fd = ledger.create_file(path)
        stack.callback(os.close, fd)
        writer = directio.Writer(fd)
        stack.callback(writer.close)

        def write(piece: memoryview, offset: int) -> None:
            raw.write_sparse(writer, piece, offset, skip=True)

        states = digest.fresh_states(algorithms)
        digests = digest.Digests(states, write=write)
        stack.enter_context(digests)
        _copy(content, digests, member.length, stop, progress)
        found = digests.hexdigests()
        os.ftruncate(fd, content.unpacked)
        os.fsync(fd)
    ledger.sync_directory(path.parent)
    if member.digest is not None:
        algorithm, told = member.digest
        manifest.require_digest("the disk", algorithm, found[algorithm], told)
    return Unpacked(content.unpacked, found)


def _copy(
    content: contents.Content,
    digests: digest.Digests,
    total: int,
    stop: ports.StopSignal,
    progress: ports.Progress,
) -> None:
    more = True
    while more:
        buffer = digests.buffer(stop.check)
        piece = buffer[: content.readinto(buffer)]
        if not digests.offset:
            _require_unpacked(piece)
        more = len(piece) == len(buffer)
        digests.update(piece)
        progress.bytes(content.position, total)


def _require_unpacked(head: memoryview) -> None:
    """Refuse an archive in an archive, by its beginning."""
    inner = signatures.of_head(bytes(head[: signatures.HEAD])) & _PACKED
    if inner:
        raise refusal.unfit(
            "the archive holds another one, of the kind"
            f" {' and '.join(sorted(inner))}; expected a disk image in it"
        )
