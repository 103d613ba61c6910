# SPDX-License-Identifier: Apache-2.0
"""A file under a directory that the deployer named.

It is written beside its place, see :mod:`half_file`, and takes its name when
it is whole and durable.
"""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from concurrent import futures
import contextlib
import errno
import hashlib
import os
import pathlib
import stat

from glance_tasks import directio
from glance_tasks import exceptions
from glance_tasks import ports
from glance_tasks import redaction
from glance_tasks.transfer import below
from glance_tasks.transfer import destination
from glance_tasks.transfer import half_file
from glance_tasks.transfer import patience
from glance_tasks.transfer import rules as fetch_rules

# O_NONBLOCK: opening a FIFO that somebody put there must not wait.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

# Bytes; a stop is seen between two of them.
_PIECE = 1 << 20

_MARK = "user.glance_task"
# File systems, and some files, that keep no such attributes.
_NO_MARK = {errno.EOPNOTSUPP, errno.EPERM, errno.ENODATA, errno.ENOSPC}

_CODES = {
    errno.ENOSPC: ("has no space left", "destination_full"),
    errno.EDQUOT: ("has no space left", "destination_full"),
    errno.EFBIG: ("takes no file of this size", "destination_full"),
    errno.ENOENT: ("lies in no directory", "destination_denied"),
    errno.ENOTDIR: ("lies in no directory", "destination_denied"),
    errno.EISDIR: ("is a directory", "destination_exists"),
    errno.EACCES: ("may not be written to", "destination_denied"),
    errno.EPERM: ("may not be written to", "destination_denied"),
    errno.EROFS: ("may not be written to", "destination_denied"),
    # A link was put into a path that had none when it was resolved.
    errno.ELOOP: ("leads out of where it may", "destination_not_allowed"),
}


