# SPDX-License-Identifier: Apache-2.0
"""file sources: what lies under the roots, and nothing else."""

import hashlib
import os
import socket

import pytest

from glance_tasks import exceptions
from glance_tasks.testing import doubles
from glance_tasks.transfer import fetcher
from tests.support import fetching

BODY = os.urandom(300_000)
MORE = b"more" * 5000


@pytest.fixture
def root(tmp_path):
    place = tmp_path / "images"
    (place / "deep er").mkdir(parents=True)
    (place / "deep er" / "a.img").write_bytes(BODY)
    (tmp_path / "outside").write_bytes(b"secret")
    return place


def failing(root, path, target, **options):
    with pytest.raises(exceptions.FetchError) as caught:
        fetching.fetch(
            f"file://{path}", target, file_roots=(str(root),), **options
        )
    return caught.value


@pytest.mark.parametrize("host", ["", "localhost"])
def test_a_file_under_a_root_is_fetched(root, tmp_path, host):
    uri = f"file://{host}{root}/deep%20er/a.img"

    fetched = fetching.fetch(uri, tmp_path / "a", file_roots=(str(root),))

    assert (tmp_path / "a").read_bytes() == BODY
    assert fetched.digests["sha512"] == hashlib.sha512(BODY).hexdigest()


def test_no_file_is_allowed_without_roots(root, tmp_path):
    uri = f"file://{root}/deep%20er/a.img"

    with pytest.raises(exceptions.FetchError) as caught:
        fetcher.GuardedFetcher().preflight(uri)

    assert caught.value.code == "source_not_allowed"


@pytest.mark.parametrize(
    "suffix",
    [
        "",
        "/",
        "/../outside",
        "/%2e%2e/outside",
        "/deep%20er/../../outside",
        "-elsewhere/a",
        "/../missing",
        "/a%00b",
        "/deep%20er/a.img?x=1",
    ],
)
def test_a_path_that_leads_out_is_refused_before_it_is_opened(root, suffix):
    guard = fetcher.GuardedFetcher(fetching.allowing(file_roots=(str(root),)))

    with pytest.raises(exceptions.FetchError) as caught:
        guard.preflight(f"file://{root}{suffix}")

    assert caught.value.code == "source_not_allowed"


@pytest.mark.parametrize("host", ["images.example", "127.0.0.1", "user@"])
def test_a_file_on_another_host_is_refused(root, tmp_path, host):
    error = failing(root, f"{host}{root}/a", tmp_path / "a")

    assert error.code == "source_not_allowed"


def test_a_link_to_the_outside_is_refused(root, tmp_path):
    (tmp_path / "hidden").write_bytes(b"secret")
    (root / "link").symlink_to(tmp_path / "hidden")
    (root / "way").symlink_to(tmp_path)

    error = failing(root, root / "link", tmp_path / "a")
    other = failing(root, root / "way" / "hidden", tmp_path / "a")

    assert (error.code, other.code) == ("source_not_allowed",) * 2
    assert "hidden" not in str(error)


def test_a_link_within_the_root_is_followed(root, tmp_path):
    (root / "link").symlink_to(root / "deep er")

    fetched = fetching.fetch(
        f"file://{root}/link/a.img",
        tmp_path / "a",
        file_roots=(str(root),),
    )

    assert fetched.size == len(BODY)


def test_a_root_may_be_a_link_itself(root, tmp_path):
    (tmp_path / "root").symlink_to(root)

    fetched = fetching.fetch(
        f"file://{tmp_path}/root/deep%20er/a.img",
        tmp_path / "a",
        file_roots=(str(tmp_path / "root"),),
    )

    assert fetched.size == len(BODY)


def test_only_regular_files_are_opened(root, tmp_path):
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(root / "socket"))
        for name in "fifo", "socket", "deep er":
            uri = f"{root}/{name}".replace(" ", "%20")

            error = failing(root, uri, tmp_path / "a")

            assert error.code == "source_not_allowed"
            assert "not a regular file" in str(error)


def test_a_device_is_not_opened(tmp_path):
    error = failing("/dev", "/dev/zero", tmp_path / "a")

    assert error.code == "source_not_allowed"
    assert "not a regular file" in str(error)


@pytest.mark.parametrize("name", ["missing", "deep%20er/a.img/below"])
def test_a_file_that_is_not_there_is_not_found(root, tmp_path, name):
    error = failing(root, root / name, tmp_path / "a")

    assert error.code == "source_not_found"


def test_a_file_larger_than_allowed_is_refused(root, tmp_path):
    error = failing(
        root, f"{root}/deep%20er/a.img", tmp_path / "a", max_bytes=299_999
    )

    assert error.code == "source_too_big"


def test_a_fetch_that_was_stopped_goes_on(root, tmp_path):
    uri = f"file://{root}/deep%20er/a.img"
    options = {"file_roots": (str(root),), "chunk_size": 64 << 10}
    stopped = doubles.StopAfter(60)

    with pytest.raises(exceptions.LeaseLost):
        fetching.fetch(uri, tmp_path / "a", stop=stopped, **options)
    begun = (tmp_path / "a").stat().st_ino
    fetched = fetching.fetch(uri, tmp_path / "a", **options)

    assert (tmp_path / "a").read_bytes() == BODY
    assert (tmp_path / "a").stat().st_ino == begun
    assert fetched.refetched < len(BODY) // 2


class Rewriting(doubles.RecordingProgress):
    """Appends to the source near the beginning of a pass over it."""

    def __init__(self, path, times):
        super().__init__()
        self._path, self._left = path, times

    def bytes(self, done, total):
        super().bytes(done, total)
        if self._left and done < 10_000:
            self._left -= 1
            with self._path.open("ab") as file:
                file.write(MORE)


def test_a_file_that_changes_while_it_is_read_is_read_again(root, tmp_path):
    path = root / "deep er" / "a.img"

    fetching.fetch(
        f"file://{root}/deep%20er/a.img",
        tmp_path / "a",
        file_roots=(str(root),),
        chunk_size=64 << 10,
        progress=Rewriting(path, 3),
    )

    assert (tmp_path / "a").read_bytes() == BODY + MORE * 3


def test_a_file_that_keeps_changing_is_given_up(root, tmp_path):
    path = root / "deep er" / "a.img"

    error = failing(
        root,
        f"{root}/deep%20er/a.img",
        tmp_path / "a",
        chunk_size=64 << 10,
        progress=Rewriting(path, 4),
    )

    assert error.code == "source_changed"
