# SPDX-License-Identifier: Apache-2.0
"""Taking what a service hands in, once it is whole."""

import time
from typing import Any

from glance_tasks import exceptions
from glance_tasks import ports
from glance_tasks.atoms import arrival

#: The key of a plan that says that its task takes bytes: the digests of them
#: that are to be computed while they come.
PLANNED = "receives"


class ReceiveImage(arrival.Arrival):
    """Take the bytes handed in for this task into its work directory.

    While they are not whole the task is set aside. Provides ``fetched``.

    :ivar digests: that are computed in any case, by their names in hashlib

    A retry takes those of the task that it retries, if they were whole.
    Reverting puts them by for a retry, or removes them from there; where they
    were handed in they stay until the task ends.
    """

    def execute(self, checksum: str | None = None) -> ports.Artifact:
        """Take them.

        :param checksum: ``ALGORITHM:DIGEST`` that the bytes must have, with
            sha256, sha384 or sha512; None takes any
        :raises TryLater: while more is to come
        :raises UploadTruncated: when nothing more came for too long
        :raises ChecksumMismatch: when they are others than was promised
        :raises DiskFull: when there is no room
        """
        return self._arrived(self._bring, checksum)

    def _bring(self, algorithms: tuple[str, ...]) -> ports.Fetched:
        run = self.run
        wanted: Any = {
            "algorithms": algorithms,
            "stop": run.stop,
            "progress": run.progress,
        }
        staged = run.staging.staged(run.task.id)
        if staged.whole:
            return run.staging.bring(run.task.id, self._path, **wanted)
        if not staged.size:
            self._lent()
        for earlier in run.reuses:
            # An earlier run may have been cut here: look at what there is.
            found = run.staging.verified(earlier, self._path, **wanted)
            if found is not None:
                self._reused(found.size, earlier)
                return found
        self._remove()
        self._forget()
        raise self._incomplete(staged)

    def _forget(self) -> None:
        """Remove what was kept, which was not what it should have been."""
        for earlier in self.run.reuses:
            if self.run.cache is not None:
                self.run.cache.sweep(earlier)

    def _incomplete(self, staged: ports.Staged) -> BaseException:
        """Give why this is left: more is to come, or nothing any more."""
        run, patience = self.run, self.run.limits.upload_timeout
        since = max(staged.changed_at or 0, run.task.created_at.timestamp())
        if time.time() - since < patience:
            return exceptions.TryLater("its bytes are being handed in")
        size = run.input.get("size")
        total = "" if size is None else f" of {size}"
        return exceptions.UploadTruncated(
            f"the upload ended after {staged.size}{total} bytes, and nothing"
            f" more came for {patience:g} s"
        )
