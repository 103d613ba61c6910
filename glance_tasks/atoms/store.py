# SPDX-License-Identifier: Apache-2.0
"""Bringing an image file from the work directory to the store."""

from collections.abc import Mapping
import errno
from typing import Any

from glance_tasks import context
from glance_tasks import exceptions
from glance_tasks import plugin
from glance_tasks import ports
from glance_tasks import task

# Of an artifact, what is about the work directory.
_FILES = frozenset({"name", "spent"})

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def put(
    run: context.BuildContext, store: ports.ImageStore, key: str, name: str
) -> int:
    """Put a file of the work directory into a store; give its bytes.

    :raises StoreError: when the store fails, in whatever way
    """
    try:
        return store.put(
            key,
            run.work_dir / name,
            stop=run.stop,
            progress=run.progress,
            fence=run.fence,
        )
    except (OSError, exceptions.StoreError) as error:
        # A successor takes the work directory away: for a run that was
        # frozen meanwhile that looks like a broken store.
        run.fence.check()
        if isinstance(error, exceptions.StoreError):
            raise
        full = error.errno in _FULL
        raise exceptions.StoreError(
            f"the image store fails: {error.strerror}",
            code="store_full" if full else "store_unavailable",
            # Paths are the operator's.
            detail={"cause": str(error)},
        ) from error


class StoreImage(plugin.Atom):
    """Put the image file into the store, under the image's id.

    What it gives holds all that is known of the file, so that nothing after
    it needs the work directory any more.

    Reverting deletes the object.
    """

    behaviour = "compensated"
    phase = task.Phase.TRANSFERRING
    default_provides = "stored"

    def execute(
        self, image_file: ports.Artifact, image_id: str
    ) -> dict[str, Any]:
        """Give the artifact's facts with ``location``, the store's key."""
        size = put(self.run, self.run.store, image_id, image_file["name"])
        if size != image_file["size"]:
            raise exceptions.StoreError(
                f"the store took {size} bytes of the image; expected"
                f" {image_file['size']}"
            )
        facts = {k: v for k, v in image_file.items() if k not in _FILES}
        return {**facts, "location": image_id}

    def holds(self, result: Mapping[str, Any]) -> bool:
        """Tell whether the store has the object, whole."""
        try:
            size = self.run.store.size(result["location"])
        except exceptions.StoreError:
            # A store that does not answer has lost nothing yet.
            return True
        return bool(size == result["size"])

    def revert(self, image_id: str, **kwargs: Any) -> None:
        """Delete the object, and what is left of attempts to store it."""
        self.run.store.delete(image_id, fence=self.run.fence)
