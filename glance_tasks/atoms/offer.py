# SPDX-License-Identifier: Apache-2.0
"""The step that keeps an image file to be fetched by a temporary URL."""

from collections.abc import Mapping
from typing import Any
from typing import ClassVar

from glance_tasks import exceptions
from glance_tasks import plugin
from glance_tasks import ports
from glance_tasks import task
from glance_tasks.atoms import send
from glance_tasks.atoms import store


def object_key(task_id: str) -> str:
    """Give the key of what a task offers, in the default store."""
    return f"export-{task_id}"


class OfferImage(plugin.Atom):
    """Put the image file into the default store until the task expires.

    Provides ``sent``, with a temporary URL as its ``export_location``.

    Reverting deletes the object.
    """

    behaviour: ClassVar[plugin.Behaviour] = "compensated"
    phase: ClassVar[task.Phase] = task.Phase.TRANSFERRING
    default_provides = "sent"

    def execute(
        self, image_file: ports.Artifact, source_image_id: str
    ) -> dict[str, Any]:
        """Store it; give what the object is, and where.

        :raises StoreError: when the store does not take it
        :raises SendError: when nobody could fetch it from here
        """
        run = self.run
        if run.temp_urls is None:
            raise exceptions.SendError(
                "this service has no temporary URLs any more; expected"
                " export_to to say where to send the image",
                code="destination_not_allowed",
            )
        key = object_key(run.task.id)
        store.put(run, run.store, key, image_file["name"])
        return {
            "image_id": source_image_id,
            "export_location": run.temp_urls.address(run.task.id),
            **send.facts(image_file),
        }

    def holds(self, result: Mapping[str, Any]) -> bool:
        """Tell whether the store has the object, whole."""
        try:
            size = self.run.store.size(object_key(self.run.task.id))
        except exceptions.StoreError:
            # A store that does not answer has lost nothing yet.
            return True
        return bool(size == result["size"])

    def revert(self, **kwargs: Any) -> None:
        """Delete the object, and what is left of attempts to store it."""
        key = object_key(self.run.task.id)
        self.run.store.delete(key, fence=self.run.fence)
