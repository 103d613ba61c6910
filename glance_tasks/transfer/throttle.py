# SPDX-License-Identifier: Apache-2.0
"""Keeps transfers from taking more of a network than they may."""

from collections.abc import Callable
import threading
import time

from glance_tasks.transfer import endpoint


class Throttle:
    """What all transfers of one side take together. Shared between threads.

    Bytes are waited for after they have passed, a quarter of a second's worth
    at a time, so that no moment has more than that and no stretch from its
    beginning more than the rate.
    """

    def __init__(
        self,
        rate: int,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Begin with nothing to wait for.

        :param rate: bytes per second; 0 allows any
        """
        self._rate, self._clock, self._sleep = rate, clock, sleep
        self._paid_until = 0.0
        self._lock = threading.Lock()

    def share(self, size: int) -> int:
        """Give how many of ``size`` bytes may pass at once."""
        if not self._rate:
            return size
        return min(size, max(1, int(self._rate * endpoint.SLICE)))

    def take(self, count: int, check: Callable[[], None]) -> float:
        """Wait until ``count`` bytes more are within the rate.

        :param check: called at least four times a second; leaves by raising
        :returns: the seconds that were waited
        """
        if not self._rate or not count:
            return 0.0
        began = self._clock()
        with self._lock:
            since = max(self._paid_until, began)
            self._paid_until = until = since + count / self._rate
        while (left := until - self._clock()) > 0:
            check()
            self._sleep(min(left, endpoint.SLICE))
        return self._clock() - began
