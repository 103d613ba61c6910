# SPDX-License-Identifier: Apache-2.0
"""Object stores of real servers, as fixtures."""

from glance_tasks.testing import fixture
from glance_tasks.testing import swift_server


class SwiftFixture(fixture.PlainFixture):
    """An OpenStack Swift of our own, with an empty account in it.

    It runs under a temporary directory and takes only credentials that were
    made up for it: it cannot be taken for another one. It ends with the
    fixture, and with the tests when they are killed. ``setUp`` raises
    :class:`ServerAbsent` where Swift is not installed.

    :ivar server: the running :class:`SwiftServer`
    """

    server: swift_server.SwiftServer

    def _setUp(self) -> None:
        self.server = self._enter(swift_server.running())
