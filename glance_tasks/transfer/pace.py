# SPDX-License-Identifier: Apache-2.0
"""Tells a slow source from one that is too slow."""

#: Seconds over which the rate is taken.
WINDOW = 60.0


class Pace:
    """Adds up waiting and bytes; only time spent waiting for them counts."""

    def __init__(self, min_rate: int, window: float) -> None:
        """Begin a window.

        :param min_rate: bytes per second; 0 allows any
        :param window: seconds
        """
        self._least, self._window = min_rate * window, window
        self._waited, self._bytes = 0.0, 0

    def keeps(self, waited: float, count: int) -> bool:
        """Take ``count`` bytes that came after ``waited`` seconds.

        :returns: False when a window has ended with too few
        """
        self._waited += waited
        self._bytes += count
        if self._waited < self._window:
            return True
        enough = self._bytes >= self._least
        self._waited, self._bytes = 0.0, 0
        return enough
