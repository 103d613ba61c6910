# SPDX-License-Identifier: Apache-2.0
"""file sources: regular files under the directories the deployer named."""

import errno
import os
import pathlib
import stat
from urllib import parse

from glance_tasks import exceptions
from glance_tasks import ports
from glance_tasks import redaction
from glance_tasks.transfer import below
from glance_tasks.transfer import client
from glance_tasks.transfer import endpoint
from glance_tasks.transfer import file_destination
from glance_tasks.transfer import rules as fetch_rules

# O_NONBLOCK: opening a FIFO that somebody put there must not wait.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

_FAILURES = {
    errno.ENOENT: ("is not there", "source_not_found"),
    errno.ENOTDIR: ("is not there", "source_not_found"),
    errno.EACCES: ("may not be read by this service", "source_denied"),
    errno.EPERM: ("may not be read by this service", "source_denied"),
    # A link was put into a path that had none when it was resolved.
    errno.ELOOP: ("leads out of where it may", "source_not_allowed"),
}


def _in_words(uri: str, error: OSError) -> exceptions.FetchError:
    what, code = _FAILURES.get(
        error.errno or 0, ("cannot be read", "source_unavailable")
    )
    return exceptions.FetchError(
        f"{redaction.plain_uri(uri)} {what}",
        code=code,
        detail={"errno": error.errno},
    )


def _identity(found: os.stat_result) -> endpoint.Identity:
    version = f"{found.st_dev}-{found.st_ino}-{found.st_mtime_ns}"
    return endpoint.Identity(version, found.st_size)


class FileStream:
    """An open file, read from an offset."""

    def __init__(
        self, uri: str, fd: int, offset: int, stop: ports.StopSignal
    ) -> None:
        """Take over a descriptor; :meth:`close` closes it."""
        self._uri, self._fd, self._stop = uri, fd, stop
        self._identity = _identity(os.fstat(fd))
        self._offset = self._position = offset

    @property
    def identity(self) -> endpoint.Identity:
        """Device, inode, time of change and size when it was opened."""
        return self._identity

    @property
    def offset(self) -> int:
        """Where reading began."""
        return self._offset

    def readinto(self, view: memoryview) -> int:
        """Read what there is; see :class:`endpoint.Stream`."""
        self._stop.check()
        try:
            count = os.preadv(self._fd, [view], self._position)
        except OSError as error:
            raise _in_words(self._uri, error) from error
        self._position += count
        ended = not count or self._position > (self._identity.length or 0)
        if ended and _identity(os.fstat(self._fd)) != self._identity:
            raise endpoint.SourceChanged
        return count

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


class FileEndpoint:
    """Opens file addresses. Shared between threads."""

    def __init__(
        self, rules: fetch_rules.FetchRules, web: client.HttpClient
    ) -> None:
        """Keep the rules.

        :param web: not used; every endpoint is made with it
        """
        self._rules = rules

    def preflight(self, uri: str) -> None:
        """Check where the path leads; whether it exists is not told."""
        self._place(uri)

    def open(
        self,
        uri: str,
        offset: int,
        known: endpoint.Identity | None,
        stop: ports.StopSignal,
        credentials: endpoint.Credentials | None = None,
    ) -> FileStream:
        """Open the file; see :class:`endpoint.Endpoint`."""
        root, inner = self._place(uri)
        try:
            fd = _open_below(root, inner)
        except OSError as error:
            raise _in_words(uri, error) from error
        if fd is None:
            raise fetch_rules.refusal(
                f"{redaction.plain_uri(uri)} is not a regular file"
            )
        same = known == _identity(os.fstat(fd))
        return FileStream(uri, fd, offset if same else 0, stop)

    def location(self, uri: str, name: str) -> str:
        """Give the address of a file in the directory ``uri``."""
        return f"{uri.rstrip('/')}/{name}"

    def preflight_send(
        self, uri: str, credentials: endpoint.Credentials | None
    ) -> None:
        """Check where the path leads, and that it needs no credentials."""
        self._place(self.location(uri, "name"))
        if credentials:
            raise exceptions.SendError(
                "a file:// destination takes no credentials; leave them out",
                code="destination_denied",
            )

    def destination(
        self, parcel: ports.Parcel
    ) -> file_destination.FileDestination:
        """Give the file to be."""
        root, inner = self._place(parcel.uri)
        return file_destination.FileDestination(
            parcel, self._rules, root, inner
        )

    def _place(self, uri: str) -> tuple[pathlib.Path, pathlib.Path]:
        """Give the root a path lies under, and the path below that root."""
        self._rules.check_scheme(uri)
        path = _path(uri)
        for name in self._rules.file_roots:
            root = pathlib.Path(os.path.realpath(name))
            if path != root and path.is_relative_to(root):
                return root, path.relative_to(root)
        raise fetch_rules.refusal(
            f"{redaction.plain_uri(uri)} lies under no directory that is"
            " open to this"
        )


def _path(uri: str) -> pathlib.Path:
    try:
        parts = parse.urlsplit(uri)
        path = os.fsdecode(parse.unquote_to_bytes(parts.path))
        if (
            parts.netloc not in ("", "localhost")
            or parts.query
            or not path.startswith("/")
        ):
            raise ValueError(uri)
        return pathlib.Path(os.path.realpath(path))
    except (ValueError, OSError) as error:
        raise fetch_rules.refusal(
            "the address of the file is malformed; expected"
            " file:///directory/name without a host or a query"
        ) from error


def _open_below(root: pathlib.Path, inner: pathlib.Path) -> int | None:
    """Open a file below ``root`` without following any link.

    :returns: None when it is no regular file
    """
    with below.directory(root, inner.parent) as directory:
        return _open_regular(inner.name, directory)


def _open_regular(name: str, directory: int) -> int | None:
    found = os.stat(name, dir_fd=directory, follow_symlinks=False)
    if not stat.S_ISREG(found.st_mode):
        # Not even opened: opening a device may move it.
        return None
    fd = os.open(name, _FILE, dir_fd=directory)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    return None
