# SPDX-License-Identifier: Apache-2.0
"""MiB/s of a fetch with md5 and sha512: ours, curl, and the slowest stage.

1 GiB from loopback, the server in a process of its own. Ours is durable and
has a ledger; curl's file is neither. ``python -m bench.fetch [MiB]``
"""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import hashlib
import os
import pathlib
import statistics
import subprocess
import sys
import threading
import time

from bench import surroundings

ROUNDS = 5
MIB = 1 << 20
LIMIT = "md5 beside sha512, in memory"

# In a process of its own, so that its memory can be told from ours.
_FETCH = """
import pathlib, sys, time
from glance_tasks.transfer import fetcher, rules
from glance_tasks.testing import doubles
chunk, uri, path = int(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3])
allowed = rules.FetchRules(
    ports=(), networks=("127.0.0.0/8",), chunk_size=chunk << 20
)
fetching = fetcher.GuardedFetcher(allowed)
began = time.perf_counter()
fetched = fetching.fetch(
    uri, path, algorithms=("md5", "sha512"), max_bytes=1 << 40,
    stop=doubles.NeverStop(), progress=doubles.RecordingProgress(),
)
taken = time.perf_counter() - began
# Not ru_maxrss: that begins with what the parent had when it forked.
status = pathlib.Path("/proc/self/status").read_text()
peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
print(taken, peak, fetched.digests["sha512"])
"""


@contextlib.contextmanager
def source(folder: pathlib.Path, size: int) -> Iterator[tuple[str, str]]:
    """Serve ``size`` MiB; gives their address and SHA-512."""
    file, digest = folder / "image", hashlib.sha512()
    piece = os.urandom(MIB)
    with file.open("wb") as out:
        for number in range(size):
            piece = number.to_bytes(8, "big") + piece[8:]
            out.write(piece)
            digest.update(piece)
        os.fsync(out.fileno())
    server = subprocess.Popen(
        [sys.executable, "-m", "glance_tasks.testing.http_source", str(file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with server:
        assert server.stdout is not None
        yield server.stdout.readline().strip(), digest.hexdigest()
        server.communicate()


def slowest_stage(size: int) -> float:
    """Hash ``size`` MiB in memory, md5 beside sha512; gives seconds."""
    piece = bytearray(os.urandom(MIB))

    def work(name: str) -> None:
        state = hashlib.new(name, usedforsecurity=False)
        for _ in range(size):
            state.update(piece)

    threads = [
        threading.Thread(target=work, args=(name,))
        for name in ("md5", "sha512")
    ]
    return _timed(lambda: _run_all(threads))


def _run_all(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def curl(uri: str, path: pathlib.Path, *then: str) -> float:
    """Download with curl, then run programs on the file; gives seconds."""

    def work() -> None:
        subprocess.run(["curl", "-sSf", "-o", path, uri], check=True)
        for program in then:
            subprocess.run([program, path], check=True, capture_output=True)

    path.unlink(missing_ok=True)
    return _timed(work)


def ours(
    uri: str, path: pathlib.Path, chunk: int, digest: str
) -> tuple[float, float]:
    """Fetch with chunks of so many MiB; gives seconds and peak RSS in MiB."""
    for leftover in path, path.with_name(f"{path.name}.ledger"):
        leftover.unlink(missing_ok=True)
    answer = subprocess.run(
        [sys.executable, "-c", _FETCH, str(chunk), uri, str(path)],
        check=True,
        capture_output=True,
        text=True,
    )
    taken, peak, found = answer.stdout.split()
    assert found == digest, "the bytes that were fetched are not the source's"
    return float(taken), float(peak)


def rounds(
    folder: pathlib.Path, size: int
) -> tuple[dict[str, list[float]], float]:
    """Let all take turns; gives MiB/s by name, and our peak RSS in MiB."""
    rates: dict[str, list[float]] = {}
    peaks: list[float] = []

    def note(name: str, seconds: float) -> None:
        rates.setdefault(name, []).append(size / seconds)

    with source(folder, size) as (uri, digest):
        for _ in range(ROUNDS):
            note(LIMIT, slowest_stage(size))
            for chunk in 64, 16:
                seconds, peak = ours(uri, folder / "a", chunk, digest)
                note(f"ours, chunks of {chunk} MiB", seconds)
                peaks.append(peak)
            seconds = curl(uri, folder / "b", "md5sum", "sha512sum")
            note("curl, then md5sum, sha512sum", seconds)
            note("curl alone", curl(uri, folder / "b"))
    return rates, max(peaks)


def main() -> None:
    """Print the table: medians, and medians of each round's ratio."""
    size = int(sys.argv[1]) if sys.argv[1:] else 1024
    with surroundings.folder() as name:
        rates, peak = rounds(pathlib.Path(name), size)
    rows: list[tuple[str, ...]] = [("", "MiB/s", "of the limit", "best")]
    for name, found in rates.items():
        ratios = [a / b for a, b in zip(found, rates[LIMIT], strict=True)]
        rows.append(
            (
                name,
                f"{statistics.median(found):.0f}",
                f"{statistics.median(ratios):.2f}",
                f"{max(ratios):.2f}",
            )
        )
    surroundings.table(f"fetch of {size} MiB from loopback", rows)
    print(f"  peak RSS of ours: {peak:.0f} MiB")


if __name__ == "__main__":
    main()
