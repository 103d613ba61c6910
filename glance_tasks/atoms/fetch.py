# SPDX-License-Identifier: Apache-2.0
"""The step that fetches an image from an address."""

from glance_tasks import ports
from glance_tasks.atoms import arrival


class FetchImage(arrival.Arrival):
    """Copy the image into the work directory, with its digests.

    Goes on where an earlier run was cut. Provides ``fetched``.

    :ivar digests: that are computed in any case, by their names in hashlib

    Reverting removes the copy.
    """

    def execute(self, uri: str, checksum: str | None = None) -> ports.Artifact:
        """Fetch ``uri``.

        :param checksum: ``ALGORITHM:DIGEST`` that the bytes must have, with
            sha256, sha384 or sha512; None takes any
        :raises FetchError: when the bytes cannot be had
        :raises ChecksumMismatch: when they are others than was promised
        :raises DiskFull: when there is no room
        """
        run = self.run
        return self._arrived(
            lambda algorithms: run.fetcher.fetch(
                uri,
                self._path,
                algorithms=algorithms,
                max_bytes=run.limits.max_bytes,
                stop=run.stop,
                progress=run.progress,
            ),
            checksum,
        )
