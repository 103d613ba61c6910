# SPDX-License-Identifier: Apache-2.0
"""The package as others get it, made once for all packaging tests."""

import shutil
import sys

import pytest

from tests.support import environments


@pytest.fixture(scope="session")
def files():
    """What a clone would hold, relative to the root."""
    return environments.source_files()


@pytest.fixture(scope="session")
def source(files, tmp_path_factory):
    """The source in a directory of its own, without git."""
    target = tmp_path_factory.mktemp("source") / "glance-tasks"
    for path in files:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(environments.ROOT / path, target / path)
    return target


@pytest.fixture(scope="session")
def built(source):
    """The directory of a tarball, and of the wheel built from it."""
    environments.run(
        *(sys.executable, "-m", "build", "--outdir", "dist", "."), cwd=source
    )
    return source / "dist"


@pytest.fixture(scope="session")
def from_wheel(built, tmp_path_factory):
    """An environment with the wheel installed; its ``bin``."""
    folder = tmp_path_factory.mktemp("wheel")
    (wheel,) = built.glob("*.whl")
    programs = environments.make(folder)
    environments.run(programs / "pip", "install", "-q", wheel, cwd=folder)
    return programs
