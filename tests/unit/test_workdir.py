# SPDX-License-Identifier: Apache-2.0
"""Each claim has a directory of its own; the one before it loses its own."""

import contextlib
import os
import uuid

import pytest

from glance_tasks import exceptions
from glance_tasks import workdir

TASK = str(uuid.uuid4())


@pytest.fixture
def area(tmp_path):
    return workdir.WorkArea(tmp_path / "work")


def test_a_first_claim_gets_an_empty_directory(area):
    taken = area.take(TASK, 1)

    assert taken.is_dir()
    assert list(taken.iterdir()) == []


def test_a_directory_is_its_owners_alone(area):
    taken = area.take(TASK, 1)

    assert taken.stat().st_mode & 0o077 == 0
    assert taken.parent.stat().st_mode & 0o077 == 0


def test_a_claim_takes_over_what_the_one_before_it_left(area):
    (area.take(TASK, 1) / "image").write_text("half")

    taken = area.take(TASK, 2)

    assert (taken / "image").read_text() == "half"


def test_what_an_earlier_claim_knows_by_path_is_gone(area):
    old = area.take(TASK, 1)
    (old / "image").write_text("half")
    area.take(TASK, 2)

    with pytest.raises(FileNotFoundError):
        (old / "image").write_text("other")
    with pytest.raises(FileNotFoundError):
        (old / "image").unlink()


def test_a_claim_finds_its_own_directory_again(area):
    (area.take(TASK, 3) / "image").write_text("half")

    taken = area.take(TASK, 3)

    assert (taken / "image").read_text() == "half"


def test_of_several_earlier_claims_the_last_is_taken_over(area):
    for fence in (1, 2, 10):
        (area.root / TASK / str(fence)).mkdir(parents=True)
        (area.root / TASK / str(fence) / "image").write_text(str(fence))

    taken = area.take(TASK, 11)

    assert (taken / "image").read_text() == "10"
    assert [path.name for path in taken.parent.iterdir()] == ["11"]


def test_a_claim_that_comes_late_takes_nothing_from_its_successor(area):
    (area.take(TASK, 2) / "image").write_text("the successor's")

    with pytest.raises(exceptions.LeaseLost):
        area.take(TASK, 1)

    assert (area.take(TASK, 2) / "image").read_text() == "the successor's"


def test_a_claim_that_ends_removes_its_own_directory(area):
    (area.take(TASK, 1) / "image").write_text("whole")

    area.remove(TASK, 1)

    assert list(area.root.iterdir()) == []


def test_a_claim_that_ends_late_leaves_its_successors_directory(area):
    (area.take(TASK, 2) / "image").write_text("the successor's")

    area.remove(TASK, 1)

    assert (area.root / TASK / "2" / "image").exists()


def test_a_sweep_removes_whatever_claims_left(area):
    for fence in (1, 7):
        (area.root / TASK / str(fence)).mkdir(parents=True)

    area.sweep(TASK)

    assert list(area.root.iterdir()) == []


def test_removing_what_is_not_there_is_no_error(area):
    area.remove(TASK, 1)
    area.sweep(TASK)


def test_only_directories_of_tasks_are_listed(area):
    area.take(TASK, 1)
    (area.root / ".conductors").mkdir()
    (area.root / "lost+found").mkdir()

    assert list(area.task_ids()) == [TASK]


def test_where_no_task_ever_ran_none_is_listed(area):
    assert list(area.task_ids()) == []


def test_a_contested_claim_gets_files_that_nobody_else_has_open(area):
    old = area.take(TASK, 1) / "image"
    old.write_text("verified")

    with old.open("r+") as held_by_the_frozen_one:
        new = area.take(TASK, 2, apart=True) / "image"
        held_by_the_frozen_one.write("thawed!!")

    assert new.read_text() == "verified"
    assert not old.exists()


def test_a_contested_claim_keeps_holes(area):
    old = area.take(TASK, 1) / "image"
    with old.open("wb") as file:
        file.seek(16 << 20)
        file.write(b"end")

    new = area.take(TASK, 2, apart=True) / "image"

    assert new.stat().st_size == (16 << 20) + 3
    assert new.stat().st_blocks * 512 < 1 << 20


def test_copying_that_was_cut_is_done_by_the_next_claim(area):
    old = area.take(TASK, 1) / "image"
    old.write_text("verified")
    inode = old.stat().st_ino

    def cut():
        raise KeyboardInterrupt

    # cp may be done before anybody asks; the directory is then whole.
    with contextlib.suppress(KeyboardInterrupt):
        area.take(TASK, 2, apart=True, check=cut)
    new = area.take(TASK, 3) / "image"

    assert new.read_text() == "verified"
    assert new.stat().st_ino != inode
    assert [entry.name for entry in new.parent.parent.iterdir()] == ["3"]


def test_a_copy_that_was_frozen_is_not_put_in_place_after_its_successor(
    area, monkeypatch
):
    (area.take(TASK, 1) / "image").write_text("verified")
    rename = os.rename

    def freeze_before(source, target):
        """Let the next claim come and go before a copy is put in place."""
        if str(source).endswith(".new"):
            monkeypatch.setattr(os, "rename", rename)
            area.take(TASK, 3)
            area.remove(TASK, 3)
        rename(source, target)

    monkeypatch.setattr(os, "rename", freeze_before)
    with pytest.raises(exceptions.LeaseLost, match="claim 2"):
        area.take(TASK, 2, apart=True)

    assert list(area.task_ids()) == []
