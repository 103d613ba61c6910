# SPDX-License-Identifier: Apache-2.0
"""Deleting an image's data: announced, waited for, begun, done."""

from collections.abc import Mapping
from collections.abc import Sequence
import datetime
import time
from typing import Any

from glance_tasks import exceptions
from glance_tasks import locations
from glance_tasks import plugin
from glance_tasks import ports
from glance_tasks.atoms import owned

# Up to here a run waits itself; longer waits leave their place to others.
_SHORT_S = 5.0


_DELETED = locations.LocationStatus.DELETED


def check_deletable(
    image: ports.Image, store: str | None, disk_format: str | None = None
) -> str | None:
    """Say why an image, or copies of it, may not be deleted.

    :param store: of the copies; None does not matter
    :param disk_format: of the copies; None does not matter
    """
    if image.protected:
        return f"image {image.id} is protected; take that off it first"
    if store is None and disk_format is None:
        return None
    places = _places(image, store, disk_format)
    which = "" if disk_format is None else f" of format {disk_format}"
    where = "" if store is None else f" in the store {store!r}"
    if not places:
        return f"image {image.id} has no copy{which}{where}"
    rest = [
        one
        for one in image.locations
        if one.place not in places and one.os_hash_value == image.os_hash_value
    ]
    if not locations.readable(rest):
        return (
            f"the copy{which}{where} is the last one of image {image.id};"
            " delete the image"
        )
    return None


def _places(
    image: ports.Image, store: str | None, disk_format: str | None
) -> list[tuple[str, str]]:
    """Give the places of all data, or of that in one store, or format."""
    return [
        one.place
        for one in image.locations
        if store in (None, one.store)
        and disk_format in (None, one.disk_format)
        and one.status is not _DELETED
    ]


class MarkDeletion(plugin.Atom):
    """Announce that the data goes: from now on nobody is given it.

    Provides ``marked``: the places whose data is to go.

    Reverting takes it back, unless the deletion has begun.
    """

    behaviour = "compensated"
    default_provides = "marked"

    def execute(
        self,
        image_id: str,
        deletes_at: float,
        store: str | None = None,
        only_format: str | None = None,
    ) -> list[tuple[str, str]]:
        """Mark all locations, or those of one store, or format.

        :param deletes_at: seconds since 1970
        :raises TaskError: ``image_protected``, when it was protected meanwhile
        """
        image = owned.found(self.run, hidden=True)
        refused = check_deletable(image, store, only_format)
        if refused:
            raise exceptions.TaskError(refused, code="image_protected")
        places = _places(image, store, only_format)
        at = datetime.datetime.fromtimestamp(deletes_at, datetime.UTC)
        self.run.catalogue.change_locations(
            image_id,
            lambda held: locations.mark(held, at, places),
            fence=self.run.fence,
        )
        return places

    def revert(self, image_id: str, **kwargs: Any) -> None:
        """Take the announcement back."""
        try:
            self.run.catalogue.change_locations(
                image_id, locations.restore, fence=self.run.fence
            )
        except exceptions.ImageNotFound:
            return


class AwaitDeletion(plugin.Atom):
    """Wait until the data may go; until then it can be had back.

    There is nothing to revert.
    """

    behaviour = "idempotent"

    def execute(self, marked: Sequence[Any], deletes_at: float) -> None:
        """Return when the time has come.

        :raises TaskError: ``deletion_undone``, when somebody did so
        :raises TryLater: while that is far off
        """
        while True:
            left = deletes_at - time.time()
            if not self._can_be_undone(marked) or left <= 0:
                return
            if left > _SHORT_S:
                when = time.strftime(
                    "%Y-%m-%dT%H:%M:%SZ", time.gmtime(deletes_at)
                )
                raise exceptions.TryLater(f"the data is deleted at {when}")
            self.run.stop.wait(min(left, 0.5))

    def _can_be_undone(self, marked: Sequence[Any]) -> bool:
        held = owned.found(self.run, hidden=True).locations
        # That of a task that failed may have begun already.
        _begun(held, marked)
        return any(one.may_be_restored for one in held)


def _begun(
    held: locations.Locations, marked: Sequence[Any]
) -> locations.Locations:
    """Give the locations with the deletion begun, where it was not undone."""
    for place in marked:
        held = locations.begin_deletion(held, _place(place))
    return held


class BeginDeletion(plugin.Atom):
    """Pass the point of no return, for all the data at once.

    Cannot be reverted: what fails from here on is for a retry to finish.
    """

    behaviour = "idempotent"
    final = True

    def execute(self, image_id: str, marked: Sequence[Any]) -> None:
        """Note it in the catalogue.

        :raises TaskError: ``deletion_undone``, when somebody was faster
        """
        try:
            self.run.catalogue.change_locations(
                image_id,
                lambda held: _begun(held, marked),
                fence=self.run.fence,
            )
        except exceptions.ImageNotFound:
            # An earlier run came further than its checkpoint.
            return


class ScrubData(plugin.Atom):
    """Delete the data from its stores, and note for each that it is gone.

    An image of which nothing is left is gone with the last of it. Cannot be
    reverted.
    """

    behaviour = "idempotent"
    final = True
    default_provides = "scrubbed"

    def execute(
        self,
        image_id: str,
        marked: Sequence[Any],
        store: str | None = None,
        only_format: str | None = None,
    ) -> Mapping[str, Any]:
        """Give what became of the ``image``, and of how many ``locations``.

        :raises StoreError: when a store fails; its data stays, announced
        """
        for place in marked:
            self.run.stop.check()
            self._scrub(image_id, _place(place))
        return {
            "image_id": image_id,
            "image": "active" if store or only_format else "deleted",
            "locations": len(marked),
        }

    def _scrub(self, image_id: str, place: tuple[str, str]) -> None:
        run = self.run
        try:
            held = run.catalogue.get(image_id, hidden=True).locations
            for location in held:
                if location.place == place and location.status is not _DELETED:
                    store = run.store_of(location)
                    store.delete(location.key, fence=run.fence)
            run.catalogue.change_locations(
                image_id,
                lambda held: locations.move(held, place, _DELETED),
                fence=run.fence,
            )
        except exceptions.ImageNotFound:
            return


def _place(given: Sequence[str]) -> tuple[str, str]:
    """Give a place as it was before it was JSON."""
    store, key = given
    return store, key
