# SPDX-License-Identifier: Apache-2.0
"""Taking in bytes that a service hands over, going on where it stopped."""

import dataclasses
import os
import time
from typing import BinaryIO

from glance_tasks import digest
from glance_tasks import exceptions
from glance_tasks import ledger
from glance_tasks.transfer import endpoint
from glance_tasks.transfer import landing
from glance_tasks.transfer import order as orders
from glance_tasks.transfer import workfile

# Half of it may have to come again after a kill.
_CHUNK = 64 << 20

_IDENTITY = "handed in"


class Reception:
    """Takes bytes into one file. For one thread, and for one :meth:`take`."""

    def __init__(self, order: orders.Order, total: int | None) -> None:
        """Find what is there already; :meth:`close` lets go of it.

        :param total: bytes that there are to be, when that is known
        :raises OSError: when the file cannot be made
        """
        self._order, self._total = order, total
        self._broken: Exception | None = None
        self._ended = False
        identity = endpoint.Identity(_IDENTITY, total)
        header, states = order.header(identity), digest.fresh_states(())
        work = _continued(order, header)
        if work is None:
            work = workfile.WorkFile.anew(order.path, header)
            states = digest.fresh_states(order.algorithms)
        # Of what is continued the task computes them: to read it first would
        # keep whoever hands in waiting, an hour for some terabytes.
        offset = os.fstat(work.fd).st_size
        self._landing = landing.Landing(
            work, states, offset, _CHUNK, order.progress.advanced
        )

    @property
    def offset(self) -> int:
        """How many bytes are there."""
        return self._landing.offset

    def take(self, source: BinaryIO, length: int | None) -> bool:
        """Take what ``source`` has; tell whether that was all there is.

        What has come is durable afterwards, also when this raises.

        :param length: bytes that it is to have, when that is known; no more
            are asked for
        :raises UploadTruncated: when it has fewer, or none, or fails
        :raises UploadTooBig: when there are more than there may be
        :raises OSError: when they cannot be written
        """
        start = self.offset
        end = None if length is None else start + length
        self._check_size(end or 0)
        try:
            while piece := self._read(source, end):
                self._check_size(self.offset + len(piece))
                self._landing.send(piece)
        finally:
            self._landing.settle(self._order.stop.check)
        nothing = self.offset == start and length is None
        short = end is not None and self.offset < end
        if self._broken or short or nothing or not self.offset:
            of = "" if end is None else f" of {end}"
            raise exceptions.UploadTruncated(
                f"what was handed in ended after {self.offset}{of} bytes; go"
                " on from there"
            ) from self._broken
        if self._total is not None and self.offset < self._total:
            return False
        self._landing.finish(self._order.stop.check)
        return True

    def _read(self, source: BinaryIO, end: int | None) -> memoryview:
        """Give what has come, once it fills a buffer or after a moment."""
        self._order.stop.check()
        buffer, filled = self._landing.borrow(self._order.stop.check), 0
        if end is not None:
            buffer = buffer[: end - self.offset]
        began = time.monotonic()
        while not self._ended and filled < len(buffer):
            data = self._data(source, len(buffer) - filled)
            buffer[filled : filled + len(data)] = data
            filled += len(data)
            if filled and time.monotonic() - began > endpoint.SLICE:
                break
        return buffer[:filled]

    def _data(self, source: BinaryIO, size: int) -> bytes:
        try:
            data = source.read(size)
        except Exception as error:  # noqa: BLE001 - a server's own
            self._broken = error
            data = b""
        self._ended = not data
        return data

    def _check_size(self, size: int) -> None:
        most = self._order.max_bytes
        if self._total is not None:
            most = min(most, self._total)
        if size > most:
            raise exceptions.UploadTooBig(
                f"more than {most} bytes are handed in; expected at most that"
            )

    def close(self) -> None:
        """Let go of the file."""
        self._landing.close()


def _continued(
    order: orders.Order, header: dict[str, object]
) -> workfile.WorkFile | None:
    """Open what an earlier call left, cut to what of it is durable."""
    record = ledger.read(order.path)
    if record is None or not record.marks or record.header != header:
        return None
    fd = workfile.open_existing(order.path)
    if fd is None:
        return None
    if os.fstat(fd).st_size < record.offset:
        os.close(fd)
        return None
    os.ftruncate(fd, record.offset)
    last = dataclasses.replace(record.marks[-1], done=False)
    return workfile.WorkFile(
        order.path, fd, dataclasses.replace(record, marks=(last,))
    )
