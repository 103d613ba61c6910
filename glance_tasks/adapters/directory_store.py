# SPDX-License-Identifier: Apache-2.0
"""The embedded image store: a directory with one file an image.

A half-copied object is a hidden file ``.KEY.FENCE.part`` beside it. It takes
its name by one rename, so a successor that has removed it first keeps a frozen
predecessor from making the object appear.
"""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import errno
import os
import pathlib
import re
import stat
import tempfile
from typing import Any
from typing import BinaryIO

from oslo_config import cfg

from glance_tasks import exceptions
from glance_tasks import opts
from glance_tasks import ports

_KEY = re.compile(r"[0-9a-zA-Z_-][0-9a-zA-Z._-]{0,199}")
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

# Bytes; smaller ones cost system calls, larger ones delay a stop.
_BUFFER = 1 << 20

#: The group may read, for a service that hands images out; nobody writes.
_MODE = 0o440

# Another file system, one without hard links, or a link that
# fs.protected_hardlinks forbids: then the bytes are copied.
_NO_LINK = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP}
_FULL = {errno.ENOSPC, errno.EDQUOT}


class DirectoryStore:
    """Objects as files; safe to share between threads and processes."""

    def __init__(
        self, conf: cfg.ConfigOpts, engine: Any = None, name: str = ""
    ) -> None:
        """Keep objects under ``store_dir``; it is made when first needed.

        :param engine: not used, since this store needs no database; every
            store is made as ``factory(conf, engine)``
        :param name: which of several; then it is made with that too
        """
        self._root = opts.store_dir(conf, name)

    def preflight(self) -> None:
        """Check that objects can be written, by writing."""
        with _in_words("written to"):
            self._make_root()
            with tempfile.TemporaryFile(dir=self._root) as probe:
                probe.write(b"\0")
                probe.flush()

    def put(
        self,
        key: str,
        path: pathlib.Path,
        *,
        stop: ports.StopSignal,
        progress: ports.Progress,
        fence: ports.Fence,
    ) -> int:
        """Store the file under ``key``; see the port."""
        target = self._path(key)
        with _in_words("written to"), _opened(path) as source:
            size = os.fstat(source).st_size
            self._make_root()
            self._remove_parts(key, fence.number)
            if not _holds(target, source, stop.check):
                os.fsync(source)
                fence.check()
                if not _link(path, target):
                    part = target.with_name(f".{key}.{fence.number}.part")
                    _copy(source, part, stop, progress)
                    _give_name(part, target, fence)
            # Also after a cut between the name and these.
            target.chmod(_MODE)
            _sync(self._root)
        progress.bytes(size, size)
        return size

    def delete(self, key: str, *, fence: ports.Fence) -> None:
        """Delete the object and what is left of attempts to store it.

        :raises LeaseLost: when another run holds the task
        :raises StoreError: when it cannot be deleted
        """
        target = self._path(key)
        fence.check()
        with _in_words("written to"):
            if not self._root.is_dir():
                return
            self._remove_parts(key, fence.number)
            # A file system that became read-only refuses to unlink even
            # what is not there.
            if os.path.lexists(target):
                target.unlink(missing_ok=True)
                _sync(self._root)

    def size(self, key: str) -> int | None:
        """Give the object's size in bytes, None when there is none."""
        with _in_words("read"):
            try:
                found = os.lstat(self._path(key))
            except FileNotFoundError:
                return None
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def open(self, key: str) -> BinaryIO:
        """Open the object for reading.

        :raises StoreError: when there is none
        """
        with _in_words("read"):
            return os.fdopen(os.open(self._path(key), _READ), "rb")

    def keys(self) -> Iterator[str]:
        """Give the keys of all objects."""
        with _in_words("read"):
            if not self._root.is_dir():
                return
            with os.scandir(self._root) as entries:
                for entry in entries:
                    if _KEY.fullmatch(entry.name) and entry.is_file(
                        follow_symlinks=False
                    ):
                        yield entry.name

    def _path(self, key: str) -> pathlib.Path:
        if not _KEY.fullmatch(key):
            raise exceptions.StoreError(
                f"{key[:40]!r} is no key of the image store; expected letters,"
                " digits, '.', '_' and '-', at most 200, not a '.' first"
            )
        return self._root / key

    def _make_root(self) -> None:
        self._root.mkdir(mode=0o750, parents=True, exist_ok=True)

    def _remove_parts(self, key: str, fence: int) -> None:
        # First of all: a predecessor frozen before its rename then has
        # nothing to rename. Its successors' parts are not its to remove.
        part = re.compile(rf"\.{re.escape(key)}\.(\d+)\.part")
        with os.scandir(self._root) as entries:
            found = [part.fullmatch(entry.name) for entry in entries]
        for match in found:
            if match and int(match[1]) <= fence:
                (self._root / match[0]).unlink(missing_ok=True)


