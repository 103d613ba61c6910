# SPDX-License-Identifier: Apache-2.0
"""The outside world as Protocols: what the library needs, not who gives it.

The ``adapters`` fill these in; a service may hand in its own. Everything here
is called from the threads that run tasks, several at a time, so every
implementation must be safe to share between threads.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import AbstractContextManager
import dataclasses
import datetime
import pathlib
from typing import Any
from typing import BinaryIO
from typing import NoReturn
from typing import Protocol
from typing import TypedDict

# Images have a field of the module's name.
from glance_tasks import locations as places


class Artifact(TypedDict, total=False):
    """A file an atom leaves in the work directory, as JSON for the next one.

    ``name`` is relative to the work directory, because another conductor has
    its work directory elsewhere. Digests are lower-case hexadecimal, and
    those that were not computed are absent.

    ``sha256`` is for the atoms alone: Glance shows ``checksum``, which is the
    MD5, and the hash. So is ``spent``: the name of a file that this one was
    made from, and that nobody needs any more once this is checkpointed.

    ``content_digest`` is the guest content digest, ``gcd1:HEX``: of the disk
    inside, whatever the format.
    """

    name: str
    size: int
    checksum: str
    sha256: str
    spent: str
    os_hash_algo: str
    os_hash_value: str
    disk_format: str
    virtual_size: int
    content_digest: str


class StopSignal(Protocol):
    """Tells a running atom that it must leave.

    Look at it at least once a second; leave by letting :meth:`check` raise.
    """

    def check(self) -> None:
        """Return at once while the run may go on.

        :raises RunInterrupted: when the atom must leave, as if it had died
        :raises TaskError: when the task's verdict is in and it must revert
        """

    def undoing(self) -> AbstractContextManager[None]:
        """While it is open, :meth:`check` raises no verdict in this thread."""

    def wait(self, seconds: float) -> None:
        """Wait that long, or until :meth:`check` would raise, and check."""


class Fence(Protocol):
    """Asked before an effect that a successor must not suffer from."""

    @property
    def number(self) -> int:
        """This run's number; that of any successor is larger."""

    def check(self) -> None:
        """Ask the database whether this run still holds the task.

        :raises LeaseLost: when it does not
        """


class Progress(Protocol):
    """Takes the progress of the atom at work; cheap enough for every chunk."""

    def bytes(self, done: int, total: int | None) -> None:
        """Report ``done`` of ``total`` bytes; None while it is not known."""

    def advanced(self) -> None:
        """Report that what is on disk now would survive this process.

        A task that advances between two deaths is not stuck: the death does
        not count as an attempt.
        """


class EventLog(Protocol):
    """Takes what happened to a task, for its timeline."""

    def append(
        self,
        kind: str,
        text: str = "",
        *,
        atom: str | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        """Note one event.

        :param kind: one word, such as ``atom_finished``
        :param text: one scrubbed line
        :param detail: JSON for the operator, scrubbed
        """


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
        stop: StopSignal,
        progress: Progress,
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
class Parcel:
    """What is to be sent and where to; the same in every run of its task.

    :ivar uri: of the object that is to be
    :ivar token: what tells objects of this task from others'
    :ivar size: of the object, in bytes
    :ivar md5: of the object, lower-case hexadecimal
    :ivar overwrite: whether an object that is there may be replaced
    :ivar credentials: as the scheme asks for them; None where the address
        itself is the permission
    """

    uri: str = dataclasses.field(repr=False)
    token: str
    size: int
    md5: str
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
        stop: StopSignal,
        progress: Progress,
        fence: Fence,
    ) -> Sent:
        """Send the file, going on where a cut left; it appears whole.

        :raises SendError: when it has not arrived, or another object is there
        :raises ChecksumMismatch: when the file is not what was announced
        """

    def remove(self, parcel: Parcel, *, stop: StopSignal) -> None:
        """Remove what :meth:`send` left at the destination, whole or half.

        Removing what is not there is no error; what another made stays.

        :raises SendError: when something of ours stays
        """


@dataclasses.dataclass(frozen=True, slots=True)
class Image:
    """An image as the catalogue shows it: always whole.

    Times are UTC. Sizes are bytes, ``min_disk`` GiB and ``min_ram`` MiB as in
    Glance. ``location`` is the store's key of the data, that of the first
    active one of ``locations``; both are shown to nobody but the operator.

    :ivar locations: where its data is; when none are given, one in the
        default store
    """

    id: str
    owner: str
    disk_format: str
    container_format: str
    size: int
    virtual_size: int
    checksum: str
    os_hash_algo: str
    os_hash_value: str
    location: str
    name: str | None = None
    visibility: str = "shared"
    min_disk: int = 0
    min_ram: int = 0
    protected: bool = False
    tags: tuple[str, ...] = ()
    properties: Mapping[str, str] = dataclasses.field(default_factory=dict)
    status: str = "active"
    created_at: datetime.datetime | None = None
    updated_at: datetime.datetime | None = None
    locations: places.Locations = ()

    def __post_init__(self) -> None:
        if not self.locations:
            # Frozen; and a default cannot look at the other fields.
            object.__setattr__(self, "locations", (self.located(),))

    def located(self, store: str = "") -> places.Location:
        """Give the active location of the data as this record tells of it.

        :param store: the store's name; empty for the default one
        """
        return places.Location(
            self.location,
            store,
            disk_format=self.disk_format,
            container_format=self.container_format,
            size=self.size,
            virtual_size=self.virtual_size,
            checksum=self.checksum,
            os_hash_algo=self.os_hash_algo,
            os_hash_value=self.os_hash_value,
        )

    @property
    def is_in_default_store(self) -> bool:
        """Whether the data is there alone, as this record tells of it."""
        return self.locations == (self.located(),)


