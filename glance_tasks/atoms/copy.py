# SPDX-License-Identifier: Apache-2.0
"""An image's data, read from its best copy and put into another store."""

from collections.abc import Mapping
import dataclasses
import logging
import time
from typing import Any

from glance_tasks import context
from glance_tasks import exceptions
from glance_tasks import ledger
from glance_tasks import locations
from glance_tasks import plugin
from glance_tasks import ports
from glance_tasks import task
from glance_tasks.atoms import artifact
from glance_tasks.atoms import fetch
from glance_tasks.atoms import owned
from glance_tasks.transfer import download
from glance_tasks.transfer import endpoint
from glance_tasks.transfer import order
from glance_tasks.transfer import rules as fetch_rules
from glance_tasks.transfer import stored

LOG = logging.getLogger(__name__)

_UPLOADING = locations.LocationStatus.UPLOADING
_ACTIVE = locations.LocationStatus.ACTIVE

#: What a copy fails with that another one may not fail with.
_BAD_COPY = (
    exceptions.StoreError,
    exceptions.FetchError,
    exceptions.ChecksumMismatch,
)


class ReadImage(fetch.FetchImage):
    """Copy the image's data into the work directory, verified.

    Takes the fastest copy; one that cannot be read, or has another digest
    than the image, is left for the next. Goes on where an earlier run was cut.
    Provides ``fetched``.

    Reverting removes the copy.
    """

    behaviour = "resumable"

    def execute(self, image_id: str) -> ports.Artifact:  # type: ignore[override]
        """Read the image.

        :raises StoreError: when no copy can be read
        :raises ChecksumMismatch: when none has the image's digest
        :raises DiskFull: when there is no room
        """
        image = owned.found(self.run)
        same = [
            one
            for one in locations.readable(image.locations)
            if one.os_hash_value == image.os_hash_value
        ]
        last: exceptions.TaskError = exceptions.StoreError(
            f"image {image_id} has no copy that is as the image says"
        )
        for copy in self.run.speeds.rank(same, lambda one: one.store):
            try:
                with self._held():
                    return self._read(image, copy)
            except _BAD_COPY as error:
                self.run.fence.check()
                self.run.speeds.note_failure(copy.store)
                LOG.warning(
                    "Task %s: the copy of image %s in the store %r: %s",
                    *(self.run.task.id, image_id, copy.store, error),
                )
                last = error
        raise last

    def _read(
        self, image: ports.Image, copy: locations.Location
    ) -> ports.Artifact:
        self.run.fence.check()
        algorithms = {*self.digests, image.os_hash_algo}
        identity = endpoint.Identity(image.os_hash_value, image.size)
        wanted = order.Order(
            uri=f"image:{image.id}",
            path=self._path,
            algorithms=tuple(sorted(algorithms)),
            max_bytes=image.size,
            stop=self.run.stop,
            progress=self.run.progress,
        )
        source = stored.ObjectEndpoint(
            self.run.store_of(copy), copy.key, identity
        )
        began = time.monotonic()
        fetched = download.Download(
            wanted, source, fetch_rules.FetchRules(min_rate=0)
        ).run()
        taken = time.monotonic() - began - source.latency
        self._verify_copy(image, fetched)
        self.run.speeds.note(
            copy.store,
            latency=source.latency,
            rate=fetched.size / max(taken, 1e-6),
        )
        self.run.speeds.save()
        return artifact.described(
            self._path.name, fetched.size, fetched.digests
        )

    def _verify_copy(self, image: ports.Image, fetched: ports.Fetched) -> None:
        found = fetched.digests[image.os_hash_algo]
        if found == image.os_hash_value:
            return
        self.run.fence.check()
        ledger.remove(self._path)
        raise exceptions.ChecksumMismatch(
            f"a copy of image {image.id} has the {image.os_hash_algo}"
            f" {found}; expected {image.os_hash_value}"
        )


class CopyToStore(plugin.Atom):
    """Put the image's data into one more store.

    The copy is shown as ``uploading`` until it is whole.

    Reverting deletes the object and takes the location away.
    """

    behaviour = "compensated"
    phase = task.Phase.TRANSFERRING

    def __init__(
        self,
        ctx: context.BuildContext | None = None,
        *,
        store: str = "",
        key: str = "",
        **kwargs: Any,
    ) -> None:
        """Keep where to; the name says which store.

        :param store: its name
        :param key: of the object there, chosen at submit
        """
        kwargs.setdefault("name", f"CopyToStore-{store}")
        super().__init__(ctx, **kwargs)
        self._place = store, key

    def execute(
        self, image_id: str, fetched: ports.Artifact
    ) -> Mapping[str, Any]:
        """Give the image, the store's name and the bytes it took."""
        store, key = self._place
        place = locations.Location(key, store)
        image = owned.found(self.run)
        new = dataclasses.replace(
            image.located(store), key=key, status=_UPLOADING
        )
        self._change(image_id, lambda held: _announced(held, new))
        size = self.run.store_of(place).put(
            key,
            self.run.work_dir / fetched["name"],
            stop=self.run.stop,
            progress=self.run.progress,
            fence=self.run.fence,
        )
        if size != fetched["size"]:
            raise exceptions.StoreError(
                f"the store {store!r} took {size} bytes of the image; expected"
                f" {fetched['size']}"
            )
        self._change(
            image_id,
            lambda held: locations.move(held, self._place, _ACTIVE),
        )
        return {"image_id": image_id, "store": store, "size": size}

    def _change(self, image_id: str, change: locations.Change) -> None:
        try:
            self.run.catalogue.change_locations(
                image_id, change, fence=self.run.fence
            )
        except exceptions.ImageNotFound:
            raise exceptions.CatalogueError(
                f"image {image_id} is not there any more", code="image_gone"
            ) from None

    def revert(self, image_id: str, **kwargs: Any) -> None:
        """Delete the object, then forget where it was."""
        store, key = self._place
        place = locations.Location(key, store)
        self.run.store_of(place).delete(key, fence=self.run.fence)
        try:
            self.run.catalogue.change_locations(
                image_id,
                lambda held: locations.drop(held, self._place),
                fence=self.run.fence,
            )
        except exceptions.ImageNotFound:
            return


def _announced(
    held: locations.Locations, new: locations.Location
) -> locations.Locations:
    """Add the location, unless an earlier run came so far or further."""
    if dataclasses.replace(new, status=_ACTIVE) in held:
        return held
    return locations.add(held, new)
