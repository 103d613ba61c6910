# SPDX-License-Identifier: Apache-2.0
"""What knows images, and what holds their bytes."""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import datetime
import pathlib
from typing import BinaryIO
from typing import Protocol

# Images have a field of the module's name.
from glance_tasks import locations as places
from glance_tasks.ports import running


@dataclasses.dataclass(frozen=True, slots=True)
class Image:
    """An image as the catalogue shows it: always whole.

    Times are UTC. Sizes are bytes, ``min_disk`` GiB and ``min_ram`` MiB as in
    Glance. ``location`` is the store's key of the data, that of the first
    active one of ``locations`` with the data that the record tells of; both
    are shown to nobody but the operator.

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
        fence: running.Fence | None = None,
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
        fence: running.Fence | None = None,
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
        stop: running.StopSignal,
        progress: running.Progress,
        fence: running.Fence,
    ) -> int:
        """Store the file under ``key``, whole or not at all; give its size.

        On one file system the bytes are not copied; the caller must not
        write to the file afterwards. Asks the fence right before the object
        appears. Putting the same file again is no error.

        :raises StoreError: when the store refuses it (``store_full``,
            ``store_unavailable``)
        """

    def delete(self, key: str, *, fence: running.Fence) -> None:
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
