# SPDX-License-Identifier: Apache-2.0
"""One fetch under way: tries, restarts, and what is checked on the way."""

from collections.abc import Mapping
import contextlib
import errno
import os
import time

import tenacity

from glance_tasks import digest
from glance_tasks import exceptions
from glance_tasks import ports
from glance_tasks.transfer import endpoint
from glance_tasks.transfer import landing
from glance_tasks.transfer import order as orders
from glance_tasks.transfer import resumption
from glance_tasks.transfer import rules as fetch_rules
from glance_tasks.transfer import workfile

#: Tries in a row that bring nothing before the source's failure stands.
TRIES = 4

#: How often a source may turn out to be another one than before.
MAX_CHANGES = 3

#: Seconds before the next try; doubled by each one that brought nothing.
BACKOFF = 0.25

# EFBIG: the process may not write files as large as that.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Download:
    """Brings one file here. For one thread, and for one :meth:`run`."""

    def __init__(
        self,
        order: orders.Order,
        source: endpoint.Endpoint,
        rules: fetch_rules.FetchRules,
    ) -> None:
        """Keep what is asked for; nothing happens before :meth:`run`."""
        self._order, self._source, self._rules = order, source, rules
        self._landing: landing.Landing | None = None
        self._identity: endpoint.Identity | None = None
        self._whole = False
        self._changes = self._fruitless = 0
        self._furthest = self._refetched = 0

    def run(self) -> ports.Fetched:
        """Fetch, or go on with what an earlier run left.

        :raises FetchError: when the bytes cannot be had
        :raises DiskFull: when there is no room for them
        :raises OSError: when the work directory fails otherwise
        """
        if done := resumption.finished(self._order):
            self._order.progress.bytes(done.offset, done.offset)
            return ports.Fetched(done.offset, done.digests)
        try:
            self._pick_up()
            self._tries()(self._try)
            return self._finish()
        except OSError as error:
            if error.errno not in _FULL:
                raise
            raise self._no_room() from error
        finally:
            self._let_go()

    def _tries(self) -> tenacity.Retrying:
        return tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(endpoint.Interrupted),
            stop=lambda _: self._fruitless >= TRIES,
            wait=lambda _: BACKOFF * 2**self._fruitless,
            sleep=self._order.stop.wait,
            reraise=True,
        )

    def _pick_up(self) -> None:
        remains = resumption.pick_up(self._order)
        if remains is None:
            return
        self._identity = remains.identity
        self._land(remains.work, remains.states, remains.offset)
        self._furthest, self._refetched = remains.offset, remains.lost
        self._whole = remains.offset == self._identity.length

    def _try(self) -> None:
        began, before = time.monotonic(), self._furthest
        try:
            while not self._whole:
                self._read_on()
        except endpoint.Interrupted:
            # A source that is cut after each byte must not go on for ever,
            # so a try that brought less than the least rate brought nothing.
            least = self._rules.min_rate * (time.monotonic() - began)
            gained = self._furthest - before > least
            self._fruitless = 0 if gained else self._fruitless + 1
            raise

    def _read_on(self) -> None:
        where = self._landing
        try:
            with contextlib.closing(
                self._source.open(
                    self._order.uri,
                    where.offset if where else 0,
                    self._identity,
                    self._order.stop,
                    self._order.credentials,
                )
            ) as stream:
                if where is None or not stream.offset:
                    where = self._begin(stream.identity)
                self._read(stream, where)
        except endpoint.SourceChanged:
            self._count_change()
            self._let_go()

    def _begin(self, identity: endpoint.Identity) -> landing.Landing:
        """Begin with the first byte, whatever is here already."""
        path = self._order.path
        if self._landing is None:
            self._refetched += workfile.size(path)
        else:
            self._refetched += self._landing.offset
            if identity != self._identity:
                self._count_change()
        self._let_go()
        if identity.length is not None:
            self._order.check_size(identity.length)
        work = workfile.WorkFile.anew(path, self._order.header(identity))
        self._identity = identity
        place = self._land(
            work, digest.fresh_states(self._order.algorithms), 0
        )
        self._check_room(identity.length or 0)
        return place

    def _land(
        self,
        work: workfile.WorkFile,
        states: Mapping[str, digest.State],
        offset: int,
    ) -> landing.Landing:
        self._landing = landing.Landing(
            work,
            states,
            offset,
            self._rules.chunk_size,
            self._order.progress.advanced,
        )
        return self._landing

    def _read(self, stream: endpoint.Stream, where: landing.Landing) -> None:
        more = True
        while more:
            buffer = where.borrow(self._order.stop.check)
            more = self._fill(stream, where, buffer)
        if where.offset < (self._length or 0):
            raise endpoint.Interrupted(
                f"{self._order.shown} ended the transfer after"
                f" {where.offset} of {self._length} bytes",
                code="source_cut",
            )
        self._whole = True

    def _fill(
        self,
        stream: endpoint.Stream,
        where: landing.Landing,
        buffer: memoryview,
    ) -> bool:
        """Send a buffer on, full or after a moment; False at the end."""
        count, more, began = 0, True, time.monotonic()
        try:
            while more and count < len(buffer):
                came = stream.readinto(buffer[count:])
                count, more = count + came, came > 0
                if time.monotonic() - began > endpoint.SLICE:
                    break
        except endpoint.Interrupted:
            # The next try goes on behind what has come.
            self._send(where, buffer[:count])
            raise
        self._send(where, buffer[:count])
        return more

    def _send(self, where: landing.Landing, piece: memoryview) -> None:
        order, total = self._order, where.offset + len(piece)
        order.stop.check()
        order.check_size(total)
        if self._length is not None and total > self._length:
            raise exceptions.FetchError(
                f"{order.shown} sends more than the {self._length} bytes it"
                " announced",
                code="source_invalid",
            )
        if piece:
            where.send(piece)
            self._furthest = max(self._furthest, total)
            order.progress.bytes(total, self._length)

    @property
    def _length(self) -> int | None:
        return self._identity.length if self._identity else None

    def _count_change(self) -> None:
        self._changes += 1
        if self._changes > MAX_CHANGES:
            raise exceptions.FetchError(
                f"{self._order.shown} changed {self._changes} times while it"
                " was read; expected a file that is final",
                code="source_changed",
            )

    def _check_room(self, needed: int) -> None:
        found = os.statvfs(self._order.path.parent)
        if needed > found.f_bavail * found.f_frsize:
            raise self._no_room()

    def _no_room(self) -> exceptions.DiskFull:
        size = "" if self._length is None else f" ({self._length} bytes)"
        return exceptions.DiskFull(
            f"there is no room for {self._order.shown}{size}"
        )

    def _finish(self) -> ports.Fetched:
        if self._landing is None:
            raise AssertionError("a whole file has landed somewhere")
        mark = self._landing.finish(self._order.stop.check)
        return ports.Fetched(mark.offset, mark.digests, self._refetched)

    def _let_go(self) -> None:
        if self._landing is not None:
            where, self._landing = self._landing, None
            where.close()