class FileDestination:
    """One file to be; see :class:`destination.Destination`."""

    def __init__(
        self,
        parcel: ports.Parcel,
        rules: fetch_rules.FetchRules,
        root: pathlib.Path,
        inner: pathlib.Path,
    ) -> None:
        """Prepare.

        :param inner: its path below ``root``
        """
        self._parcel, self._root, self._inner = parcel, root, inner
        self._shown = redaction.plain_uri(parcel.uri)
        self._half = half_file.HalfFile(
            inner.name, parcel.token, parcel.number
        )
        # What was read back, by number: a part is written again by us alone.
        self._proven: dict[int, destination.Part] = {}
        self.part_size = rules.chunk_size
        # Nobody but we compare it; here it is three times as fast as md5.
        self.algorithm = "sha256"
        self.width = getattr(rules, "parts_at_once", 1)

    # --- the parts -----------------------------------------------------------

    def parts(self, stop: ports.StopSignal) -> Mapping[int, destination.Part]:
        """Take over what a run before this one has written, and read it."""
        with self._directory() as directory:
            self._half.take_over(directory)
            with self._half.opened(directory) as fd:
                found = self._read_parts(fd, stop)
        self._proven = {part.number: part for part in found}
        return dict(self._proven)

    def put(
        self, part: destination.Part, data: memoryview, stop: ports.StopSignal
    ) -> None:
        """Write one part in its place, and read it back from the disk."""
        offset = (part.number - 1) * self.part_size
        self._proven.pop(part.number, None)
        with (
            self._directory() as directory,
            self._half.opened(directory) as fd,
            contextlib.closing(directio.Writer(fd)) as writer,
        ):
            for start in range(0, len(data), _PIECE):
                stop.check()
                # It may have been frozen there for long.
                self._half.require(fd, directory)
                piece = data[start : start + _PIECE]
                writer.write(piece, offset + start)
            self._require_back(fd, part, offset, stop)

    def _require_back(
        self,
        fd: int,
        part: destination.Part,
        offset: int,
        stop: ports.StopSignal,
    ) -> None:
        if self._read_part(fd, offset, part.size, stop) != part:
            raise exceptions.SendError(
                f"{self._shown} gives back other bytes from {offset} on than"
                " were written there; expected a disk that keeps them",
                code="destination_unverified",
            )
        self._proven[part.number] = part

    def complete(
        self, parts: Sequence[destination.Part], stop: ports.StopSignal
    ) -> None:
        """Make the file durable and give it its name."""
        with self._directory() as directory:
            with self._half.opened(directory) as fd:
                # What is longer is of another version of the image.
                os.ftruncate(fd, self._parcel.size)
                _mark(fd, self._parcel.token)
                os.fsync(fd)
            self._give_name(directory)
            os.fsync(directory)

    def _give_name(self, directory: int) -> None:
        part, name = self._half.name, self._inner.name
        if self._parcel.overwrite:
            os.rename(part, name, src_dir_fd=directory, dst_dir_fd=directory)
            return
        try:
            # A rename would overwrite.
            os.link(part, name, src_dir_fd=directory, dst_dir_fd=directory)
        except FileExistsError as error:
            raise exceptions.SendError(
                f"{self._shown} holds another file; expected a place that is"
                " free, or to be told to overwrite it",
                code="destination_exists",
            ) from error
        os.unlink(part, dir_fd=directory)

    # --- the file ------------------------------------------------------------

    def look(
        self, parts: Sequence[destination.Part], stop: ports.StopSignal
    ) -> destination.Found | None:
        """Read the file, if there is one of that size."""
        with self._directory() as directory:
            try:
                found = os.stat(
                    self._inner.name, dir_fd=directory, follow_symlinks=False
                )
            except FileNotFoundError:
                return None
            if not stat.S_ISREG(found.st_mode):
                return destination.Found(found.st_size, False, None)
            fd = os.open(self._inner.name, _READ, dir_fd=directory)
            with _closing(fd):
                judged = self._judge(fd, found.st_size, parts, stop)
            if judged.ours and judged.proof:
                # A run was cut between the file's new name and its old one.
                self._half.remove(directory)
            return judged

    def _judge(
        self,
        fd: int,
        size: int,
        parts: Sequence[destination.Part],
        stop: ports.StopSignal,
    ) -> destination.Found:
        mark = _marked(fd)
        if mark not in (None, self._parcel.token):
            return destination.Found(size, False, None)
        if size != self._parcel.size:
            return destination.Found(size, mark is not None, False)
        if not parts:
            same = mark is not None or self._has_digest(fd, stop)
            return destination.Found(size, same, None)
        proof = all(self._proven.get(p.number) == p for p in parts)
        # Of what another object of this class completed nothing is known.
        proof = proof or list(parts) == self._read_parts(fd, stop)
        return destination.Found(size, mark is not None or proof, proof)

    def remove(self, stop: ports.StopSignal) -> None:
        """Remove the file, if it is ours, and the half one."""
        if not self._has_directory():
            return
        found = self.look([], stop)
        with self._directory() as directory:
            if found is not None and found.ours:
                os.unlink(self._inner.name, dir_fd=directory)
            self._half.remove(directory)
            os.fsync(directory)

    def _has_directory(self) -> bool:
        try:
            with self._directory():
                return True
        except exceptions.SendError as error:
            if error.detail["errno"] in (errno.ENOENT, errno.ENOTDIR):
                return False
            raise

    def close(self) -> None:
        """Do nothing: no file stays open between two calls."""

    # --- reading -------------------------------------------------------------

    def _read_parts(
        self, fd: int, stop: ports.StopSignal
    ) -> list[destination.Part]:
        """Read what is there, as many parts at once as are sent."""
        size = os.fstat(fd).st_size

        def read(offset: int) -> destination.Part:
            length = min(self.part_size, size - offset)
            return self._read_part(fd, offset, length, halt)

        halt = patience.Halt(stop)
        with futures.ThreadPoolExecutor(self.width, "verify") as crew:
            offsets = range(0, size, self.part_size) or [0]
            reading = [crew.submit(read, offset) for offset in offsets]
            try:
                return [part.result() for part in reading]
            except BaseException:
                halt.halt()
                crew.shutdown(cancel_futures=True)
                raise

    def _read_part(
        self, fd: int, offset: int, length: int, stop: ports.StopSignal
    ) -> destination.Part:
        digest = hashlib.new(self.algorithm, usedforsecurity=False)
        for piece in _pieces(fd, offset, length, stop):
            digest.update(piece)
        number = offset // self.part_size + 1
        return destination.Part(number, length, digest.hexdigest())

    def _has_digest(self, fd: int, stop: ports.StopSignal) -> bool:
        digest = hashlib.md5(usedforsecurity=False)
        for piece in _pieces(fd, 0, self._parcel.size, stop):
            digest.update(piece)
        return digest.hexdigest() == self._parcel.md5

    @contextlib.contextmanager
    def _directory(self) -> Iterator[int]:
        try:
            with below.directory(self._root, self._inner.parent) as found:
                yield found
        except OSError as error:
            what, code = _CODES.get(
                error.errno or 0, ("fails", "destination_unavailable")
            )
            raise exceptions.SendError(
                f"{self._shown} {what}",
                code=code,
                detail={"errno": error.errno},
            ) from error


@contextlib.contextmanager
def _closing(fd: int) -> Iterator[None]:
    try:
        yield
    finally:
        os.close(fd)


def _pieces(
    fd: int, offset: int, length: int, stop: ports.StopSignal
) -> Iterator[memoryview]:
    buffer = directio.buffer(_PIECE)
    with contextlib.closing(directio.Reader(fd)) as reader:
        while length:
            stop.check()
            count = reader.read(buffer[:length], offset)
            if not count:
                return
            yield buffer[:count]
            offset, length = offset + count, length - count


def _mark(fd: int, token: str) -> None:
    try:
        os.setxattr(fd, _MARK, token.encode())
    except OSError as error:
        if error.errno not in _NO_MARK:
            raise


def _marked(fd: int) -> str | None:
    try:
        return os.getxattr(fd, _MARK).decode(errors="replace")
    except OSError as error:
        if error.errno not in _NO_MARK:
            raise
        return None
