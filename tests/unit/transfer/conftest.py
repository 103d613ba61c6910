# SPDX-License-Identifier: Apache-2.0
from collections.abc import Iterator

import pytest

from glance_tasks.testing import http_source


@pytest.fixture
def source() -> Iterator[http_source.HttpSource]:
    """Give a running HTTP server without any resource yet."""
    with http_source.HttpSource() as running:
        yield running
