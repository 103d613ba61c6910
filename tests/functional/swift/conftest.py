# SPDX-License-Identifier: Apache-2.0
"""What tests against a real Swift begin with; a module may have its own."""

import os

import pytest

from tests.support import swift as swifts


@pytest.fixture(scope="session")
def account(swift):
    return swifts.Account(swift)


@pytest.fixture
def container(account):
    return account.container()


@pytest.fixture
def file(tmp_path):
    """A file of two parts and a bit."""
    path = tmp_path / "image"
    path.write_bytes(os.urandom(2 * swifts.PART + 7))
    return path


@pytest.fixture
def parcel(swift, container, file):
    return swifts.parcel(
        f"swift://{container}/out/a%20disk", file, swift.credentials
    )
