# SPDX-License-Identifier: Apache-2.0
"""What every image store must do, beside the work directory and apart."""

import contextlib

import pytest

from glance_tasks import exceptions
from glance_tasks.testing import doubles
from tests.support import stores

# --- storing -----------------------------------------------------------------


def test_an_object_is_given_back_as_it_was_put(store, work_file):
    size = stores.put(store, work_file)

    assert size == store.size(stores.KEY) == len(stores.CONTENT)
    assert stores.content(store) == stores.CONTENT
    assert list(store.keys()) == [stores.KEY]


def test_nothing_but_the_object_is_left_in_the_store(store, root, work_file):
    stores.put(store, work_file)

    assert stores.names(root) == [stores.KEY]


def test_nobody_may_write_to_an_object(store, root, work_file):
    stores.put(store, work_file)

    assert (root / stores.KEY).stat().st_mode & 0o777 == 0o440


def test_an_empty_file_is_an_object_too(store, work_file):
    work_file.write_bytes(b"")

    assert stores.put(store, work_file) == store.size(stores.KEY) == 0


def test_progress_ends_with_every_byte(store, work_file):
    progress = doubles.RecordingProgress()

    stores.put(store, work_file, progress=progress)

    done = [report[0] for report in progress.reports]
    assert done == sorted(done)
    assert progress.reports[-1] == (len(stores.CONTENT), len(stores.CONTENT))


def test_on_one_file_system_the_bytes_are_not_copied(tmp_path, work_file):
    beside = stores.make_store(tmp_path / "store")

    stores.put(beside, work_file)

    assert (tmp_path / "store" / stores.KEY).samefile(work_file)


def test_a_hole_is_copied_as_a_hole(apart, elsewhere, work_file):
    with work_file.open("wb") as file:
        file.truncate(64 * stores.BUFFER)
        file.seek(20 * stores.BUFFER)
        file.write(b"in the middle")

    stores.put(apart, work_file)

    stored = (elsewhere / "store" / stores.KEY).stat()
    assert stored.st_size == 64 * stores.BUFFER
    assert stored.st_blocks * 512 < stores.BUFFER
    assert stores.content(apart) == work_file.read_bytes()


def test_a_file_of_one_hole_is_copied(apart, work_file):
    with work_file.open("wb") as file:
        file.truncate(5 * stores.BUFFER + 1)

    stores.put(apart, work_file)

    assert stores.content(apart) == bytes(5 * stores.BUFFER + 1)


# --- storing again -----------------------------------------------------------


def test_storing_the_same_file_again_is_no_error(store, root, work_file):
    stores.put(store, work_file)
    inode = (root / stores.KEY).stat().st_ino

    size = stores.put(store, work_file, fence=stores.Claim(2))

    assert size == len(stores.CONTENT)
    assert (root / stores.KEY).stat().st_ino == inode


def test_storing_the_same_file_again_reads_none_of_it(tmp_path, work_file):
    beside = stores.make_store(tmp_path / "store")
    stores.put(beside, work_file)

    stores.put(
        beside,
        work_file,
        fence=stores.Claim(2),
        stop=doubles.StopAfter(1, AssertionError("a buffer was read")),
    )

    assert stores.content(beside) == stores.CONTENT


def test_storing_another_file_of_the_same_bytes_is_no_error(store, work_file):
    stores.put(store, work_file)
    fetched_again = work_file.with_name("again")
    fetched_again.write_bytes(stores.CONTENT)

    stores.put(store, fetched_again, fence=stores.Claim(2))

    assert stores.content(store) == stores.CONTENT


@pytest.mark.parametrize(
    "other", [stores.CONTENT[:-1] + b"?", stores.CONTENT + b"?", b""]
)
def test_another_object_is_never_overwritten(store, root, work_file, other):
    stores.put(store, work_file)
    other_file = work_file.with_name("other")
    other_file.write_bytes(other)

    with pytest.raises(exceptions.StoreError, match="never overwritten"):
        stores.put(store, other_file, fence=stores.Claim(2))

    assert stores.content(store) == stores.CONTENT
    assert stores.names(root) == [stores.KEY]


def test_what_appears_during_the_copy_is_not_overwritten(apart, work_file):
    other = work_file.with_name("other")
    other.write_bytes(b"other")

    def store_the_other():
        with contextlib.suppress(exceptions.StoreError):
            stores.put(apart, other, fence=stores.Claim(0))

    stop = doubles.StopWhen(store_the_other)

    with pytest.raises(exceptions.StoreError):
        stores.put(apart, work_file, stop=stop)

    assert stores.content(apart) == b"other"


# --- deleting ----------------------------------------------------------------


def test_a_deleted_object_is_gone(store, root, work_file):
    stores.put(store, work_file)

    store.delete(stores.KEY, fence=stores.Claim(1))

    assert store.size(stores.KEY) is None
    assert list(store.keys()) == stores.names(root) == []
    assert work_file.read_bytes() == stores.CONTENT


def test_deleting_twice_or_what_is_not_there_is_no_error(store, work_file):
    store.delete(stores.KEY, fence=stores.Claim(1))
    stores.put(store, work_file)

    store.delete(stores.KEY, fence=stores.Claim(1))
    store.delete(stores.KEY, fence=stores.Claim(2))

    assert store.size(stores.KEY) is None


def test_what_is_not_there_has_no_size_and_cannot_be_opened(store):
    assert store.size(stores.KEY) is None
    assert list(store.keys()) == []
    with pytest.raises(exceptions.StoreError, match="cannot be read"):
        store.open(stores.KEY)


# --- keys --------------------------------------------------------------------


@pytest.mark.parametrize(
    "key",
    [
        *("", ".", "..", ".hidden", "a/b", "../a", "/a", "a\n", "a\0"),
        *("é", "a b", "a" * 201),
    ],
)
def test_a_key_cannot_lead_out_of_the_store(store, work_file, key):
    keywords = {
        "stop": doubles.NeverStop(),
        "progress": doubles.RecordingProgress(),
        "fence": stores.Claim(1),
    }

    for call in (
        lambda: store.put(key, work_file, **keywords),
        lambda: store.delete(key, fence=stores.Claim(1)),
        lambda: store.size(key),
        lambda: store.open(key),
    ):
        with pytest.raises(exceptions.StoreError, match="is no key"):
            call()


def test_a_link_in_the_store_is_no_object(store, root, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("secret")
    root.mkdir(parents=True)
    (root / stores.KEY).symlink_to(secret)

    assert store.size(stores.KEY) is None
    assert list(store.keys()) == []
    with pytest.raises(exceptions.StoreError):
        store.open(stores.KEY)
