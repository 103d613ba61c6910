# SPDX-License-Identifier: Apache-2.0
"""The step that brings an image into another format."""

from typing import Any

from glance_tasks import context
from glance_tasks import exceptions
from glance_tasks import ports
from glance_tasks.atoms import inspect as inspect_atom
from glance_tasks.atoms import rewriting
from glance_tasks.imagefile import formats


def conversion_supported(source: str, target: str) -> bool:
    """Tell whether an image can be brought from one format to the other.

    :param source: Glance's name, or qemu's
    """
    return (
        formats.canonical(source) in formats.DRIVERS
        and formats.canonical(target) in formats.TARGETS
    )


class ConvertImage(rewriting.Rewriting):
    """Write the image into a new file of another format, with its digests.

    To raw it reads the disk once and goes on where an earlier run was cut;
    to other formats qemu-img writes it, and a cut begins it anew. Provides
    ``converted``, of a raw or verified one with its guest content digest.

    Reverting removes the new file.
    """

    default_provides = "converted"
    file_name = "converted"

    def __init__(
        self,
        ctx: context.BuildContext | None = None,
        disk_format: str = "raw",
        *,
        verify: bool = False,
        **kwargs: Any,
    ) -> None:
        """Keep the format to convert to.

        :param disk_format: a key of :data:`formats.TARGETS`
        :param verify: read both images afterwards, to prove that they hold
            the same disk; of a raw one that is known without
        """
        super().__init__(ctx, **kwargs)
        self._target = formats.canonical(disk_format)
        self._verify = verify

    def execute(
        self, fetched: ports.Artifact, inspected: inspect_atom.Inspected
    ) -> ports.Artifact:
        """Convert, and look into the result as if it were anybody's.

        :raises ConvertError: when it cannot be read, breaks a limit or holds
            another disk afterwards (``content_differs``)
        :raises UnsafeImage: when the disk inside looks like an image itself
        :raises DiskFull: when there is no room
        """
        if not conversion_supported(inspected["disk_format"], self._target):
            raise exceptions.ConvertError(
                f"an image of format {inspected['disk_format']} cannot be"
                f" converted to {self._target}; expected one of"
                f" {', '.join(formats.TARGETS)}"
            )
        return self.rewritten(
            fetched, inspected, self._target, verify=self._verify
        )
