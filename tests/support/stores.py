# SPDX-License-Identifier: Apache-2.0
"""Directory stores beside the work directory and on other file systems."""

import contextlib
import os
import pathlib
import shutil
import tempfile

from oslo_config import cfg
import pytest

from glance_tasks import opts
from glance_tasks.adapters import directory_store
from glance_tasks.testing import doubles
from glance_tasks.testing import full_disk

KEY = "5b1f0b0e-6f7c-4a57-8d0e-1f5d0b1c2a3b"
BUFFER = 1 << 20
CONTENT = os.urandom(BUFFER) * 3 + b"the end"


class Claim:
    """The fence of one claim; what happens while it is asked is a freeze."""

    def __init__(self, number, meanwhile=lambda: None):
        """Let through, after ``meanwhile`` was called."""
        self.number = number
        self._meanwhile = meanwhile

    def check(self):
        """Let through."""
        self._meanwhile()


def make_store(root):
    """Make a store in the directory ``root``."""
    conf = cfg.ConfigOpts()
    opts.register_opts(conf)
    conf.set_override("store_dir", str(root), "glance_tasks")
    return directory_store.DirectoryStore(conf)


@pytest.fixture
def elsewhere(tmp_path):
    """Give a directory on another file system than ``tmp_path``."""
    memory = pathlib.Path("/dev/shm")  # noqa: S108 - a file system
    if memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system")
    place = pathlib.Path(tempfile.mkdtemp(dir=memory))
    yield place
    shutil.rmtree(place)


@pytest.fixture(params=["same file system", "another file system"])
def root(request, tmp_path):
    """Give the directory of ``store``; it does not exist yet."""
    if request.param == "same file system":
        return tmp_path / "new" / "store"
    return request.getfixturevalue("elsewhere") / "new" / "store"


@pytest.fixture
def store(root):
    """Give a store, on the work directory's file system and on another."""
    return make_store(root)


@pytest.fixture
def apart(elsewhere):
    """Give a store on another file system than the work directory."""
    return make_store(elsewhere / "store")


@pytest.fixture
def work_file(tmp_path):
    """Give a file of ``CONTENT`` in a work directory."""
    work_dir = tmp_path / "work"
    work_dir.mkdir()
    path = work_dir / "fetched"
    path.write_bytes(CONTENT)
    return path


def put(store, path, *, fence=None, stop=None, progress=None):
    """Store the file under ``KEY``."""
    return store.put(
        KEY,
        path,
        stop=stop or doubles.NeverStop(),
        progress=progress or doubles.RecordingProgress(),
        fence=fence or Claim(1),
    )


def content(store, key=KEY):
    """Give all bytes of an object."""
    with store.open(key) as found:
        return found.read()


def names(root):
    """Give the names in a directory, hidden ones too."""
    return sorted(entry.name for entry in os.scandir(root))


@contextlib.contextmanager
def mounted(place, room_bytes, **how):
    """Mount a file system in memory at ``place`` for the block."""
    with contextlib.ExitStack() as stack:
        disk = full_disk.FullDisk(place, room_bytes, **how)
        try:
            stack.enter_context(disk)
        except full_disk.DiskAbsent as error:
            pytest.skip(str(error))
        yield disk.path
