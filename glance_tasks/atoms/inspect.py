# SPDX-License-Identifier: Apache-2.0
"""The step that decides whether a fetched image may be touched at all."""

from typing import ClassVar
from typing import TypedDict

from glance_tasks import plugin
from glance_tasks import ports
from glance_tasks.imagefile import inspect


class Inspected(TypedDict):
    """What an image was found to be; ``virtual_size`` is in bytes."""

    disk_format: str
    virtual_size: int


class InspectImage(plugin.Atom):
    """Look into the fetched file before any other program does.

    Provides ``inspected``.

    Reverting does nothing, for it leaves nothing.
    """

    behaviour: ClassVar[plugin.Behaviour] = "idempotent"
    default_provides = "inspected"

    def execute(
        self, fetched: ports.Artifact, import_from_format: str
    ) -> Inspected:
        """Give the format and the size of the disk inside.

        :param import_from_format: what the owner declared it to be
        :raises UnsafeImage: when it is something else, damaged, too large or
            refers to anything outside itself
        """
        found = inspect.inspect(
            self.run.work_dir / fetched["name"],
            import_from_format,
            self.run.limits.max_virtual_size,
        )
        return {
            "disk_format": found.format,
            "virtual_size": found.virtual_size,
        }
