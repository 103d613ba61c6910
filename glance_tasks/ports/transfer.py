# SPDX-License-Identifier: Apache-2.0
"""The ways in and out for bytes."""

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import pathlib
from typing import Any
from typing import Protocol

from glance_tasks.ports import running


@dataclasses.dataclass(frozen=True, slots=True)
class Fetched:
    """What a fetch left behind.

    :ivar size: in bytes
    :ivar digests: algorithm name to lower-case hexadecimal
    :ivar refetched: bytes asked for again because an earlier run was cut
    """

    size: int
    digests: Mapping[str, str]
    refetched: int = 0


class Fetcher(Protocol):
    """The one guarded way in for bytes from elsewhere."""

    def preflight(self, uri: str) -> None:
        """Check what can be known of ``uri`` without asking anybody.

        :raises FetchError: when its scheme, port, address or path is refused
        """

    def fetch(
        self,
        uri: str,
        path: pathlib.Path,
        *,
        algorithms: Sequence[str],
        max_bytes: int,
        stop: running.StopSignal,
        progress: running.Progress,
        credentials: Mapping[str, Any] | None = None,
    ) -> Fetched:
        """Bring the bytes of ``uri`` to ``path``, going on where a cut left.

        The ledger of what is verified lies beside ``path``.

        :param credentials: as the scheme of ``uri`` asks for them
        :param algorithms: digests to compute while the bytes pass
        :raises FetchError: when they cannot be had
        :raises DiskFull: when there is no room for them
        """


@dataclasses.dataclass(frozen=True, slots=True)
class Staged:
    """How far a task's bytes have been handed in.

    :ivar size: bytes that are there for good: where to go on
    :ivar whole: whether they are all there are
    :ivar changed_at: when the last ones came, in seconds since 1970; None
        when none ever did
    """

    size: int = 0
    whole: bool = False
    changed_at: float | None = None


class Staging(Protocol):
    """Where bytes lie that are handed in, until their task takes them."""

    def staged(self, task_id: str) -> Staged:
        """Tell how far the bytes of a task are there.

        :raises OSError: when that cannot be read
        """

    def bring(
        self,
        task_id: str,
        path: pathlib.Path,
        *,
        algorithms: Sequence[str],
        stop: running.StopSignal,
        progress: running.Progress,
    ) -> Fetched:
        """Have bytes that are whole at ``path`` too, where no one writes.

        A ledger beside it says so.

        :param algorithms: of the digests to give
        :raises DiskFull: when there is no room for them
        :raises OSError: when they cannot be read or written
        """

    def verified(
        self,
        task_id: str,
        path: pathlib.Path,
        *,
        algorithms: Sequence[str],
        stop: running.StopSignal,
        progress: running.Progress,
    ) -> Fetched | None:
        """Read the bytes that another task's service had handed in.

        :param task_id: of that task
        :param path: of the file, with its ledger
        :returns: None when they are not whole, or not those any more
        """

    def sweep(self, task_id: str) -> None:
        """Remove what was handed in for a task; absence is no error."""


class StagingCache(Protocol):
    """What failed tasks had brought from outside, for their retries."""

    def keep(self, task_id: str, home: pathlib.Path) -> bool:
        """Move the directory of what a task had brought into the cache.

        The oldest ones go where they would be too many together.

        :returns: whether it was kept; if not it stays where it is
        """

    def lend(
        self, task_ids: Iterable[str], path: pathlib.Path
    ) -> tuple[str, int] | None:
        """Put what is kept of one of some tasks at ``path``, as it is.

        Nothing is verified: that is for whoever reads the ledger.

        :param task_ids: the first of them of which there is something
        :returns: whose it is, and how many bytes its ledger vouches for; None
            when there is nothing, or at ``path`` something already
        """

    def empty(self) -> bool:
        """Remove everything, for want of room; tell if there was any."""

    def sweep(self, task_id: str) -> None:
        """Remove what is kept of a task; absence is no error."""


@dataclasses.dataclass(frozen=True, slots=True)
class Parcel:
    """What is to be sent and where to; but for its number, the same in every
    run of its task.

    :ivar uri: of the object that is to be
    :ivar token: what tells objects of this task from others'
    :ivar size: of the object, in bytes
    :ivar md5: of the object, lower-case hexadecimal
    :ivar os_hash: another digest of it, as algorithm and lower-case
        hexadecimal, by which the file is checked while it is sent: sha512 is
        computed at 930 MiB/s here, and md5 at 570; None checks by ``md5``
    :ivar number: of this run of the task; that of a later one is larger
    :ivar overwrite: whether an object that is there may be replaced
    :ivar credentials: as the scheme asks for them; None where the address
        itself is the permission
    """

    uri: str = dataclasses.field(repr=False)
    token: str
    size: int
    md5: str
    os_hash: tuple[str, str] | None = None
    number: int = 0
    overwrite: bool = False
    credentials: Mapping[str, Any] | None = dataclasses.field(
        default=None, repr=False
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Sent:
    """What has arrived at a destination, verified there.

    :ivar size: of the object, in bytes
    :ivar sent: bytes that this run sent; less after a cut
    """

    uri: str = dataclasses.field(repr=False)
    size: int
    sent: int


class Sender(Protocol):
    """The one guarded way out for bytes."""

    def location(self, uri: str, name: str) -> str:
        """Give the address of an object ``name`` under the prefix ``uri``.

        Where an address stands for one object alone, it is that.

        :raises SendError: when its scheme is refused
        """

    def preflight(
        self, uri: str, credentials: Mapping[str, Any] | None = None
    ) -> None:
        """Check what can be known of ``uri`` without asking anybody.

        :raises SendError: when it is refused, or these credentials are not
            what its scheme asks for
        """

    def send(
        self,
        parcel: Parcel,
        path: pathlib.Path,
        *,
        stop: running.StopSignal,
        progress: running.Progress,
        fence: running.Fence,
    ) -> Sent:
        """Send the file, going on where a cut left; it appears whole.

        :raises SendError: when it has not arrived, or another object is there
        :raises ChecksumMismatch: when the file is not what was announced
        """

    def remove(self, parcel: Parcel, *, stop: running.StopSignal) -> None:
        """Remove what :meth:`send` left at the destination, whole or half.

        Removing what is not there is no error; what another made stays.

        :raises SendError: when something of ours stays
        """


class TempUrls(Protocol):
    """Gives addresses by which anybody may read what one task offers."""

    def address(self, task_id: str) -> str:
        """Give the address; it is good until the task expires.

        :raises SecretsUnavailable: when it cannot be signed now
        """
