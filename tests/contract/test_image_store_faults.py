# SPDX-License-Identifier: Apache-2.0
"""An image store whose runs are cut, frozen, or find it failing."""

import contextlib
import os
import pathlib
import subprocess
import sys

import pytest

from glance_tasks import exceptions
from glance_tasks.testing import doubles
from tests.support import stores

ROOT = pathlib.Path(__file__).parents[2]


# --- interruption ------------------------------------------------------------


@pytest.mark.parametrize("check", range(1, 5))
def test_a_copy_that_is_stopped_leaves_nothing(
    apart, elsewhere, work_file, check
):
    with pytest.raises(exceptions.LeaseLost):
        stores.put(apart, work_file, stop=doubles.StopAfter(check))

    assert stores.names(elsewhere / "store") == []


def test_comparing_with_what_is_stored_can_be_stopped(apart, work_file):
    stores.put(apart, work_file)

    with pytest.raises(exceptions.LeaseLost):
        stores.put(
            apart, work_file, fence=stores.Claim(2), stop=doubles.StopAfter(2)
        )


KILLED = """
import os, pathlib, sys
from glance_tasks.testing import doubles
from tests.support import stores
class Progress(doubles.RecordingProgress):
    def bytes(self, done, total):
        if done >= 2 * stores.BUFFER:
            os._exit(9)
stores.put(
    stores.make_store(sys.argv[1]), pathlib.Path(sys.argv[2]),
    progress=Progress(),
)
"""


def put_and_die(root, work_file):
    died = subprocess.run(
        [sys.executable, "-c", KILLED, str(root), str(work_file)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert died.returncode == 9


def test_after_a_kill_the_store_shows_nothing_and_the_next_run_all(
    apart, elsewhere, work_file
):
    root = elsewhere / "store"
    put_and_die(root, work_file)
    left, shown = stores.names(root), list(apart.keys())

    stores.put(apart, work_file, fence=stores.Claim(2))

    assert (left, shown) == ([f".{stores.KEY}.1.part"], [])
    assert stores.names(root) == [stores.KEY]
    assert stores.content(apart) == stores.CONTENT


def test_after_a_kill_deleting_leaves_nothing(apart, elsewhere, work_file):
    root = elsewhere / "store"
    put_and_die(root, work_file)
    (root / f".{stores.KEY}.x.7.part").write_bytes(
        b"of a key that begins alike"
    )

    apart.delete(stores.KEY, fence=stores.Claim(2))

    assert stores.names(root) == [f".{stores.KEY}.x.7.part"]


# --- frozen predecessors -----------------------------------------------------


def test_the_fence_is_asked_before_the_object_appears(store, root, work_file):
    with pytest.raises(exceptions.LeaseLost):
        stores.put(store, work_file, fence=doubles.LostFence())

    assert stores.names(root) == []


def test_a_run_that_loses_its_lease_during_the_copy_leaves_nothing(
    apart, elsewhere, work_file
):
    root = elsewhere / "store"

    def lose_it_after_the_copy():
        if stores.names(root):
            raise exceptions.LeaseLost("claimed by another conductor")

    fence = stores.Claim(1, meanwhile=lose_it_after_the_copy)

    with pytest.raises(exceptions.LeaseLost):
        stores.put(apart, work_file, fence=fence)

    assert stores.names(root) == []


def test_the_fence_is_asked_before_the_object_is_deleted(store, work_file):
    stores.put(store, work_file)

    with pytest.raises(exceptions.LeaseLost):
        store.delete(stores.KEY, fence=doubles.LostFence())

    assert stores.content(store) == stores.CONTENT


def test_a_copy_frozen_before_its_last_step_does_not_appear_after_a_delete(
    apart, elsewhere, work_file
):
    root = elsewhere / "store"

    def undo():
        if stores.names(root):
            apart.delete(stores.KEY, fence=stores.Claim(2))

    frozen = stores.Claim(1, meanwhile=undo)

    with pytest.raises(exceptions.StoreError):
        stores.put(apart, work_file, fence=frozen)

    assert stores.names(root) == []


def test_a_link_frozen_before_its_last_step_does_not_appear_after_takeover(
    tmp_path, work_file
):
    beside = stores.make_store(tmp_path / "store")
    taken = tmp_path / "successor"
    frozen = stores.Claim(1, meanwhile=lambda: work_file.parent.rename(taken))

    with pytest.raises(exceptions.StoreError):
        stores.put(beside, work_file, fence=frozen)

    assert stores.names(tmp_path / "store") == []


@pytest.mark.parametrize("late", ["put", "delete"])
def test_a_late_predecessor_leaves_its_successors_copy_alone(
    apart, elsewhere, work_file, late
):
    def act_late():
        if late == "delete":
            apart.delete(stores.KEY, fence=stores.Claim(1))
        else:
            with contextlib.suppress(exceptions.LeaseLost):
                stores.put(apart, work_file, fence=doubles.LostFence())

    stores.put(
        apart,
        work_file,
        stop=doubles.StopWhen(act_late),
        fence=stores.Claim(2),
    )

    assert stores.content(apart) == stores.CONTENT
    assert stores.names(elsewhere / "store") == [stores.KEY]


# --- a store that fails ------------------------------------------------------


def test_a_store_that_can_be_written_to_passes_preflight(store, root):
    store.preflight()

    assert stores.names(root) == []


def test_a_full_store_is_named_so_and_can_be_cleaned(tmp_path, work_file):
    with stores.mounted(tmp_path / "small", 2 << 20) as place:
        small = stores.make_store(place)
        claim = stores.Claim(1)

        with pytest.raises(exceptions.StoreError) as caught:
            stores.put(small, work_file, fence=claim)
        left = stores.names(place)

        small.delete(stores.KEY, fence=claim)
        assert caught.value.code == "store_full"
        assert caught.value.retryable
        assert str(place) not in str(caught.value)
        assert left == stores.names(place) == []


def test_a_store_that_is_read_only_is_named_so(tmp_path, work_file):
    with stores.mounted(
        tmp_path / "read-only", 2 << 20, read_only=True
    ) as place:
        read_only = stores.make_store(place)

        for call in (
            read_only.preflight,
            lambda: stores.put(read_only, work_file),
        ):
            with pytest.raises(exceptions.StoreError, match="Read-only") as e:
                call()
            assert e.value.code == "store_unavailable"
            assert str(place) not in str(e.value)
            assert str(place) in e.value.detail["cause"]


def test_a_store_that_cannot_be_made_is_named_so(tmp_path, work_file):
    (tmp_path / "file").write_text("no directory")
    broken = stores.make_store(tmp_path / "file" / "store")

    for call in (broken.preflight, lambda: stores.put(broken, work_file)):
        with pytest.raises(exceptions.StoreError) as caught:
            call()
        assert caught.value.code == "store_unavailable"


def test_a_file_system_without_links_gets_a_copy(
    tmp_path, work_file, monkeypatch
):
    def refuse(*names, **options):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    beside = stores.make_store(tmp_path / "store")

    stores.put(beside, work_file)

    assert stores.content(beside) == stores.CONTENT
    assert not (tmp_path / "store" / stores.KEY).samefile(work_file)
