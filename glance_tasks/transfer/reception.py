# SPDX-License-Identifier: Apache-2.0
"""Taking in bytes that a service hands over, going on where it stopped."""

import os
from typing import BinaryIO

from glance_tasks import digest
from glance_tasks import exceptions
from glance_tasks.transfer import endpoint
from glance_tasks.transfer import landing
from glance_tasks.transfer import order as orders
from glance_tasks.transfer import resumption
from glance_tasks.transfer import workfile

# Half of it may have to come again after a kill.
_CHUNK = 64 << 20


class Reception:
    """Takes bytes into one file. For one thread, and for one :meth:`take`."""

    def __init__(self, order: orders.Order, total: int | None) -> None:
        """Verify what is there already; :meth:`close` lets go of it.

        :param total: bytes that there are to be, when that is known
        :raises OSError: when the file cannot be made
        """
        self._order, self._total = order, total
        self._broken: Exception | None = None
        identity = endpoint.Identity("handed in", total)
        remains = resumption.pick_up(order)
        if remains is None:
            header = order.header(identity)
            work = workfile.WorkFile.anew(order.path, header)
            states, offset = digest.fresh_states(order.algorithms), 0
        else:
            work, states, offset = remains.work, remains.states, remains.offset
            # What is not durable could end up behind the last byte.
            os.ftruncate(work.fd, offset)
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

        :param length: bytes that it is to have, when that is known
        :raises UploadTruncated: when it has fewer, or fails
        :raises UploadTooBig: when it has more, or more than there may be
        :raises OSError: when they cannot be written
        """
        end = None if length is None else self.offset + length
        try:
            while piece := self._read(source):
                self._check_size(self.offset + len(piece), end)
                self._landing.send(piece)
        finally:
            self._landing.settle(self._order.stop.check)
        short = end is not None and self.offset < end
        if self._broken or short or not self.offset:
            of = "" if end is None else f" of {end}"
            raise exceptions.UploadTruncated(
                f"what was handed in ended after {self.offset}{of} bytes; go"
                " on from there"
            ) from self._broken
        if self._total is not None and self.offset < self._total:
            return False
        self._landing.finish(self._order.stop.check)
        return True

    def _read(self, source: BinaryIO) -> memoryview:
        """Give a full buffer, or what comes before the end or an error."""
        self._order.stop.check()
        buffer, filled = self._landing.borrow(self._order.stop.check), 0
        while not self._broken and filled < len(buffer):
            try:
                data = source.read(len(buffer) - filled)
            except Exception as error:  # noqa: BLE001 - a server's own
                self._broken = error
                break
            if not data:
                break
            buffer[filled : filled + len(data)] = data
            filled += len(data)
        return buffer[:filled]

    def _check_size(self, size: int, end: int | None) -> None:
        limits = [self._order.max_bytes, self._total, end]
        most = min(one for one in limits if one is not None)
        if size > most:
            raise exceptions.UploadTooBig(
                f"more than {most} bytes are handed in; expected at most that"
            )

    def close(self) -> None:
        """Let go of the file."""
        self._landing.close()
