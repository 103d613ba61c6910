# SPDX-License-Identifier: Apache-2.0
"""The step that tells what is on an image's disk, whatever its format."""

from typing import ClassVar
from typing import TypedDict

from glance_tasks import plugin
from glance_tasks import ports
from glance_tasks.atoms import inspect as inspect_atom
from glance_tasks.imagefile import content
from glance_tasks.imagefile import disk as disks
from glance_tasks.imagefile import restraint


class Content(TypedDict):
    """What is on a disk: its guest content digest, ``gcd1:HEX``."""

    content_digest: str


class DigestContent(plugin.Atom):
    """Compute the guest content digest of an inspected image.

    Reads the disk once, without its holes, unless the step that made the
    file has computed it. Provides ``content``.

    Reverting does nothing, for it leaves nothing.
    """

    behaviour: ClassVar[plugin.Behaviour] = "idempotent"
    default_provides = "content"

    def execute(
        self, image_file: ports.Artifact, inspected: inspect_atom.Inspected
    ) -> Content:
        """Give the digest.

        :raises ConvertError: when the disk cannot be read
        """
        if "content_digest" in image_file:
            return {"content_digest": image_file["content_digest"]}
        limits = self.run.limits
        with disks.opened(
            self.run.work_dir / image_file["name"],
            image_file.get("disk_format", inspected["disk_format"]),
            limits=restraint.Limits.of_disk(
                inspected["virtual_size"],
                limits.convert_min_rate,
                limits.convert_memory,
            ),
            stop=self.run.stop,
        ) as disk:
            found = content.digest_of(
                disk, stop=self.run.stop, progress=self.run.progress
            )
        return {"content_digest": found}
