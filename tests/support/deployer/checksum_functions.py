# SPDX-License-Identifier: Apache-2.0
"""Tests of the checksum as functions: pytest THIS_FILE."""

import hashlib

from deployer_tasks import ChecksumTask
from deployer_tasks import HashData
import pytest

from glance_tasks import Conductor
from glance_tasks import LeaseLost
from glance_tasks import TaskNotFound
from glance_tasks.testing import context
from glance_tasks.testing import EngineFixture
from glance_tasks.testing import find_leftovers
from glance_tasks.testing import HttpSource
from glance_tasks.testing import Resource
from glance_tasks.testing import StopAfter

BODY = b"an image" * 100_000
SHA256 = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def kit():
    with EngineFixture(types={"checksum": ChecksumTask}) as kit:
        yield kit


@pytest.fixture
def source():
    with HttpSource() as source:
        yield source


def test_the_digest_is_that_of_the_bytes(kit, source):
    uri = source.put("/a", Resource(BODY))
    submitted = kit.engine.submit("checksum", {"uri": uri})

    task = kit.run(submitted.id)

    assert task.result == {"sha256": SHA256}
    assert find_leftovers(kit.engine) == []


def test_what_has_ended_is_forgotten_after_two_days(kit, source):
    uri = source.put("/a", Resource(BODY))
    task = kit.run(kit.engine.submit("checksum", {"uri": uri}).id)

    kit.clock.advance(2 * 24 * 3600)
    Conductor(kit.engine).run(until_idle=True)

    with pytest.raises(TaskNotFound):
        kit.engine.get(task.id)


# --- the atom alone ----------------------------------------------------------


def test_the_atom_gives_the_digest(tmp_path):
    (tmp_path / "fetched").write_bytes(BODY)
    atom = HashData(context(tmp_path))

    assert atom.execute({"name": "fetched", "size": len(BODY)}) == SHA256


def test_the_atom_looks_at_the_stop_signal(tmp_path):
    (tmp_path / "fetched").write_bytes(BODY)
    atom = HashData(context(tmp_path, stop=StopAfter(2)))

    with pytest.raises(LeaseLost):
        atom.execute({"name": "fetched", "size": len(BODY)})