#: Projects that an image is shared with, and what they say to it: Glance's
#: pending, accepted or rejected.
Members = Mapping[str, str]


class ProjectDirectory(Protocol):
    """Knows which projects there are."""

    def exists(self, project_id: str) -> bool | None:
        """Tell whether there is one; None when that cannot be told."""


class ImageCatalog(Protocol):
    """Knows images. A record is visible whole or not at all."""

    def publish(self, image: Image, fence: int) -> None:
        """Make ``image`` visible; again with the same id changes nothing.

        :raises LeaseLost: when a larger fence has touched this id
        :raises CatalogueError: when the catalogue fails, or the id is taken
            by an image this task did not make (code ``image_exists``)
        """

    def withdraw(self, image_id: str, fence: int) -> None:
        """Remove the image and never let a smaller fence publish it.

        Removing what is not there is no error.

        :raises LeaseLost: when a larger fence has touched this id
        :raises CatalogueError: when the catalogue fails
        """

    def change_locations(
        self,
        image_id: str,
        change: places.Change,
        *,
        fence: Fence | None = None,
    ) -> Image:
        """Change where an image's data is, and its status with that.

        Nobody else's change is lost: where one came between, this one is
        made anew on top of it. An image all of whose locations are deleted is
        gone for good, its id is never used again.

        :param change: gives new locations for old ones, and may be called
            several times
        :param fence: of the run that asks; it is asked after the locations
            were read, and a run that has lost its task changes nothing.
            None for an operator
        :returns: the image as it is then
        :raises ImageNotFound: when there is none of that id, hidden or not
        :raises LeaseLost: when the fence says so
        :raises CatalogueError: when the catalogue fails, or ``change`` does
        """

    def members(self, image_id: str) -> Members:
        """Give the projects that an image is shared with.

        :raises CatalogueError: when the catalogue fails
        """

    def change_members(
        self,
        image_id: str,
        change: Callable[[Members], Members],
        *,
        fence: Fence | None = None,
    ) -> Members:
        """Change with whom an image is shared.

        As :meth:`change_locations` does; ``change`` may be called several
        times.

        :returns: the members as they are then
        :raises ImageNotFound: when there is no active image of that id
        :raises LeaseLost: when the fence says so
        :raises CatalogueError: when the catalogue fails
        """

    def get(self, image_id: str, *, hidden: bool = False) -> Image:
        """Give one image.

        :param hidden: whether it may be one that is not active, such as one
            whose deletion is pending
        :raises ImageNotFound: when there is none of that id
        :raises CatalogueError: when the catalogue fails
        """

    def find(
        self,
        *,
        limit: int = 25,
        marker: str | None = None,
        hidden: bool = False,
    ) -> Sequence[Image]:
        """List images, newest first, those after ``marker``.

        :param hidden: whether to list those too that are not active
        """


class ImageStore(Protocol):
    """Holds the bytes of images under keys chosen by us."""

    def preflight(self) -> None:
        """Check that the store can be written to.

        :raises StoreError: when it cannot
        """

    def put(
        self,
        key: str,
        path: pathlib.Path,
        *,
        stop: StopSignal,
        progress: Progress,
        fence: Fence,
    ) -> int:
        """Store the file under ``key``, whole or not at all; give its size.

        On one file system the bytes are not copied; the caller must not
        write to the file afterwards. Asks the fence right before the object
        appears. Putting the same file again is no error.

        :raises StoreError: when the store refuses it (``store_full``,
            ``store_unavailable``)
        """

    def delete(self, key: str, *, fence: Fence) -> None:
        """Delete the object and any trace of a half-done :meth:`put`.

        Deleting what is not there is no error.
        """

    def size(self, key: str) -> int | None:
        """Give the object's size in bytes, None when there is none."""

    def open(self, key: str) -> BinaryIO:
        """Open the object for reading.

        :raises StoreError: when there is none
        """

    def keys(self) -> Iterator[str]:
        """Give the keys of all objects."""


# --- secrets -----------------------------------------------------------------


class Secret:
    """A value that only an atom at work may see.

    It shows itself as ``***``, is no JSON and cannot be pickled or copied.
    """

    __slots__ = ("_reveal",)

    def __init__(self, reveal: Callable[[], Any]) -> None:
        """Have ``reveal`` give the value, each time it is asked for."""
        self._reveal = reveal

    def reveal(self) -> Any:
        """Give the value, JSON; keep it no longer than you need it.

        What was revealed is struck from the failures, events and logs of the
        run, and refused in results.

        :raises SecretLocked: when it cannot be read now; let it pass: the
            task waits
        """
        return self._reveal()

    def __repr__(self) -> str:
        return "***"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret cannot be pickled or copied")


@dataclasses.dataclass(frozen=True, slots=True)
class KeptSecret:
    """What the database keeps of a secret.

    :ivar key_id: of the key, or the place, that it is kept with
    :ivar sealed: the value, encrypted; or where it lies
    """

    key_id: str
    sealed: bytes


class SecretStore(Protocol):
    """Keeps secrets of tasks until they end.

    Every method raises ``SecretsUnavailable``, with a text for the operator,
    when a key is missing or the store is away.
    """

    @property
    def elsewhere(self) -> bool:
        """Whether values lie outside our database, and must be forgotten."""

    def keep(self, task_id: str, name: str, value: bytes) -> KeptSecret:
        """Keep a value, so that only this task's secret of this name is it."""

    def reveal(self, task_id: str, name: str, kept: KeptSecret) -> bytes:
        """Give the value back."""

    def forget(self, task_id: str, name: str, kept: KeptSecret | None) -> None:
        """Remove a value that lies elsewhere; absence is no error.

        :param kept: None when :meth:`keep` was cut: whatever it left
        """
