# SPDX-License-Identifier: Apache-2.0
"""Writes a view to a raw file: one pass, sparse, resumable.

The bytes are read once. Digests are computed beside the writing, and every
64 MiB a mark in the ledger beside the file says that all before it is on disk
with these digests.
"""

from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import dataclasses
import functools
import os
import pathlib
from typing import Any

from glance_tasks import digest
from glance_tasks import directio
from glance_tasks import ledger
from glance_tasks import merkle
from glance_tasks import ports
from glance_tasks.imagefile import view as views

ALGORITHMS = ("md5", "sha512", merkle.NAME)

# With marks 16 MiB apart a copy with both digests took 5 % longer, with
# 64 MiB the difference drowned in the noise.
_BETWEEN_MARKS = 64 << 20
# Holes are made of whole blocks of this size.
_HOLE = 64 << 10
# A bytearray: only there is comparing with a memoryview a memcmp.
_ZEROS = bytearray(_HOLE)


@dataclasses.dataclass(frozen=True, slots=True)
class Written:
    """A raw file that is whole and durable.

    :ivar size: in bytes
    :ivar digests: by the names in :data:`ALGORITHMS`, lower-case hexadecimal
    :ivar resumed_at: bytes that an earlier run had written and were kept
    """

    size: int
    digests: Mapping[str, str]
    resumed_at: int


def write_raw(
    view: views.RawView,
    path: pathlib.Path,
    *,
    source: Mapping[str, Any],
    stop: ports.StopSignal,
    progress: ports.Progress,
) -> Written:
    """Write the disk that ``view`` shows to ``path``.

    What an earlier run left there is kept as far as its ledger vouches for
    it and its bytes still have the digests noted, if it was made from the
    same ``source``; else it begins anew in a new file. The caller asks the
    fence before.

    :param source: what the view is of, JSON: name, digest, format
    :raises ConvertError: when the view cannot be read
    :raises OSError: when the file cannot be written
    """
    header = {"source": dict(source), "size": view.size}
    with contextlib.ExitStack() as stack:
        fd, record, states = _open(path, header, stop)
        stack.callback(os.close, fd)
        notes = ledger.Ledger(path, record)
        stack.callback(notes.close)
        writer = directio.Writer(fd)
        stack.callback(writer.close)
        # Behind its last mark a file may hold anything, so nothing is skipped
        # there: the disk may not have got all that was written before the
        # cut.
        unsure = os.fstat(fd).st_size

        def write(piece: memoryview, offset: int) -> None:
            write_sparse(writer, piece, offset, skip=offset >= unsure)

        digests = digest.Digests(states, write=write, offset=record.offset)
        stack.enter_context(digests)
        # Closed before them: a mark under way needs what they compute.
        marker = ledger.Marker(notes, fd, record.offset, progress.advanced)
        stack.callback(marker.close)
        _copy(view, fd, digests, marker, stop, progress)
        os.ftruncate(fd, view.size)
        whole = marker.finish(view.size, digests.snapshot(), stop.check)
    return Written(view.size, whole.digests, record.offset)


def _open(
    path: pathlib.Path, header: Mapping[str, Any], stop: ports.StopSignal
) -> tuple[int, ledger.Record, Mapping[str, digest.State]]:
    """Open what can be gone on with, or a new file.

    :returns: the descriptor, the ledger's good part, and the running hashes
        of the bytes before its last mark
    """
    record = ledger.read(path)
    if record is not None and record.header == header:
        with contextlib.suppress(FileNotFoundError):
            fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                return fd, *ledger.verified(fd, record, ALGORITHMS, stop.check)
            except BaseException:
                os.close(fd)
                raise
    ledger.remove(path)
    states = digest.fresh_states(ALGORITHMS)
    return ledger.create_file(path), ledger.Record(header), states


def _copy(
    view: views.RawView,
    fd: int,
    digests: digest.Digests,
    marker: ledger.Marker,
    stop: ports.StopSignal,
    progress: ports.Progress,
) -> None:
    marked = digests.offset
    buffer = functools.partial(digests.buffer, stop.check)
    for piece in view.stream(marked, buffer):
        digests.update(piece)
        offset = digests.offset
        marker.poll()
        # The mark at the end waits for the word that the file is whole.
        if marked + _BETWEEN_MARKS <= offset < view.size:
            # A mark in a hole at the end vouches for bytes not there yet.
            if os.fstat(fd).st_size < offset:
                os.ftruncate(fd, offset)
            marker.add(offset, digests.snapshot(), stop.check)
            marked = offset
        progress.bytes(offset, view.size)


def write_sparse(
    writer: directio.Writer, piece: memoryview, offset: int, *, skip: bool
) -> None:
    """Write ``piece`` at ``offset``, leaving out blocks of zeros.

    :param skip: False writes the zeros too
    """
    if not skip:
        writer.write(piece, offset)
        return
    for begin, end in _filled(piece):
        writer.write(piece[begin:end], offset + begin)


def _filled(piece: memoryview) -> Iterator[tuple[int, int]]:
    """Give the runs of blocks that are not all zeros."""
    begin = None
    for place in range(0, len(piece), _HOLE):
        block = piece[place : place + _HOLE]
        zeros = _ZEROS if len(block) == _HOLE else _ZEROS[: len(block)]
        if zeros != block:
            begin = place if begin is None else begin
        elif begin is not None:
            yield begin, place
            begin = None
    if begin is not None:
        yield begin, len(piece)
