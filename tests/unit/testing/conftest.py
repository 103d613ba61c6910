# SPDX-License-Identifier: Apache-2.0
"""What tests of the kit begin with."""

import pytest

from tests.support import task_types


@pytest.fixture
def world(tmp_path):
    """Give a place where atoms leave traces."""
    return task_types.World(tmp_path / "world")
