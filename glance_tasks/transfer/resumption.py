# SPDX-License-Identifier: Apache-2.0
"""What an earlier run left: finished, good up to a point, or of no use."""

import dataclasses
import os
from typing import NamedTuple

from glance_tasks.transfer import ledger
from glance_tasks.transfer import order as orders
from glance_tasks.transfer import pipeline
from glance_tasks.transfer import workfile


class Remains(NamedTuple):
    """A file whose beginning was verified.

    :ivar states: running hashes of the bytes before ``offset``
    :ivar lost: bytes in the file that have to be fetched again
    """

    work: workfile.WorkFile
    record: ledger.Record
    states: dict[str, pipeline.State]
    offset: int
    lost: int


def finished(order: orders.Order) -> ledger.Mark | None:
    """Give the last mark if the whole file is there already."""
    record = ledger.read(order.path)
    if record is None or record.done is None or not order.is_for(record):
        return None
    try:
        size = order.path.lstat().st_size
    except FileNotFoundError:
        return None
    return record.done if size == record.done.offset else None


def pick_up(order: orders.Order) -> Remains | None:
    """Verify what an earlier run left; None when nothing of it is of use.

    The file is hashed again from its start, because hashlib cannot save a
    running hash, and compared with every mark on the way.
    """
    record = ledger.read(order.path)
    if record is None or not order.is_for(record):
        return None
    fd = workfile.open_existing(order.path)
    if fd is None:
        return None
    try:
        size = os.fstat(fd).st_size
        length = record.header.identity.length
        if length is not None and size > length:
            record = dataclasses.replace(record, marks=())
        good, states = _verify(order, fd, record)
    except BaseException:
        os.close(fd)
        raise
    if not good:
        os.close(fd)
        return None
    record = dataclasses.replace(record, marks=tuple(good))
    offset = good[-1].offset
    work = workfile.WorkFile(order.path, fd, record)
    return Remains(work, record, states, offset, size - offset)


def _verify(
    order: orders.Order, fd: int, record: ledger.Record
) -> tuple[list[ledger.Mark], dict[str, pipeline.State]]:
    good: list[ledger.Mark] = []
    states = pipeline.fresh(order.algorithms)
    total = record.header.identity.length
    with pipeline.Pipeline(states, None) as flow:
        for mark in record.marks:
            if not _feed(flow, fd, mark.offset, order, total):
                break
            snapshot = flow.snapshot()
            if snapshot.digests() != mark.digests:
                break
            states = snapshot.states()
            good.append(dataclasses.replace(mark, done=False))
    return good, states


def _feed(
    flow: pipeline.Pipeline,
    fd: int,
    end: int,
    order: orders.Order,
    total: int | None,
) -> bool:
    """Hash the file up to ``end``; False when it is shorter than that."""
    while flow.offset < end:
        order.stop.check()
        buffer = flow.borrow(order.stop.check)
        view = buffer.view[: end - flow.offset]
        count = os.preadv(fd, [view], flow.offset)
        if not count:
            return False
        flow.send(buffer, count)
        order.progress.bytes(flow.offset, total)
    return True
