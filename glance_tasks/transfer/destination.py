# SPDX-License-Identifier: Apache-2.0
"""What an upload needs of a destination, whatever the scheme of its address.

An object is sent in parts, and appears when it is completed. What was sent
can be asked for, so that a cut upload goes on with the first missing part.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
from typing import Protocol

from glance_tasks import ports
from glance_tasks.transfer import endpoint


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """A piece of the object: its number from 1 on, its bytes, its digest.

    :ivar digest: by the destination's algorithm, lower-case hexadecimal
    """

    number: int
    size: int
    digest: str


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """What is at the address now, as the destination tells or we read it.

    :ivar ours: whether this upload made it
    :ivar proof: whether its digest is that of the parts; None when the
        destination tells no digest
    """

    size: int
    ours: bool
    proof: bool | None


class Destination(Protocol):
    """One object at a destination; ``put`` is called by several threads.

    Every method looks at the stop signal it is given at least once a second.
    It raises :class:`endpoint.Interrupted` when it is worth asking again.
    """

    @property
    def part_size(self) -> int:
        """Bytes of every part but the last."""

    @property
    def algorithm(self) -> str:
        """Name the digest of a part, as hashlib does."""

    @property
    def width(self) -> int:
        """How many parts are sent at once."""

    def parts(self, stop: ports.StopSignal) -> Mapping[int, Part]:
        """Give the parts of this upload that are there, by number."""

    def put(
        self, part: Part, data: memoryview, stop: ports.StopSignal
    ) -> None:
        """Send one part; again replaces it.

        ``data`` may be written over once it has returned, but for the only
        part of an object: that may be sent when it is completed.

        :raises SendError: when the destination has not taken these bytes
        """

    def complete(self, parts: Sequence[Part], stop: ports.StopSignal) -> None:
        """Make the object of all its parts appear; again is harmless.

        :raises SendError: ``destination_exists``, when another object is
            there and must not be replaced
        """

    def look(
        self, parts: Sequence[Part], stop: ports.StopSignal
    ) -> Found | None:
        """Tell what is at the address; None when there is nothing.

        :param parts: of which the object should be made, to know its digest
            by; none when only its being there is asked for
        """

    def remove(self, stop: ports.StopSignal) -> None:
        """Remove what this upload left, whole or half; again is harmless.

        An object that another made is left alone.

        :raises SendError: when something of ours stays
        """

    def close(self) -> None:
        """Let go of what is open; nothing else is asked of it then."""


class Writable(Protocol):
    """An endpoint that can be written to. Shared between threads."""

    def location(self, uri: str, name: str) -> str:
        """Give the address of an object ``name`` under the prefix ``uri``.

        Where an address stands for one object alone, it is that.
        """

    def preflight_send(
        self, uri: str, credentials: endpoint.Credentials | None
    ) -> None:
        """Check what can be known without asking anybody.

        :raises SendError: when the address is refused, or these credentials
            are not what it asks for
        """

    def destination(self, parcel: ports.Parcel) -> Destination:
        """Give the object to be; nobody is asked yet.

        :raises SendError: as :meth:`preflight_send`
        """
