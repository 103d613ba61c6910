# SPDX-License-Identifier: Apache-2.0
"""The steps that take out of an image what nobody else is to have."""

from collections.abc import Mapping
from typing import Any

from glance_tasks import exceptions
from glance_tasks import plugin
from glance_tasks import ports
from glance_tasks.atoms import inspect as inspect_atom
from glance_tasks.atoms import properties
from glance_tasks.atoms import rewriting
from glance_tasks.imagefile import formats


class ScrubProperties(plugin.Atom):
    """Leave out the properties that are not to leave the cloud.

    ``[glance_tasks_scrub]`` says which, and for which the whole image has to
    stay. Provides ``scrubbed_properties``.

    Reverting does nothing, for it leaves nothing.
    """

    behaviour = "idempotent"
    default_provides = "scrubbed_properties"
    reads_artifacts = False

    def execute(self, image_properties: Mapping[str, Any]) -> dict[str, Any]:
        """Give those that may leave.

        :raises TaskError: ``export_refused``, when the image may not
        """
        rules = self.run.scrubbing
        name = properties.refusing(image_properties, rules.refuse_properties)
        if name is not None:
            raise exceptions.TaskError(
                f"the image has the property {name} ="
                f" {str(image_properties[name])!r:.100}, and images that have"
                " it do not leave this cloud",
                code="export_refused",
            )
        return properties.scrubbed(
            image_properties, rules.keep_properties, rules.remove_properties
        )


class ScrubImage(rewriting.Rewriting):
    """Write the image into a new file of the same format, with nothing else.

    Internal snapshots, bitmaps, clusters that nothing refers to and whatever
    else a format keeps beside the disk stay behind; both disks are read to
    prove that they are the same. A format that is its disk, such as raw, has
    nothing besides: its file stays as it is, and so does the artifact.
    Provides ``scrubbed``.

    Reverting removes the new file.
    """

    default_provides = "scrubbed"
    file_name = "scrubbed"

    def execute(
        self, fetched: ports.Artifact, inspected: inspect_atom.Inspected
    ) -> ports.Artifact:
        """Rewrite it, and look into the result as if it were anybody's.

        :raises ConvertError: when it cannot be read, breaks a limit or holds
            another disk afterwards (``content_differs``)
        :raises UnsafeImage: when the disk inside looks like an image itself
        :raises DiskFull: when there is no room
        """
        if inspected["disk_format"] in formats.PLAIN:
            return fetched
        return self.rewritten(
            fetched, inspected, inspected["disk_format"], verify=True
        )
