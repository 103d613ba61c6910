# SPDX-License-Identifier: Apache-2.0
"""Making an image visible, and invisible again."""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import logging
from typing import Any

from glance_tasks import context
from glance_tasks import exceptions
from glance_tasks import plugin
from glance_tasks import ports

LOG = logging.getLogger(__name__)

# A catalogue that restarts must not cost a transfer of hours.
_TRIES = 3
_PAUSE_S = 1.0

# What of the client's properties the record has a field for.
_FIELDS = ("name", "visibility", "min_disk", "min_ram", "protected")
_NO_PROPERTIES = {*_FIELDS, "tags", "disk_format", "container_format"}
# In Glance these have no container but themselves.
_AMAZON = {"aki", "ari", "ami"}


class RegisterImage(plugin.Atom):
    """Publish the image, whole, in the catalogue.

    Reverting withdraws it.
    """

    behaviour = "compensated"
    default_provides = "registered"

    def __init__(
        self,
        ctx: context.BuildContext | None = None,
        *,
        container_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Keep what the flow knows better than the client.

        :param container_format: of the record; None takes the client's
        """
        super().__init__(ctx, **kwargs)
        self._container_format = container_format

    def execute(
        self,
        image_id: str,
        stored: Mapping[str, Any],
        inspected: Mapping[str, Any],
        image_properties: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Give ``image_id``.

        :param stored: what the store holds, as ``StoreImage`` gives it
        :param inspected: format and virtual size, where ``stored`` has none
        """
        given = dict(image_properties or {})
        if self._container_format is not None:
            given["container_format"] = self._container_format
        image = _image(
            image_id, self.run.task.owner, {**inspected, **stored}, given
        )
        named = image.located(self.run.store_name)
        image = dataclasses.replace(image, locations=(named,))
        self.run.fence.check()
        self._patiently(
            lambda: self.run.catalogue.publish(image, self.run.fence.number)
        )
        return {"image_id": image_id}

    def revert(
        self,
        image_id: str,
        stored: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Withdraw the image, unless it is one this task did not make."""
        self.run.fence.check()
        try:
            self._patiently(lambda: self._withdraw(image_id, stored or {}))
        except exceptions.CatalogueError as error:
            if error.code != "catalogue_unavailable":
                raise
            # Whether it was published nobody knows, so its data can neither
            # stay nor go.
            raise exceptions.UndoLater(
                f"{self.name} cannot be undone yet: {error}"
            ) from error

    def _withdraw(self, image_id: str, stored: Mapping[str, Any]) -> None:
        catalogue = self.run.catalogue
        try:
            found = catalogue.get(image_id).os_hash_value
        except exceptions.ImageNotFound:
            found = None
        if found not in (None, stored.get("os_hash_value")):
            LOG.warning(
                "Task %s: image %s is another's; it stays",
                self.run.task.id,
                image_id,
            )
            return
        catalogue.withdraw(image_id, self.run.fence.number)

    def _patiently(self, call: Callable[[], None]) -> None:
        for tries in range(1, _TRIES + 1):
            try:
                call()
            except exceptions.CatalogueError as error:
                # With the tasks' own database gone the run stops here, and
                # goes on when it is back.
                self.run.fence.check()
                if tries == _TRIES or error.code != "catalogue_unavailable":
                    raise
                LOG.info("Task %s: %s; again", self.run.task.id, error)
                self.run.stop.wait(_PAUSE_S)
            else:
                return


def _image(
    image_id: str,
    owner: str,
    facts: Mapping[str, Any],
    given: Mapping[str, Any],
) -> ports.Image:
    """Make the record; only ``given`` comes from the client."""
    disk_format = facts["disk_format"]
    container = disk_format if disk_format in _AMAZON else "bare"
    return ports.Image(
        id=image_id,
        owner=owner,
        disk_format=disk_format,
        container_format=given.get("container_format", container),
        size=facts["size"],
        virtual_size=facts["virtual_size"],
        checksum=facts["checksum"],
        os_hash_algo=facts["os_hash_algo"],
        os_hash_value=facts["os_hash_value"],
        location=facts["location"],
        tags=tuple(given.get("tags", ())),
        properties={
            name: value
            for name, value in given.items()
            if name not in _NO_PROPERTIES and isinstance(value, str)
        },
        **{name: given[name] for name in _FIELDS if name in given},
    )
