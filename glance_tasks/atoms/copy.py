# SPDX-License-Identifier: Apache-2.0
"""An image's data, put into another store."""

from collections.abc import Mapping
import dataclasses
from typing import Any

from glance_tasks import context
from glance_tasks import exceptions
from glance_tasks import locations
from glance_tasks import plugin
from glance_tasks import ports
from glance_tasks import task
from glance_tasks.atoms import owned
from glance_tasks.atoms import store as store_atom

_UPLOADING = locations.LocationStatus.UPLOADING
_ACTIVE = locations.LocationStatus.ACTIVE


def key(image: ports.Image, task_id: str) -> str:
    """Give a key for a copy, which no other task's data ever has.

    Another task may have finished a copy since this one was planned: what it
    made must not be ours to remove.
    """
    return f"{image.id}.{task_id}"


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
        # A store there is not (any more) gets nothing announced.
        target = self.run.store_of(locations.Location(key, store))
        found = self._described(owned.found(self.run), fetched)
        new = dataclasses.replace(
            found, key=key, store=store, status=_UPLOADING
        )
        self._sweep_others(image_id, new)
        self._change(image_id, lambda held: _announced(held, new))
        size = store_atom.put(self.run, target, key, fetched["name"])
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

    def _sweep_others(self, image_id: str, new: locations.Location) -> None:
        """Remove what an earlier run made there of a file that is lost.

        A conversion that runs again may give other bytes of the same disk.
        """
        image = owned.found(self.run)
        for one in image.locations:
            same = dataclasses.replace(one, status=_UPLOADING) == new
            if one.place == new.place and not same:
                self._withdraw(image_id)

    def _described(
        self, image: ports.Image, fetched: ports.Artifact
    ) -> locations.Location:
        """Give what is known of the data, wherever it will be."""
        return image.located()

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
        self._withdraw(image_id)

    def _withdraw(self, image_id: str) -> None:
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


class AddLocation(CopyToStore):
    """Put what was made of an image into a store, as data of the same image.

    It is shown as ``uploading`` until it is whole.

    Reverting deletes the object and takes the location away.
    """

    def _described(
        self, image: ports.Image, fetched: ports.Artifact
    ) -> locations.Location:
        known = {
            name: value
            for name, value in fetched.items()
            if name in locations.FACTS
        }
        known["container_format"] = image.container_format
        return locations.Location.from_dict({"key": "", **known})


def _announced(
    held: locations.Locations, new: locations.Location
) -> locations.Locations:
    """Add the location, unless an earlier run came so far or further."""
    if dataclasses.replace(new, status=_ACTIVE) in held:
        return held
    return locations.add(held, new)
