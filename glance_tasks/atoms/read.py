# SPDX-License-Identifier: Apache-2.0
"""Bringing the data of an image that there is to the work directory."""

from collections.abc import Mapping
from typing import Any
from typing import ClassVar

from glance_tasks import exceptions
from glance_tasks import ledger
from glance_tasks import merkle
from glance_tasks import plugin
from glance_tasks import ports
from glance_tasks.atoms import artifact
from glance_tasks.imagefile import borrowing
from glance_tasks.imagefile import formats

_NAME = "read"

# What anybody may read. Who the members of a shared image are the catalogue
# does not tell, so only its owner does.
_OPEN = frozenset({"public", "community"})


class ReadImage(plugin.Atom):
    """Bring an image's data into the work directory, and look it is whole.

    Where the file system can it is not copied but linked, and nobody may
    write to it. Provides ``fetched``, ``source_format`` and
    ``image_properties``: those that an image made of it has from it.

    Reverting removes the file.
    """

    behaviour: ClassVar[plugin.Behaviour] = "idempotent"
    in_work_dir: ClassVar[bool] = True
    default_provides = ("fetched", "source_format", "image_properties")

    def execute(
        self, source_image_id: str, name: str | None = None
    ) -> tuple[ports.Artifact, str, dict[str, Any]]:
        """Give the file, its format and the properties.

        :param name: of the image that is made; None takes that of this one
        :raises TaskError: ``image_not_found`` when the task's owner may read
            no such image, ``image_damaged`` when its data has changed
        :raises StoreError: when the store does not give it
        :raises CatalogueError: when the catalogue fails
        """
        image = self._image(source_image_id)
        try:
            found = self._borrow(image)
        except OSError:
            # A successor moves the work directory of a frozen run away.
            self.run.fence.check()
            raise
        _require_whole(image, found)
        properties = _inherited(image)
        if name is not None:
            properties["name"] = name
        return _artifact(image, found), image.disk_format, properties

    def _image(self, image_id: str) -> ports.Image:
        try:
            image = self.run.catalogue.get(image_id)
        except exceptions.ImageNotFound as error:
            raise _unknown(image_id) from error
        if image.owner != self.run.task.owner and (
            image.visibility not in _OPEN
        ):
            raise _unknown(image_id)
        return image

    def _borrow(self, image: ports.Image) -> borrowing.Borrowed:
        algorithms = {image.os_hash_algo}
        if image.disk_format in formats.PLAIN:
            # Of other formats it would take another pass, over the disk.
            algorithms.add(merkle.NAME)
        # A file is removed below; a successor may have made it.
        self.run.fence.check()
        path = self.run.work_dir / _NAME
        ledger.remove(path)
        with self.run.store.open(image.location) as source:
            return borrowing.borrow(
                source,
                path,
                algorithms,
                size=image.size,
                stop=self.run.stop,
                progress=self.run.progress,
            )

    def holds(self, result: Any) -> bool:
        """Tell whether the file is there in its full size."""
        try:
            size = (self.run.work_dir / _NAME).stat().st_size
            return bool(size == result[0]["size"])
        except (OSError, TypeError, LookupError):
            return False

    def revert(self, **kwargs: Any) -> None:
        """Remove the file; the image stays as it is."""
        self.run.fence.check()
        ledger.remove(self.run.work_dir / _NAME)


def _unknown(image_id: str) -> exceptions.TaskError:
    return exceptions.TaskError(
        f"there is no image {image_id} that this project may read",
        code="image_not_found",
    )


def _require_whole(image: ports.Image, found: borrowing.Borrowed) -> None:
    digest = found.digests[image.os_hash_algo]
    if (found.size, digest) == (image.size, image.os_hash_value):
        return
    raise exceptions.TaskError(
        f"the data of image {image.id} has {found.size} bytes and the"
        f" {image.os_hash_algo} digest {digest}; expected {image.size} and"
        f" {image.os_hash_value}",
        code="image_damaged",
    )


def _artifact(image: ports.Image, found: borrowing.Borrowed) -> ports.Artifact:
    read = artifact.described(_NAME, found.size, found.digests)
    read["checksum"] = image.checksum
    read["os_hash_algo"] = image.os_hash_algo
    read["os_hash_value"] = image.os_hash_value
    read["disk_format"] = image.disk_format
    read["virtual_size"] = image.virtual_size
    return read


def _inherited(image: ports.Image) -> dict[str, Any]:
    """Give what an image made of this one has from it.

    Who may see it is for the new owner to say, and so is its protection.
    """
    inherited: Mapping[str, Any] = {
        "name": image.name,
        "min_disk": image.min_disk,
        "min_ram": image.min_ram,
        "tags": list(image.tags),
    }
    return {**image.properties, **inherited}
