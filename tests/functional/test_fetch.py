# SPDX-License-Identifier: Apache-2.0
"""Fetches that are killed, run out of room, and the step that makes them."""

import hashlib
import os
import pathlib
import random
import subprocess
import sys
import time

import pytest

from glance_tasks import context
from glance_tasks import exceptions
from glance_tasks import task
from glance_tasks.atoms import fetch
from glance_tasks.testing import contexts
from glance_tasks.testing import doubles
from glance_tasks.testing import http_source
from tests.support import fetching
from tests.support import stores

MIB = 1 << 20
ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture
def source():
    with http_source.HttpSource() as running:
        yield running


PROGRAM = """
import pathlib, resource, sys
from glance_tasks import exceptions
from tests.support import fetching
from tests.support import stores
uri, path, chunk_size, largest_file = sys.argv[1:]
limit = int(largest_file) or resource.RLIM_INFINITY
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
try:
    fetched = fetching.fetch(
        uri, pathlib.Path(path), chunk_size=int(chunk_size)
    )
    print(fetched.digests["sha512"])
except exceptions.TaskError as error:
    print(error.code, error)
"""


def child(uri, path, chunk_size=16 * MIB, largest_file=0):
    """Start a fetch in a process of its own; it prints how it ended."""
    words = [uri, str(path), str(chunk_size), str(largest_file)]
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def answer(process):
    """Wait for a process; gives what it printed."""
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return output.strip()


def kill_at(process, source, moment, number):
    """Kill a process when the source has come to a byte in its answer.

    :param number: of the request that is the process's own, from 1
    """

    def reached():
        if len(source.requests) < number:
            return False
        request = source.requests[number - 1]
        return request.start + request.sent >= moment

    deadline = time.monotonic() + 60
    while not reached():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, f"byte {moment} was not reached"
        time.sleep(0.001)
    process.kill()
    process.communicate()


# --- kill -9 ----------------------------------------------------------------


def killed_again_and_again(source, uri, path, chunk, moments):
    """Kill at each moment, then let a last run end; gives its digest."""
    for number, moment in enumerate(moments, 1):
        kill_at(child(uri, path, chunk), source, moment, number)
    return answer(child(uri, path, chunk))


@pytest.mark.parametrize("seed", [1, 2])
def test_a_fetch_killed_at_random_moments_loses_a_chunk_at_most(
    source, tmp_path, seed
):
    chance = random.Random(seed)
    body, chunk = chance.randbytes(32 * MIB), 2 * MIB
    uri = source.put("/a", http_source.Resource(body, rate=24 * MIB))
    moments = sorted(chance.sample(range(1, 30 * MIB), 4))

    digest = killed_again_and_again(
        source, uri, tmp_path / "a", chunk, moments
    )

    assert digest == hashlib.sha512(body).hexdigest()
    assert (tmp_path / "a").read_bytes() == body
    again = source.asked_again("/a")
    assert len(again) == len(moments)
    for number, count in enumerate(again, 1):
        assert count <= chunk, f"{count} bytes again after kill {number}"


def test_what_lies_in_the_kernel_s_buffers_counts_too(source, tmp_path):
    body, chunk = random.Random(3).randbytes(192 * MIB), 16 * MIB
    uri = source.put("/a", http_source.Resource(body))
    moments = [40 * MIB, 90 * MIB, 140 * MIB]

    digest = killed_again_and_again(
        source, uri, tmp_path / "a", chunk, moments
    )

    assert digest == hashlib.sha512(body).hexdigest()
    assert max(source.asked_again("/a")) <= chunk


# --- no room ----------------------------------------------------------------


@pytest.mark.parametrize("chunked", [True, False])
def test_a_file_larger_than_may_be_written_is_a_full_disk(
    source, tmp_path, chunked
):
    body = bytes(4 * MIB)
    uri = source.put("/a", http_source.Resource(body, chunked=chunked))

    told = answer(child(uri, tmp_path / "a", largest_file=2 * MIB))

    assert told.startswith("disk_full there is no room")
    assert str(tmp_path) not in told


@pytest.fixture
def small_disk(tmp_path):
    """Give a directory on a file system of 8 MiB."""
    with stores.mounted(tmp_path / "small", 8 * MIB) as place:
        yield place


