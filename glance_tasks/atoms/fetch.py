# SPDX-License-Identifier: Apache-2.0
"""The step that fetches an image from an address."""

import functools

from glance_tasks import ports
from glance_tasks.atoms import arrival


class FetchImage(arrival.Arrival):
    """Copy the image into the work directory, with its digests.

    Goes on where an earlier run was cut. Provides ``fetched``.

    :ivar digests: that are computed in any case, by their names in hashlib

    A retry goes on where the task was that it retries. Reverting puts the
    copy by for one, or removes it.
    """

    def execute(self, uri: str, checksum: str | None = None) -> ports.Artifact:
        """Fetch ``uri``.

        :param checksum: ``ALGORITHM:DIGEST`` that the bytes must have, with
            sha256, sha384 or sha512; None takes any
        :raises FetchError: when the bytes cannot be had
        :raises ChecksumMismatch: when they are others than was promised
        :raises DiskFull: when there is no room
        """
        return self._arrived(functools.partial(self._fetch, uri), checksum)

    def _fetch(self, uri: str, algorithms: tuple[str, ...]) -> ports.Fetched:
        run = self.run
        lent = self._lent()
        if lent is not None:
            whose, size = lent
            self._reused(size, whose)
        # The fetcher verifies it as it does what an earlier run left.
        return run.fetcher.fetch(
            uri,
            self._path,
            algorithms=algorithms,
            max_bytes=run.limits.max_bytes,
            stop=run.stop,
            progress=run.progress,
        )
