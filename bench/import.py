# SPDX-License-Identifier: Apache-2.0
"""A whole import of 1 GiB from loopback, raw and qcow2 to raw.

From the claim to the outcome, with every checkpoint and every fsync, against
``curl -o``, ``qemu-img convert``, ``md5sum`` and ``sha512sum``: each alone,
and one after the other; and against the digests of as many bytes in memory,
which nothing that makes them can beat. ``python -m bench.import [MiB]``
"""

from collections.abc import Iterator
import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

from bench import convert
from bench import fetch
from bench import surroundings

ROUNDS = 5
LIMIT = "md5 beside sha512, in memory"
CURL = "curl -o"
QEMU_IMG = "qemu-img convert"
SUMS = "md5sum beside sha512sum"
OURS = "ours, claim to outcome"
BY_HAND = "by hand, one after the other"

# In a process of its own, so that its memory can be told from ours.
_IMPORT = """
import json, pathlib, sys, time
from bench import surroundings
import glance_tasks
folder, port, url, source, target = sys.argv[1:]
engine = surroundings.engine(
    f"sqlite:///{folder}/bench.sqlite", folder,
    fetch__allowed_ports=[int(port)],
    fetch__allowed_networks=["127.0.0.0/8"],
)
task = engine.submit("import", {
    "import_from": url,
    "import_from_format": source,
    "image_properties": {"disk_format": target},
})
conductor = glance_tasks.Conductor(engine, max_tasks=1)
written = pathlib.Path("/proc/self/io")
def io():
    lines = written.read_text().splitlines()
    return dict(line.split(": ") for line in lines)
before = io()
began = time.perf_counter()
conductor.run_one(task.id)
taken = time.perf_counter() - began
after = io()
ended = engine.get(task.id)
assert ended.status == "success", ended.message
status = pathlib.Path("/proc/self/status").read_text()
print(json.dumps({
    "seconds": taken,
    "rss_mib": int(status.partition("VmHWM:")[2].split()[0]) / 1024,
    "md5": ended.result["checksum"],
    "read": int(after["rchar"]) - int(before["rchar"]),
    "written": int(after["wchar"]) - int(before["wchar"]),
}))
"""


@contextlib.contextmanager
def served(file: pathlib.Path) -> Iterator[str]:
    """Serve a file by sendfile from a process of its own; give its address."""
    server = subprocess.Popen(
        [sys.executable, "-m", "glance_tasks.testing.http_source", str(file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
    finally:
        server.terminate()
        server.wait()


def ours(url: str, source: str, target: str, digest: str) -> dict[str, float]:
    """Import; give the figures of that process."""
    port = url.rpartition(":")[2].partition("/")[0]
    with surroundings.folder() as folder:
        done = subprocess.run(
            [sys.executable, "-c", _IMPORT, folder, port, url, source, target],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    figures: dict[str, float] = json.loads(done.stdout)
    assert figures.pop("md5") == digest, "other bytes than the source's"
    return figures


def by_hand(
    url: str, folder: pathlib.Path, *, convert_to_raw: bool
) -> dict[str, float]:
    """Do it with curl, qemu-img and the sum programs; give seconds of each.

    The sums run beside each other.
    """
    file, raw = folder / "by-hand", folder / "by-hand.raw"
    stages = {CURL: _timed(["curl", "-sS", "-o", str(file), url])}
    if convert_to_raw:
        words = ["qemu-img", "convert", "-f", "qcow2", "-O", "raw", "-W"]
        stages[QEMU_IMG] = _timed([*words, str(file), str(raw)])
        file = raw
    stages[SUMS] = _timed(["md5sum", str(file)], ["sha512sum", str(file)])
    for leftover in folder.glob("by-hand*"):
        leftover.unlink()
    return stages


def _timed(*commands: list[str]) -> float:
    began = time.perf_counter()
    running = [
        subprocess.Popen(words, stdout=subprocess.DEVNULL)
        for words in commands
    ]
    for process in running:
        if process.wait():
            raise SystemExit(f"{process.args} failed")
    return time.perf_counter() - began


def measure(
    size: int, folder: pathlib.Path, file: pathlib.Path, digest: str
) -> None:
    """Print the table of one source."""
    source = "qcow2" if file.name == "image" else "raw"
    found: dict[str, list[float]] = {}
    rss, last = 0.0, {"": 0.0}
    with served(file) as url:
        for _ in range(ROUNDS):
            os.sync()
            stages = {LIMIT: fetch.slowest_stage(size)}
            last = ours(url, source, "raw", digest)
            os.sync()
            hand = by_hand(url, folder, convert_to_raw=source == "qcow2")
            totals = {OURS: last["seconds"], BY_HAND: sum(hand.values())}
            for name, taken in (stages | hand | totals).items():
                found.setdefault(name, []).append(taken)
            rss = max(rss, last["rss_mib"])
    _print(f"import of {size} MiB, {source} to raw", found)
    data = size * (1 << 20)
    print(
        f"  passes of ours: {last['read'] / data:.1f} read,"
        f" {last['written'] / data:.1f} written (socket and nbd included);"
        f" peak RSS {rss:.0f} MiB"
    )


def _print(title: str, found: dict[str, list[float]]) -> None:
    medians = {name: statistics.median(took) for name, took in found.items()}
    alone = {n: t for n, t in medians.items() if n not in (OURS, BY_HAND)}
    slowest, limit = max(alone.values()), alone[LIMIT]
    rows: list[tuple[str, ...]] = [
        ("", "seconds", "of the digests", "of the slowest stage")
    ]
    for name, taken in medians.items():
        ratios = f"{limit / taken:.2f}", f"{slowest / taken:.2f}"
        if name in alone:
            ratios = "", "the slowest" if taken == slowest else ""
        rows.append((name, f"{taken:.2f}", *ratios))
    surroundings.table(title, rows)


def main() -> None:
    """Print both tables."""
    size = int(sys.argv[1]) if sys.argv[1:] else 1024
    surroundings.touch_memory()
    with surroundings.folder() as name:
        folder = pathlib.Path(name)
        image = convert.make(folder, size)
        digest = convert.md5_of(folder / "disk")
        measure(size, folder, folder / "disk", digest)
        measure(size, folder, image, digest)


if __name__ == "__main__":
    main()
