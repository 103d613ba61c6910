# SPDX-License-Identifier: Apache-2.0
"""Bringing the data of an image that there is to the work directory."""

from collections.abc import Collection
from collections.abc import Mapping
import logging
import time
from typing import Any
from typing import ClassVar

from glance_tasks import context
from glance_tasks import exceptions
from glance_tasks import ledger
from glance_tasks import locations
from glance_tasks import merkle
from glance_tasks import plugin
from glance_tasks import ports
from glance_tasks.atoms import artifact
from glance_tasks.imagefile import borrowing
from glance_tasks.imagefile import formats
from glance_tasks.transfer import download
from glance_tasks.transfer import endpoint
from glance_tasks.transfer import order
from glance_tasks.transfer import rules as fetch_rules
from glance_tasks.transfer import stored


class _Damaged(exceptions.TaskError):
    """A copy of the image is not what it was."""

    code = "image_damaged"


LOG = logging.getLogger(__name__)

# Apart, because nobody may ever write to a link: it is the store's own file.
_LINK, _COPY = "linked", "read"

_OPEN = frozenset({"public", "community"})

#: What one copy fails with that another one may not fail with.
_BAD_COPY = (exceptions.StoreError, exceptions.FetchError, _Damaged)


class ReadImage(plugin.Atom):
    """Bring an image's data into the work directory, and look it is whole.

    Takes the copy that is read fastest; one that cannot be read, or is not
    whole, is left for the next. Where the file system can it is not copied but
    linked, and nobody may write to it; else it goes on where a run was cut.
    Where nobody reads the bytes before they are sent, which computes their
    digest, it is left to that: a link then takes no time, however large.
    Provides ``fetched``, ``source_format`` and ``image_properties``: those
    that an image made of it has from it.

    Reverting removes the file.
    """

    behaviour: ClassVar[plugin.Behaviour] = "resumable"
    in_work_dir: ClassVar[bool] = True
    default_provides = ("fetched", "source_format", "image_properties")

    def __init__(
        self,
        ctx: context.BuildContext | None = None,
        *,
        only_sent: bool = False,
        **kwargs: Any,
    ) -> None:
        """Make it.

        :param only_sent: nobody but :class:`~send.SendImage` reads the file
            if its format is its disk, such as raw, and no scrubber is set up
        """
        super().__init__(ctx, **kwargs)
        self._only_sent = only_sent

    def execute(
        self, source_image_id: str, name: str | None = None
    ) -> tuple[ports.Artifact, str, dict[str, Any]]:
        """Give the file, its format and the properties.

        :param name: of the image that is made; None is that of this one
        :raises TaskError: ``image_not_found`` when the task's owner may read
            no such image, ``image_damaged`` when no copy of it is whole
        :raises StoreError: when no store gives it
        :raises CatalogueError: when the catalogue fails
        :raises DiskFull: when there is no room
        """
        image = self._image(source_image_id)
        file, found = self._best(image)
        properties = _inherited(image)
        if name is not None:
            properties["name"] = name
        return _artifact(image, file, found), image.disk_format, properties

    def _image(self, image_id: str) -> ports.Image:
        try:
            image = self.run.catalogue.get(image_id)
        except exceptions.ImageNotFound as error:
            raise _unknown(image_id) from error
        if not self._may_read(image):
            raise _unknown(image_id)
        return image

    def _may_read(self, image: ports.Image) -> bool:
        owner = self.run.task.owner
        if owner in ("", image.owner) or image.visibility in _OPEN:
            return True
        return (
            image.visibility == "shared"
            and owner in self.run.catalogue.members(image.id)
        )

    # --- its copies ----------------------------------------------------------

    def _best(self, image: ports.Image) -> tuple[str, Mapping[str, str]]:
        """Give the file's name and its digests."""
        same = [
            one
            for one in locations.readable(image.locations)
            if one.os_hash_value == image.os_hash_value
        ]
        last: exceptions.TaskError = exceptions.StoreError(
            f"image {image.id} has no copy that is as the image says"
        )
        plain = image.disk_format in formats.PLAIN
        # One of several is left for the next when it is damaged.
        later = self._may_wait() and plain and len(same) == 1
        for copy in self.run.speeds.rank(same, lambda one: one.store):
            try:
                return self._from(image, copy, later)
            except (OSError, *_BAD_COPY) as error:
                # A successor moves the work directory of a frozen run away.
                self.run.fence.check()
                if isinstance(error, OSError):
                    raise
                self.run.speeds.note_failure(copy.store)
                LOG.warning(
                    "Task %s: the copy of image %s in the store %r: %s",
                    *(self.run.task.id, image.id, copy.store, error),
                )
                last = error
        raise last

    def _from(
        self, image: ports.Image, copy: locations.Location, later: bool
    ) -> tuple[str, Mapping[str, str]]:
        # Files are removed and made; a successor may have made them.
        self.run.fence.check()
        algorithms = {image.os_hash_algo}
        if image.disk_format in formats.PLAIN:
            # Of other formats it would take another pass, over the disk.
            algorithms.add(merkle.NAME)
        store = self.run.store_of(copy)
        identity = endpoint.Identity(image.os_hash_value, image.size)
        source = stored.ObjectEndpoint(store, copy.key, identity)
        began = time.monotonic()
        linked = self._link(source)
        if linked and later and self._size(_LINK) == image.size:
            return _LINK, {}
        file = _LINK if linked else _COPY
        digests = (
            self._hashed(image, algorithms)
            if linked
            else self._downloaded(source, image, algorithms)
        )
        self._require_whole(image, file, digests)
        taken = time.monotonic() - began - source.latency
        self.run.speeds.note(
            copy.store,
            latency=source.latency,
            rate=image.size / max(taken, 1e-6),
        )
        self.run.speeds.save()
        return file, digests

    def _may_wait(self) -> bool:
        return self._only_sent and not self.run.scrubbing.command

    def _link(self, source: stored.ObjectEndpoint) -> bool:
        path = self.run.work_dir / _LINK
        ledger.remove(path)
        with source.opened() as file:
            return borrowing.link(file, path)

    def _size(self, file: str) -> int:
        return (self.run.work_dir / file).lstat().st_size

    def _hashed(
        self, image: ports.Image, algorithms: Collection[str]
    ) -> Mapping[str, str]:
        return borrowing.hashed(
            self.run.work_dir / _LINK,
            algorithms,
            size=image.size,
            stop=self.run.stop,
            progress=self.run.progress,
        )

    def _downloaded(
        self,
        source: stored.ObjectEndpoint,
        image: ports.Image,
        algorithms: Collection[str],
    ) -> Mapping[str, str]:
        wanted = order.Order(
            uri=f"image:{image.id}",
            path=self.run.work_dir / _COPY,
            algorithms=tuple(sorted(algorithms)),
            max_bytes=image.size,
            stop=self.run.stop,
            progress=self.run.progress,
        )
        rules = fetch_rules.FetchRules(min_rate=0)
        return download.Download(wanted, source, rules).run().digests

    def _require_whole(
        self, image: ports.Image, file: str, digests: Mapping[str, str]
    ) -> None:
        size, digest = self._size(file), digests[image.os_hash_algo]
        if (size, digest) == (image.size, image.os_hash_value):
            return
        self.run.fence.check()
        ledger.remove(self.run.work_dir / file)
        raise _Damaged(
            f"the data of image {image.id} has {size} bytes and the"
            f" {image.os_hash_algo} digest {digest}; expected {image.size}"
            f" and {image.os_hash_value}"
        )

    def holds(self, result: Any) -> bool:
        """Tell whether the file is there, whole as far as this run needs."""
        try:
            # A run before this one may have had no scrubber.
            known = self._may_wait() or artifact.verified(result[0])
            size = self._size(result[0]["name"])
            return known and bool(size == result[0]["size"])
        except (OSError, TypeError, LookupError):
            return False

    def revert(self, **kwargs: Any) -> None:
        """Remove the file; the image stays as it is."""
        self.run.fence.check()
        for name in (_LINK, _COPY):
            ledger.remove(self.run.work_dir / name)


def _unknown(image_id: str) -> exceptions.TaskError:
    return exceptions.TaskError(
        f"there is no image {image_id} that this project may read",
        code="image_not_found",
    )


def _artifact(
    image: ports.Image, file: str, digests: Mapping[str, str]
) -> ports.Artifact:
    read = artifact.described(file, image.size, digests)
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
