# SPDX-License-Identifier: Apache-2.0
"""The staging cache alone: its bounds, and who may use it when."""

import fcntl
import os

import pytest

from glance_tasks import ledger
from glance_tasks.transfer import cache

MIB = 1 << 20
IDS = [f"00000000-0000-4000-8000-00000000000{n}" for n in range(4)]


def make(home, name, size, mode=0o600):
    """Put a whole file by, with its ledger; give the directory."""
    path = home / name / "fetched"
    path.parent.mkdir()
    path.write_bytes(b"x" * size)
    mark = ledger.Mark(size, {}, done=True)
    ledger.Ledger(path, ledger.Record({}, (mark,))).close()
    path.chmod(mode)
    cache.put_by(path)
    return path.parent / cache.KEPT


def test_the_oldest_goes_first(tmp_path):
    one = cache.StagingCache(tmp_path / "cache", 2 * MIB)

    assert all(one.keep(i, make(tmp_path, i, MIB)) for i in IDS)

    assert sorted(one.task_ids()) == IDS[2:]


def test_what_is_larger_than_all_of_it_is_not_kept(tmp_path):
    one = cache.StagingCache(tmp_path / "cache", 2 * MIB)
    assert one.keep(IDS[0], make(tmp_path, IDS[0], MIB))
    home = make(tmp_path, "large", 3 * MIB)

    assert not one.keep(IDS[1], home)
    assert home.exists()
    assert list(one.task_ids()) == [IDS[0]]


def test_never_more_is_kept_than_is_free(tmp_path, monkeypatch):
    one = cache.StagingCache(tmp_path / "cache", 1 << 40)
    assert one.keep(IDS[0], make(tmp_path, IDS[0], MIB))
    full = os.statvfs_result((4096, 4096, 9, 9, 100, 9, 9, 9, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda path: full)

    one.trim()

    assert list(one.task_ids()) == []


def test_a_frozen_run_that_thaws_keeps_nothing(tmp_path):
    one = cache.StagingCache(tmp_path / "cache", MIB)
    home = make(tmp_path, "work", 1000)
    os.rename(home.parent, tmp_path / "successor")

    assert not one.keep(IDS[0], home)
    assert list(one.task_ids()) == []


def test_one_who_is_frozen_with_it_holds_up_nobody(tmp_path):
    one = cache.StagingCache(tmp_path / "cache", 4 * MIB)
    assert one.keep(IDS[0], make(tmp_path, IDS[0], MIB))
    frozen = os.open(one.root, os.O_RDONLY)
    fcntl.flock(frozen, fcntl.LOCK_EX)
    try:
        one.trim()
        assert not one.keep(IDS[1], make(tmp_path, IDS[1], MIB))
        assert one.lend([IDS[0]], tmp_path / "lent")
    finally:
        os.close(frozen)
    assert list(one.task_ids()) == [IDS[0]]


def test_what_an_earlier_run_brought_is_not_replaced(tmp_path):
    one = cache.StagingCache(tmp_path / "cache", MIB)
    assert one.keep(IDS[0], make(tmp_path, "work", 1000))
    path = tmp_path / "fetched"
    path.write_bytes(b"own")
    ledger.Ledger(path, ledger.Record({})).close()

    assert one.lend([IDS[0]], path) is None
    assert path.read_bytes() == b"own"


def test_what_a_store_made_read_only_can_be_written_again(tmp_path):
    one = cache.StagingCache(tmp_path / "cache", MIB)
    assert one.keep(IDS[0], make(tmp_path, "work", 1000, mode=0o440))

    assert one.lend([IDS[0]], tmp_path / "lent") == (IDS[0], 1000)
    assert (tmp_path / "lent").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["", "..", "/etc", "not-an-id"])
def test_an_id_is_one_name(tmp_path, name):
    one = cache.StagingCache(tmp_path / "cache", MIB)

    with pytest.raises(ValueError, match="UUID"):
        one.sweep(name)


def test_nothing_is_put_by_that_no_ledger_vouches_for(tmp_path):
    path = tmp_path / "fetched"
    path.write_bytes(b"half")

    cache.put_by(path)

    assert path.exists()
    assert not (tmp_path / cache.KEPT).exists()