def test_a_source_that_does_not_fit_is_not_begun(source, small_disk):
    uri = source.put("/a", http_source.Resource(bytes(9 * MIB)))

    with pytest.raises(exceptions.DiskFull):
        fetching.fetch(uri, small_disk / "a")

    assert (small_disk / "a").stat().st_size == 0


def test_a_disk_that_fills_up_ends_the_fetch(source, small_disk):
    body = http_source.Resource(bytes(MIB), endless=True)
    uri = source.put("/a", body)

    with pytest.raises(exceptions.DiskFull) as caught:
        fetching.fetch(uri, small_disk / "a")

    assert str(caught.value) == f"there is no room for {uri}"


def test_a_disk_that_fills_up_does_not_lose_what_is_marked(source, small_disk):
    body = random.Random(4).randbytes(6 * MIB)
    uri = source.put("/a", http_source.Resource(body, chunked=True))
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(4 * MIB))

    with pytest.raises(exceptions.DiskFull):
        fetching.fetch(uri, small_disk / "a", chunk_size=MIB)
    ballast.unlink()
    fetching.fetch(uri, small_disk / "a", chunk_size=MIB)

    assert (small_disk / "a").read_bytes() == body
    assert source.requests[-1].start > 2 * MIB


# --- the step ---------------------------------------------------------------

BODY = b"an image" * 5000
SHA256 = hashlib.sha256(BODY).hexdigest()


def step(work_dir, *, max_bytes=1 << 40, fence=None, stop=None, **options):
    """Make the atom with a real fetcher; ``options`` are its own."""
    ctx = contexts.context(
        work_dir,
        fence=fence,
        stop=stop,
        limits=context.Limits(max_bytes=max_bytes),
    )
    return fetch.FetchImage(ctx, **options)


def test_the_step_says_how_it_may_be_repeated_and_what_it_gives():
    atom = fetch.FetchImage()

    assert atom.name == "FetchImage"
    assert atom.behaviour == "resumable"
    assert atom.phase == task.Phase.TRANSFERRING
    assert set(atom.requires) == {"uri"}
    assert set(atom.optional) == {"checksum"}
    assert set(atom.provides) == {"fetched"}


def test_the_step_leaves_an_artifact_with_glance_s_digests(source, tmp_path):
    uri = source.put("/a", http_source.Resource(BODY))
    atom = step(tmp_path)

    artifact = atom.execute(uri)

    assert artifact == {
        "name": "fetched",
        "size": len(BODY),
        "checksum": hashlib.md5(BODY, usedforsecurity=False).hexdigest(),
        "os_hash_algo": "sha512",
        "os_hash_value": hashlib.sha512(BODY).hexdigest(),
    }
    assert (tmp_path / "fetched").read_bytes() == BODY
    assert atom.execute(uri) == artifact
    assert len(source.requests) == 1


MD5 = {"checksum": hashlib.md5(BODY, usedforsecurity=False).hexdigest()}
SHA512 = {
    "os_hash_algo": "sha512",
    "os_hash_value": hashlib.sha512(BODY).hexdigest(),
}


@pytest.mark.parametrize(
    ("digests", "checksum", "held"),
    [
        (("sha256",), None, {"sha256": SHA256}),
        (["sha256", "md5"], None, {"sha256": SHA256, **MD5}),
        (("sha512",), None, SHA512),
        (("md5",), f"sha256:{SHA256}", {**MD5, "sha256": SHA256}),
        (("sha256", "blake2b"), None, {"sha256": SHA256}),
    ],
)
def test_an_artifact_has_the_digests_that_were_computed(
    source, tmp_path, digests, checksum, held
):
    uri = source.put("/a", http_source.Resource(BODY))

    artifact = step(tmp_path, digests=digests).execute(uri, checksum)

    assert artifact == {"name": "fetched", "size": len(BODY), **held}


def test_a_promise_is_kept_whatever_digests_are_wanted(source, tmp_path):
    uri = source.put("/a", http_source.Resource(BODY))

    with pytest.raises(exceptions.ChecksumMismatch):
        step(tmp_path, digests=("sha256",)).execute(uri, f"sha384:{'0' * 96}")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("digests", [(), ("sha384",)])
