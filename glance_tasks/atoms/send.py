# SPDX-License-Identifier: Apache-2.0
"""The step that brings an image out."""

from collections.abc import Mapping
from typing import Any
from typing import ClassVar

from glance_tasks import exceptions
from glance_tasks import plugin
from glance_tasks import ports
from glance_tasks import redaction
from glance_tasks import task
from glance_tasks.atoms import artifact

_FACTS = (
    *("disk_format", "size", "checksum"),
    *("os_hash_algo", "os_hash_value"),
)


def facts(image_file: ports.Artifact) -> dict[str, Any]:
    """Give what of the file is true of an object made of it too."""
    known: Mapping[str, Any] = image_file
    return {name: known[name] for name in _FACTS}


def _damaged(image_id: str, error: Exception) -> exceptions.TaskError:
    return exceptions.TaskError(
        f"the data of image {image_id} is damaged: {error}",
        code="image_damaged",
    )


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
        export_to: str,
        export_name: str,
        source_image_id: str,
        overwrite: bool = False,
        export_to_credentials: ports.Secret | None = None,
    ) -> dict[str, Any]:
        """Send it; give what the object is, and where.

        :param export_to: the prefix of the object's address, or all of it
        :param export_name: of the object under the prefix
        :param source_image_id: what it is the data of
        :param overwrite: whether an object that is there may be replaced
        :raises SendError: when it has not arrived
        :raises TaskError: ``image_damaged``, when an image that nobody has
            read yet is not what was stored
        :raises ChecksumMismatch: when the file is not what it was
        """
        run = self.run
        parcel = self._parcel(
            run.sender.location(export_to, export_name),
            export_to_credentials,
            image_file,
            overwrite=overwrite,
        )
        try:
            run.sender.send(
                parcel,
                run.work_dir / image_file["name"],
                stop=run.stop,
                progress=run.progress,
                fence=run.fence,
            )
        except (OSError, exceptions.TaskError) as error:
            # A successor moves the work directory of a frozen run away.
            run.fence.check()
            if isinstance(
                error, exceptions.ChecksumMismatch
            ) and not artifact.verified(image_file):
                raise _damaged(source_image_id, error) from error
            raise
        return {
            "image_id": source_image_id,
            "export_location": redaction.redact(parcel.uri),
            **facts(image_file),
        }

    def _parcel(
        self,
        uri: str,
        credentials: ports.Secret | None,
        image_file: Mapping[str, Any],
        *,
        overwrite: bool,
    ) -> ports.Parcel:
        return ports.Parcel(
            uri=uri,
            token=self.run.task.id,
            number=self.run.fence.number,
            size=image_file["size"],
            md5=image_file["checksum"],
            os_hash=(image_file["os_hash_algo"], image_file["os_hash_value"]),
            overwrite=overwrite,
            credentials=credentials.reveal() if credentials else None,
        )

    def revert(
        self,
        export_to: str,
        export_name: str,
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
            self.run.sender.location(export_to, export_name),
            export_to_credentials,
            image_file,
            overwrite=False,
        )
        self.run.sender.remove(parcel, stop=self.run.stop)
