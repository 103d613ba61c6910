# SPDX-License-Identifier: Apache-2.0
"""What tests of the engine begin with; a module may have its own instead."""

import pytest

from tests.support import engines
from tests.support import task_types


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def world(tmp_path):
    return task_types.World(tmp_path / "world")


@pytest.fixture
def engine(home):
    with engines.opened(home, max_attempts=3) as engine:
        yield engine
