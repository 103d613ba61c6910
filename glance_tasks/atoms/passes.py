# SPDX-License-Identifier: Apache-2.0
"""The progress of an atom that goes over its bytes more than once."""

from glance_tasks import ports


class Pass:
    """Shows one of several passes of the same length as a part of all."""

    def __init__(
        self, progress: ports.Progress, number: int, of: int, size: int
    ) -> None:
        """Report to ``progress``.

        :param number: of this pass, from 0
        :param of: how many there are
        :param size: of each, in bytes
        """
        self._progress = progress
        self._before, self._total = number * size, of * size

    def bytes(self, done: int, total: int | None) -> None:
        """Report ``done`` bytes of this pass."""
        self._progress.bytes(
            min(self._before + done, self._total), self._total
        )

    def advanced(self) -> None:
        """Report that what is on disk now would survive this process."""
        self._progress.advanced()
