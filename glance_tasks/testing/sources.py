# SPDX-License-Identifier: Apache-2.0
"""The scripted HTTP source, as a fixture."""

from glance_tasks.testing import fixture
from glance_tasks.testing import http_source


class SourceFixture(fixture.PlainFixture):
    """An HTTP server on a free port of loopback whose answers are scripted.

    :ivar source: the running :class:`HttpSource`; ``source.put(path,
        Resource(...))`` scripts an answer and gives its address
    """

    source: http_source.HttpSource

    def _setUp(self) -> None:
        self.source = self._enter(http_source.HttpSource())
