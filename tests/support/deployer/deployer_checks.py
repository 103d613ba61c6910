# SPDX-License-Identifier: Apache-2.0
"""A check of a deployer: raw images must carry a file system with a label."""

from glance_tasks import Artifact
from glance_tasks import Atom
from glance_tasks import CheckRefused


class RequireLabel(Atom):
    """Read the label of an ext file system; there is nothing to revert."""

    behaviour = "idempotent"

    def execute(self, image_file: Artifact) -> None:
        with open(self.run.work_dir / image_file["name"], "rb") as disk:
            superblock = disk.read(2048)[1024:]
        if superblock[56:58] != b"\x53\xef":
            raise CheckRefused("the disk holds no ext file system")
        if not superblock[120:136].strip(b"\0"):
            raise CheckRefused("the file system has no label; expected one")
