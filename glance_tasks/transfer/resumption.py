# SPDX-License-Identifier: Apache-2.0
"""What an earlier run left: finished, good up to a point, or of no use."""

import contextlib
import os
from typing import NamedTuple

from glance_tasks import digest
from glance_tasks import ledger
from glance_tasks.transfer import endpoint
from glance_tasks.transfer import order as orders
from glance_tasks.transfer import workfile


class Remains(NamedTuple):
    """A file whose beginning was verified.

    :ivar identity: of what was being fetched
    :ivar states: running hashes of the bytes before ``offset``
    :ivar lost: bytes in the file that have to be fetched again
    """

    work: workfile.WorkFile
    identity: endpoint.Identity
    states: dict[str, digest.State]
    offset: int
    lost: int


def finished(order: orders.Order) -> ledger.Mark | None:
    """Give the last mark if the whole file is there already, verified."""
    record = ledger.read(order.path)
    if record is None or record.done is None:
        return None
    identity, size = order.identity(record), workfile.size(order.path)
    if identity is None or size != record.done.offset:
        return None
    if identity.length not in (None, size):
        return None
    # A store that it was linked into makes it read-only.
    fd = workfile.open_existing(order.path, for_writing=False)
    if fd is None:
        return None
    try:
        good, _ = _verified(order, fd, record, size)
    finally:
        os.close(fd)
    # The last mark may be a second one at the offset of the one before.
    same = good.marks and good.marks[-1].digests == record.done.digests
    return record.done if same and good.offset == size else None


def pick_up(order: orders.Order) -> Remains | None:
    """Verify what an earlier run left; None when nothing of it is of use."""
    record = ledger.read(order.path)
    identity = order.identity(record) if record is not None else None
    if record is None or identity is None:
        return None
    fd = workfile.open_existing(order.path)
    if fd is None:
        return None
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, fd)
        size = os.fstat(fd).st_size
        if identity.length is not None and size > identity.length:
            return None
        record, states = _verified(order, fd, record, identity.length)
        if not record.marks:
            return None
        # The work file closes it from here on, even if it cannot be made.
        stack.pop_all()
    work = workfile.WorkFile(order.path, fd, record)
    lost = size - record.offset
    return Remains(work, identity, states, record.offset, lost)


def _verified(
    order: orders.Order, fd: int, record: ledger.Record, total: int | None
) -> tuple[ledger.Record, dict[str, digest.State]]:
    return ledger.verified(
        fd,
        record,
        order.algorithms,
        order.stop.check,
        lambda offset: order.progress.bytes(offset, total),
    )