@contextlib.contextmanager
def _in_words(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        full = error.errno in _FULL
        reason = "no space is left" if full else error.strerror
        raise exceptions.StoreError(
            f"the image store cannot be {what}: {reason}",
            code="store_full" if full else "store_unavailable",
            # Paths are the operator's.
            detail={"cause": str(error)},
        ) from error


@contextlib.contextmanager
def _opened(path: pathlib.Path) -> Iterator[int]:
    source = os.open(path, _READ)
    try:
        yield source
    finally:
        os.close(source)


def _holds(
    target: pathlib.Path, source: int, check: Callable[[], None]
) -> bool:
    """Tell whether the object is there already, from a run that was cut.

    :raises StoreError: when another one is
    """
    try:
        with _opened(target) as found:
            ours, theirs = os.fstat(source), os.fstat(found)
            same = os.path.samestat(ours, theirs) or (
                ours.st_size == theirs.st_size
                and _same_bytes(source, found, ours.st_size, check)
            )
    except FileNotFoundError:
        return False
    if not same:
        raise _occupied()
    return True


def _same_bytes(
    first: int, second: int, size: int, check: Callable[[], None]
) -> bool:
    for offset in range(0, size, _BUFFER):
        check()
        if os.pread(first, _BUFFER, offset) != os.pread(
            second, _BUFFER, offset
        ):
            return False
    return True


def _occupied() -> exceptions.StoreError:
    return exceptions.StoreError(
        "the image store holds other data under the key of this image, which"
        " is never overwritten"
    )


def _link(path: pathlib.Path, target: pathlib.Path) -> bool:
    """Give the file its second name, if the file system can."""
    try:
        os.link(path, target, follow_symlinks=False)
    except OSError as error:
        if error.errno in _NO_LINK:
            return False
        raise
    return True


def _copy(
    source: int,
    part: pathlib.Path,
    stop: ports.StopSignal,
    progress: ports.Progress,
) -> None:
    """Copy a file, its holes as holes, and make the copy durable."""
    size = os.fstat(source).st_size
    buffer = memoryview(bytearray(_BUFFER))
    copy = os.open(part, _NEW, 0o640)
    try:
        for start, end in _data(source, size):
            for offset in range(start, end, _BUFFER):
                stop.check()
                piece = buffer[: min(_BUFFER, end - offset)]
                count = os.preadv(source, [piece], offset)
                _write(copy, piece[:count], offset)
                progress.bytes(offset + count, size)
        os.ftruncate(copy, size)
        os.fsync(copy)
    except BaseException:
        # A run that is stopped, or frozen for long, leaves nothing behind.
        part.unlink(missing_ok=True)
        raise
    finally:
        os.close(copy)


def _give_name(
    part: pathlib.Path, target: pathlib.Path, fence: ports.Fence
) -> None:
    try:
        # A rename, unlike a link, would overwrite.
        if os.path.lexists(target):
            raise _occupied()
        fence.check()
        part.rename(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _data(source: int, size: int) -> Iterator[tuple[int, int]]:
    """Give the stretches of a file that are no holes."""
    end = 0
    while end < size:
        try:
            start = os.lseek(source, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            raise
        end = os.lseek(source, start, os.SEEK_HOLE)
        yield start, end


def _write(copy: int, piece: memoryview, offset: int) -> None:
    while piece:
        count = os.pwrite(copy, piece, offset)
        piece, offset = piece[count:], offset + count


def _sync(directory: pathlib.Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
