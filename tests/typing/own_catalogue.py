# SPDX-License-Identifier: Apache-2.0
"""A catalogue of a service's own, in memory."""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
import threading

from glance_tasks import CatalogueError
from glance_tasks import Image
from glance_tasks import ImageNotFound
from glance_tasks import locations
from glance_tasks import ports
from glance_tasks.exceptions import LeaseLost


class MemoryCatalogue:
    """Images by id, each with the fence of who touched it last."""

    def __init__(self) -> None:
        """Begin with no image."""
        self._lock = threading.Lock()
        self._images: dict[str, tuple[int, Image | None]] = {}
        self._members: dict[str, ports.Members] = {}

    def publish(self, image: Image, fence: int) -> None:
        """Make ``image`` visible; again changes nothing."""
        with self._lock:
            last, found = self._images.get(image.id, (0, None))
            self._refuse_smaller(fence, last)
            if found not in (None, image):
                raise CatalogueError(
                    f"image {image.id} exists already", code="image_exists"
                )
            self._images[image.id] = fence, image

    def withdraw(self, image_id: str, fence: int) -> None:
        """Remove the image, and keep the fence."""
        with self._lock:
            last, _ = self._images.get(image_id, (0, None))
            self._refuse_smaller(fence, last)
            self._images[image_id] = fence, None

    @staticmethod
    def _refuse_smaller(fence: int, last: int) -> None:
        if fence < last:
            raise LeaseLost(f"claim {last} came after claim {fence}")

    def change_locations(
        self,
        image_id: str,
        change: locations.Change,
        *,
        fence: ports.Fence | None = None,
    ) -> Image:
        """Change where the data is, and the status with that."""
        image = self.get(image_id, hidden=True)
        with self._lock:
            held = change(image.locations)
            if fence is not None:
                fence.check()
            status = locations.status_of(held).value
            image = dataclasses.replace(image, locations=held, status=status)
            last, _ = self._images[image_id]
            self._images[image_id] = last, image
        return image

    def members(self, image_id: str) -> ports.Members:
        """Give the projects that an image is shared with."""
        return self._members.get(image_id, {})

    def change_members(
        self,
        image_id: str,
        change: Callable[[ports.Members], ports.Members],
        *,
        fence: ports.Fence | None = None,
    ) -> ports.Members:
        """Change with whom an image is shared."""
        self.get(image_id)
        with self._lock:
            changed = change(self.members(image_id))
            if fence is not None:
                fence.check()
            self._members[image_id] = changed
        return changed

    def get(self, image_id: str, *, hidden: bool = False) -> Image:
        """Give one image."""
        _, found = self._images.get(image_id, (0, None))
        if found is None or not (hidden or found.status == "active"):
            raise ImageNotFound(f"there is no image {image_id}")
        return found

    def find(
        self,
        *,
        limit: int = 25,
        marker: str | None = None,
        hidden: bool = False,
    ) -> Sequence[Image]:
        """List images, newest first, those after ``marker``."""
        kept = [image for _, image in self._images.values() if image][::-1]
        kept = [one for one in kept if hidden or one.status == "active"]
        ids = [image.id for image in kept]
        first = ids.index(marker) + 1 if marker else 0
        return kept[first : first + limit]


CATALOGUE: ports.ImageCatalog = MemoryCatalogue()