def test_digests_that_no_artifact_shows_are_not_enough(digests):
    with pytest.raises(
        exceptions.BrokenPlugin, match="expected one of gcd1, md5"
    ):
        fetch.FetchImage(digests=digests)


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_bytes_with_the_promised_digest_are_taken(source, tmp_path, algorithm):
    uri = source.put("/a", http_source.Resource(BODY))
    digest = hashlib.new(algorithm, BODY).hexdigest().upper()

    artifact = step(tmp_path).execute(uri, f"{algorithm}:{digest}")

    assert artifact["size"] == len(BODY)


def test_bytes_with_another_digest_are_refused_and_removed(source, tmp_path):
    uri = source.put("/a", http_source.Resource(BODY))

    with pytest.raises(exceptions.ChecksumMismatch) as caught:
        step(tmp_path).execute(uri, f"sha256:{'0' * 64}")

    assert SHA256 in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "checksum",
    [
        "",
        SHA256,
        f"md5:{'0' * 32}",
        f"sha1:{'0' * 40}",
        "sha256:",
        f"sha256:{SHA256}0",
        f"sha256:{SHA256}\n",
        f"sha256:{'g' * 64}",
        f"SHA256:{SHA256}",
    ],
)
def test_a_checksum_that_is_none_is_refused_before_anything_is_fetched(
    source, tmp_path, checksum
):
    uri = source.put("/a", http_source.Resource(BODY))

    with pytest.raises(exceptions.ChecksumMismatch, match="expected sha256:"):
        step(tmp_path).execute(uri, checksum)

    assert source.requests == []


def test_the_limit_of_the_task_holds(source, tmp_path):
    uri = source.put("/a", http_source.Resource(BODY))

    with pytest.raises(exceptions.FetchError) as caught:
        step(tmp_path, max_bytes=len(BODY) - 1).execute(uri)

    assert caught.value.code == "source_too_big"


def test_a_finished_step_holds_while_its_file_is_whole(source, tmp_path):
    uri = source.put("/a", http_source.Resource(BODY))
    atom = step(tmp_path)
    artifact = atom.execute(uri)

    assert atom.holds(artifact)
    os.truncate(tmp_path / "fetched", 5)
    assert not atom.holds(artifact)
    (tmp_path / "fetched").unlink()
    assert not atom.holds(artifact)
    assert not atom.holds(None)


def half_done(atom, uri):
    with pytest.raises(exceptions.LeaseLost):
        atom.execute(uri)


def test_reverting_leaves_nothing(source, tmp_path):
    uri = source.put("/a", http_source.Resource(BODY))

    step(tmp_path).execute(uri)
    step(tmp_path).revert(result=None, flow_failures={})
    assert list(tmp_path.iterdir()) == []

    half_done(step(tmp_path, stop=doubles.StopAfter(6)), uri)
    assert list(tmp_path.iterdir()) != []
    step(tmp_path).revert()
    step(tmp_path).revert()
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_lost_its_lease_removes_nothing(source, tmp_path):
    uri = source.put("/a", http_source.Resource(BODY))
    step(tmp_path).execute(uri)
    frozen = step(tmp_path, fence=doubles.LostFence())

    with pytest.raises(exceptions.LeaseLost):
        frozen.revert()
    with pytest.raises(exceptions.LeaseLost):
        frozen.execute(uri)

    assert (tmp_path / "fetched").read_bytes() == BODY


class Claimed:
    """The fence of a run whose task is claimed while it works."""

    def __init__(self):
        self.number, self.lost = 1, False

    def check(self):
        if self.lost:
            raise exceptions.LeaseLost("claimed by another conductor")


def test_a_work_directory_that_is_gone_means_that_the_lease_is(
    source, tmp_path
):
    mine, fence = tmp_path / "1", Claimed()
    mine.mkdir()

    class Taken(doubles.NeverStop):
        """A successor takes over while the source is asked again."""

        def wait(self, seconds):
            mine.rename(tmp_path / "2")
            fence.lost = True

    body = http_source.Resource(BODY, ranges=False, cut_after=10_000)
    uri = source.put("/a", body)

    with pytest.raises(exceptions.LeaseLost):
        step(mine, fence=fence, stop=Taken()).execute(uri)


def test_a_missing_work_directory_alone_is_no_lost_lease(source, tmp_path):
    uri = source.put("/a", http_source.Resource(BODY))
    atom = step(tmp_path / "missing")
    (tmp_path / "missing").rmdir()

    with pytest.raises(FileNotFoundError):
        atom.execute(uri)
