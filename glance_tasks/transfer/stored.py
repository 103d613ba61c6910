# SPDX-License-Identifier: Apache-2.0
"""Objects of our own image stores, read as a download reads a source.

An object never changes under its key, and copies of an image are known by
their digest: what one store sent the first half of another one may go on with.
"""

import time
from typing import BinaryIO
from typing import Protocol

from glance_tasks import exceptions
from glance_tasks import ports
from glance_tasks.transfer import endpoint


class Opener(Protocol):
    """Opens what it keeps under a key."""

    def open(self, key: str) -> BinaryIO:
        """Open the bytes under ``key``, from their beginning.

        :raises StoreError: when they are not there
        """


class ObjectStream:
    """An open object, read from an offset."""

    def __init__(
        self, file: BinaryIO, identity: endpoint.Identity, offset: int
    ) -> None:
        """Take over a file; :meth:`close` closes it."""
        self._file, self._identity, self._offset = file, identity, offset
        file.seek(offset)

    @property
    def identity(self) -> endpoint.Identity:
        """The image's digest and size."""
        return self._identity

    @property
    def offset(self) -> int:
        """Where reading began."""
        return self._offset

    def readinto(self, view: memoryview) -> int:
        """Read what there is; see :class:`endpoint.Stream`."""
        try:
            # A file of BinaryIO has only read().
            data = self._file.read(len(view))
        except OSError as error:
            raise _unreadable(error) from error
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class ObjectEndpoint:
    """Opens one object; the address it is given is only a name for it.

    For one thread.

    :ivar latency: seconds until the object was open, the last time
    """

    def __init__(
        self, store: Opener, key: str, identity: endpoint.Identity
    ) -> None:
        """Read ``key`` of ``store``.

        :param identity: of the image, the same for all its copies
        """
        self._store, self._key, self._identity = store, key, identity
        self.latency = 0.0

    def preflight(self, uri: str) -> None:
        """Check nothing: the object is one of ours."""

    def open(
        self,
        uri: str,
        offset: int,
        known: endpoint.Identity | None,
        stop: ports.StopSignal,
        credentials: endpoint.Credentials | None = None,
    ) -> ObjectStream:
        """Open the object; see :class:`endpoint.Endpoint`."""
        start = offset if known == self._identity else 0
        file = self.opened()
        try:
            return ObjectStream(file, self._identity, start)
        except OSError as error:
            file.close()
            raise _unreadable(error) from error

    def opened(self) -> BinaryIO:
        """Open the object as a file, from its beginning.

        :raises StoreError: when the store does not give it
        """
        began = time.monotonic()
        try:
            file = self._store.open(self._key)
        except OSError as error:
            raise _unreadable(error) from error
        self.latency = time.monotonic() - began
        return file


def _unreadable(error: OSError) -> exceptions.StoreError:
    return exceptions.StoreError(
        f"the image store cannot be read: {error.strerror}",
        # Paths are the operator's.
        detail={"cause": str(error)},
    )
