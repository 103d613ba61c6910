# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the contract tests."""

from tests.support.stores import apart
from tests.support.stores import elsewhere
from tests.support.stores import root
from tests.support.stores import store
from tests.support.stores import work_file

__all__ = ["apart", "elsewhere", "root", "store", "work_file"]
