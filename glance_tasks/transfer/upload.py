# SPDX-License-Identifier: Apache-2.0
"""One upload: read once, sent in parts, going on where a cut left."""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from concurrent import futures
import contextlib
import functools
import hashlib
import logging
import queue
from typing import TypeVar

from glance_tasks import directio
from glance_tasks import exceptions
from glance_tasks import ports
from glance_tasks import redaction
from glance_tasks.transfer import destination
from glance_tasks.transfer import endpoint
from glance_tasks.transfer import patience

LOG = logging.getLogger(__name__)

T = TypeVar("T")
# None sends nothing: the file is only read for its digests.
_There = Mapping[int, destination.Part] | None


class Upload:
    """Sends one file. For one thread, which starts others for the parts."""

    def __init__(
        self,
        parcel: ports.Parcel,
        target: destination.Destination,
        *,
        stop: ports.StopSignal,
        progress: ports.Progress,
        fence: ports.Fence,
    ) -> None:
        """Prepare; nobody is asked yet.

        ``stop`` is looked at by every thread, ``progress`` and ``fence`` by
        the caller's alone.
        """
        self._parcel, self._target = parcel, target
        self._progress, self._fence = progress, fence
        self._stop = patience.Halt(stop)
        self._shown = redaction.plain_uri(parcel.uri)

    def run(self, fd: int) -> ports.Sent:
        """Send the file of a descriptor, and see that it has arrived.

        :raises SendError: when it has not
        :raises ChecksumMismatch: when the file is not what was announced
        """
        found = self._look([])
        self._require_free(found)
        if found and found.ours:
            # A run was cut behind the last request; or it was cut before and
            # what is there is another version, which is made anew.
            parts = self._send(fd, None)
            found = self._look(parts)
            if found and found.proof:
                return self._sent(found, [])
        # It may take over what a run before this one has begun.
        self._fence.check()
        there = self._ask(self._target.parts)
        parts = self._send(fd, there)
        # A frozen run must not complete what its successor removed.
        self._fence.check()
        self._ask(lambda stop: self._target.complete(parts, stop))
        missing = [part for part in parts if there.get(part.number) != part]
        return self._sent(self._look(parts), missing)

    def _sent(
        self,
        found: destination.Found | None,
        parts: list[destination.Part],
    ) -> ports.Sent:
        self._verify(found)
        return ports.Sent(
            uri=self._parcel.uri,
            size=self._parcel.size,
            sent=sum(part.size for part in parts),
        )

    # --- the parts -----------------------------------------------------------

    def _checked_by(self) -> tuple[str, str]:
        return self._parcel.os_hash or ("md5", self._parcel.md5)

    def _pieces(self) -> list[tuple[int, int]]:
        """Give offset and size of each part; an empty file has one."""
        size, step = self._parcel.size, self._target.part_size
        offsets = range(0, size, step) or [0]
        return [(offset, min(step, size - offset)) for offset in offsets]

    def _send(self, fd: int, there: _There) -> list[destination.Part]:
        """Send what is not there yet; give all the parts in their order."""
        pieces = self._pieces()
        width = min(self._target.width, len(pieces))
        free: queue.SimpleQueue[memoryview] = queue.SimpleQueue()
        for _ in range(width):
            free.put(directio.buffer(max(pieces[0][1], 1)))
        algorithm, expected = self._checked_by()
        whole = hashlib.new(algorithm, usedforsecurity=False)
        sent: list[futures.Future[destination.Part]] = []
        with (
            contextlib.closing(directio.Reader(fd)) as reader,
            self._crew(1) as hashing,
            self._crew(width) as crew,
        ):
            for number, (offset, size) in enumerate(pieces, 1):
                buffer = self._borrow(free, sent)
                view = buffer[:size]
                self._read(reader, view, offset)
                # Beside the sending of this part and the reading of the next.
                hashed = hashing.submit(whole.update, view)
                done = functools.partial(_give_back, free, buffer, hashed)
                sent.append(crew.submit(self._one, number, view, there, done))
                self._tell(sent)
            self._wait(sent)
        _require_digest(algorithm, whole.hexdigest(), expected)
        return [part.result() for part in sent]

    def _wait(self, sent: list[futures.Future[destination.Part]]) -> None:
        while not all(part.done() for part in sent):
            self._check(sent)
            futures.wait(
                [part for part in sent if not part.done()],
                timeout=endpoint.SLICE,
                return_when=futures.FIRST_COMPLETED,
            )
            self._tell(sent)

    @contextlib.contextmanager
    def _crew(self, width: int) -> Iterator[futures.Executor]:
        crew = futures.ThreadPoolExecutor(width, "upload")
        try:
            yield crew
        except BaseException:
            self._stop.halt()
            raise
        finally:
            crew.shutdown(wait=True, cancel_futures=True)

    def _borrow(
        self,
        free: "queue.SimpleQueue[memoryview]",
        sent: list[futures.Future[destination.Part]],
    ) -> memoryview:
        while True:
            self._check(sent)
            try:
                return free.get(timeout=endpoint.SLICE)
            except queue.Empty:
                continue

    def _check(self, sent: list[futures.Future[destination.Part]]) -> None:
        """Leave when told to, or when a part could not be sent."""
        self._stop.check()
        for part in sent:
            if part.done():
                part.result()

    def _read(
        self, reader: directio.Reader, view: memoryview, offset: int
    ) -> None:
        done = 0
        while done < len(view):
            count = reader.read(view[done:], offset + done)
            if not count:
                raise exceptions.ChecksumMismatch(
                    f"the image file ends at byte {offset + done}; expected"
                    f" {self._parcel.size} bytes"
                )
            done += count

    def _one(
        self,
        number: int,
        view: memoryview,
        there: _There,
        done: Callable[[], None],
    ) -> destination.Part:
        state = hashlib.new(
            self._target.algorithm, view, usedforsecurity=False
        )
        part = destination.Part(number, len(view), state.hexdigest())
        if there is not None and there.get(number) != part:
            self._ask(lambda stop: self._target.put(part, view, stop))
        # Not when it failed: the caller reads no more then.
        done()
        return part

    def _tell(self, sent: list[futures.Future[destination.Part]]) -> None:
        self._check(sent)
        done = sum(part.result().size for part in sent if part.done())
        self._progress.bytes(done, self._parcel.size)
        self._progress.advanced()

    # --- the object ----------------------------------------------------------

    def _look(self, parts: list[destination.Part]) -> destination.Found | None:
        return self._ask(lambda stop: self._target.look(parts, stop))

    def _require_free(self, found: destination.Found | None) -> None:
        if found and not found.ours and not self._parcel.overwrite:
            raise exceptions.SendError(
                f"{self._shown} holds another object; expected a place that"
                " is free, or to be told to overwrite it",
                code="destination_exists",
            )

    def _verify(self, found: destination.Found | None) -> None:
        if found is None:
            why = "it is not there"
        elif found.size != self._parcel.size:
            why = f"it has {found.size} bytes"
        elif not found.proof:
            why = "its digest is another or cannot be asked for"
        else:
            return
        raise exceptions.SendError(
            f"{self._shown} was sent {self._parcel.size} bytes and took them,"
            f" and {why}; expected those very bytes",
            code="destination_unverified",
        )

    def _ask(self, call: Callable[[ports.StopSignal], T]) -> T:
        return patience.patiently(call, self._stop)


def _give_back(
    free: "queue.SimpleQueue[memoryview]",
    buffer: memoryview,
    hashed: futures.Future[None],
) -> None:
    hashed.result()
    free.put(buffer)


def _require_digest(algorithm: str, found: str, expected: str) -> None:
    if found != expected:
        raise exceptions.ChecksumMismatch(
            f"the image file has the {algorithm} digest {found}; expected"
            f" {expected}"
        )
