# SPDX-License-Identifier: Apache-2.0
"""The step that brings an image out."""

from collections.abc import Mapping
from typing import Any
from typing import ClassVar

from glance_tasks import exceptions
from glance_tasks import plugin
from glance_tasks import ports
from glance_tasks import task


class SendImage(plugin.Atom):
    """Send the image file to its destination, and see that it arrived.

    Goes on where an earlier run was cut, as far as the destination can.
    Provides ``sent``.

    Reverting removes the object, whole or half.
    """

    behaviour: ClassVar[plugin.Behaviour] = "resumable"
    phase: ClassVar[task.Phase] = task.Phase.TRANSFERRING
    default_provides = "sent"

    def execute(
        self,
        image_file: ports.Artifact,
        export_location: str,
        overwrite: bool = False,
        export_to_credentials: ports.Secret | None = None,
    ) -> dict[str, Any]:
        """Send it; give ``size``, ``disk_format`` and digests of the object.

        :param export_location: the address of the object that is to be
        :param overwrite: whether an object that is there may be replaced
        :raises SendError: when it has not arrived
        :raises ChecksumMismatch: when the file is not what it was
        """
        parcel = self._parcel(
            export_location,
            export_to_credentials,
            size=image_file["size"],
            md5=image_file["checksum"],
            overwrite=overwrite,
        )
        run = self.run
        try:
            run.sender.send(
                parcel,
                run.work_dir / image_file["name"],
                stop=run.stop,
                progress=run.progress,
                fence=run.fence,
            )
        except (OSError, exceptions.TaskError):
            # A successor moves the work directory of a frozen run away.
            run.fence.check()
            raise
        return {
            name: image_file[name]
            for name in ("size", "checksum", "os_hash_algo", "os_hash_value")
        }

    def _parcel(
        self,
        uri: str,
        credentials: ports.Secret | None,
        *,
        size: int,
        md5: str,
        overwrite: bool,
    ) -> ports.Parcel:
        return ports.Parcel(
            uri=uri,
            token=self.run.task.id,
            size=size,
            md5=md5,
            overwrite=overwrite,
            credentials=credentials.reveal() if credentials else None,
        )

    def revert(
        self,
        export_location: str,
        image_file: Mapping[str, Any] | None = None,
        export_to_credentials: ports.Secret | None = None,
        **kwargs: Any,
    ) -> None:
        """Remove what is at the destination, if it is ours.

        :raises SendError: when something of ours stays there
        """
        self.run.fence.check()
        if not image_file:
            # Nothing was sent, and what would have been is not known.
            return
        parcel = self._parcel(
            export_location,
            export_to_credentials,
            size=image_file["size"],
            md5=image_file["checksum"],
            overwrite=False,
        )
        self.run.sender.remove(parcel, stop=self.run.stop)
