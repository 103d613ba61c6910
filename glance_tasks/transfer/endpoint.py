# SPDX-License-Identifier: Apache-2.0
"""What a download needs of a source, whatever the scheme of its address."""

from collections.abc import Mapping
import dataclasses
from typing import Any
from typing import Protocol

from glance_tasks import exceptions
from glance_tasks import ports

#: Seconds for which anything here waits before it looks at the stop signal.
SLICE = 0.25


#: What a scheme asks of those who log in, as its endpoint documents it.
Credentials = Mapping[str, Any]


class Interrupted(exceptions.FetchError):
    """The source failed in a way that may pass: asking again is worth it."""


class SourceChanged(Exception):
    """The file at the source is another one than when reading began."""


@dataclasses.dataclass(frozen=True, slots=True)
class Identity:
    """What tells one version of a file at its source from another.

    :ivar validator: the same for the same bytes; None when the source gives
        nothing that can be relied on, so that reading cannot be resumed
    :ivar length: in bytes; None when the source does not say
    """

    validator: str | None
    length: int | None


class Stream(Protocol):
    """The bytes of a file from ``offset`` on; used by one thread."""

    @property
    def identity(self) -> Identity:
        """What the source says the file is."""

    @property
    def offset(self) -> int:
        """Where the first byte read lies in the file.

        0 instead of what was asked for, when the source cannot go on there.
        """

    def readinto(self, view: memoryview) -> int:
        """Read what has come, at least a byte; 0 at the end of the file.

        :raises Interrupted: when the bytes stop before the end
        :raises FetchError: when the source breaks its own rules
        :raises SourceChanged: when what was read so far is of no use
        """

    def close(self) -> None:
        """Let go of the source."""


class Endpoint(Protocol):
    """Opens the addresses of one scheme. Shared between threads."""

    def preflight(self, uri: str) -> None:
        """Check what can be known without asking anybody.

        :raises FetchError: when the address is refused
        """

    def open(
        self,
        uri: str,
        offset: int,
        known: Identity | None,
        stop: ports.StopSignal,
        credentials: Credentials | None = None,
    ) -> Stream:
        """Open ``uri``, at ``offset`` if it is still what is ``known``.

        :param credentials: None reads what anybody may
        :raises Interrupted: when it is worth asking again
        :raises FetchError: when it is not
        """
