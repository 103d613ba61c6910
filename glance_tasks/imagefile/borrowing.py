# SPDX-License-Identifier: Apache-2.0
"""An object of a store as a file to read, without a copy where that can be.

On one file system it is a link to the object itself, which nobody may write
to.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
import contextlib
import errno
import io
import os
import pathlib
from typing import BinaryIO

from glance_tasks import digest
from glance_tasks import directio
from glance_tasks import ledger
from glance_tasks import ports
from glance_tasks.imagefile import raw

# Another file system or none, one without hard links, a link that
# fs.protected_hardlinks forbids, or an object that was deleted just now: then
# the bytes are copied.
_NO_LINK = {
    *(errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOENT)
}


def link(source: BinaryIO, path: pathlib.Path) -> bool:
    """Give the file behind ``source`` another name, if it has one at all.

    :param path: where nothing is; nobody may write to what is there then
    :returns: whether there is one now; else it can only be copied
    """
    try:
        descriptor = source.fileno()
    except (AttributeError, io.UnsupportedOperation):
        return False
    try:
        # Without a descriptor for its directory, which an absolute path needs
        # not, Python 3.13 does not follow the link that /proc has for a file.
        os.link(
            f"/proc/self/fd/{descriptor}",
            path.absolute(),
            src_dir_fd=descriptor,
            follow_symlinks=True,
        )
    except OSError as error:
        if error.errno in _NO_LINK:
            return False
        raise
    return True


def hashed(
    path: pathlib.Path,
    algorithms: Iterable[str],
    *,
    size: int,
    stop: ports.StopSignal,
    progress: ports.Progress,
) -> Mapping[str, str]:
    """Read the file at ``path``, which is no symbolic link, and hash it.

    :param algorithms: of digests to compute, see :func:`digest.fresh_states`
    :param size: that it should have, in bytes, to show the progress of
    :returns: the digests
    :raises OSError: when it cannot be read
    """
    states = digest.fresh_states(algorithms)
    with digest.opened(path) as fd, digest.Digests(states) as digests:
        end = os.fstat(fd).st_size
        passed = _passing(progress, size)
        digest.hash_file(digests, fd, 0, end, stop.check, passed)
        return digests.hexdigests()


def copy(
    source: BinaryIO,
    path: pathlib.Path,
    *,
    size: int,
    stop: ports.StopSignal,
    progress: ports.Progress,
) -> None:
    """Have a copy of what ``source`` reads at ``path``, where nothing is.

    It has holes where there are zeros, and is durable.

    :param size: that it should have, in bytes, to show the progress of
    :raises OSError: when it cannot be read or written
    """
    passed = _passing(progress, size)
    with contextlib.ExitStack() as stack:
        fd = ledger.create_file(path)
        stack.callback(os.close, fd)
        writer = directio.Writer(fd)
        stack.callback(writer.close)

        def write(piece: memoryview, offset: int) -> None:
            raw.write_sparse(writer, piece, offset, skip=True)

        digests = digest.Digests({}, write=write)
        stack.enter_context(digests)
        while count := _read(source, buffer := digests.buffer(stop.check)):
            stop.check()
            digests.update(buffer[:count])
            passed(digests.offset)
        digests.hexdigests()
        os.ftruncate(fd, digests.offset)
        os.fdatasync(fd)


def _passing(progress: ports.Progress, size: int) -> Callable[[int], None]:
    return lambda offset: progress.bytes(min(offset, size), size)


def _read(source: BinaryIO, buffer: memoryview) -> int:
    """Fill a buffer: holes are made of whole blocks.

    :returns: how many bytes there were
    """
    done = 0
    while done < len(buffer):
        data = source.read(len(buffer) - done)
        if not data:
            break
        buffer[done : done + len(data)] = data
        done += len(data)
    return done
