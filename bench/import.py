# SPDX-License-Identifier: Apache-2.0
"""A whole import of 1 GiB from loopback, raw and qcow2 to raw.

From the claim to the outcome, with every checkpoint, against ``curl -o`` and
then ``md5sum`` and ``sha512sum``, and against the slowest stage alone: the
digests of the stored bytes, in memory. ``python -m bench.import [MiB]``
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
        [sys.executable, "-m", "tests.support.http_source", str(file)],
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


def by_hand(url: str, folder: pathlib.Path, *, convert_to_raw: bool) -> float:
    """Do it with curl, qemu-img and the sum programs; give seconds."""
    file, raw = folder / "by-hand", folder / "by-hand.raw"
    began = time.perf_counter()
    subprocess.run(["curl", "-sS", "-o", file, url], check=True)
    if convert_to_raw:
        words = ["qemu-img", "convert", "-f", "qcow2", "-O", "raw", "-W"]
        subprocess.run([*words, file, raw], check=True)
        file = raw
    for program in ("md5sum", "sha512sum"):
        subprocess.run([program, file], check=True, capture_output=True)
    taken = time.perf_counter() - began
    for leftover in folder.glob("by-hand*"):
        leftover.unlink()
    return taken


def measure(
    size: int, folder: pathlib.Path, file: pathlib.Path, digest: str
) -> None:
    """Print the table of one source."""
    source = "qcow2" if file.name == "image" else "raw"
    limits, seconds, others, rss = [], [], [], []
    last: dict[str, float] = {}
    with served(file) as url:
        for _ in range(ROUNDS):
            os.sync()
            limits.append(fetch.slowest_stage(size))
            last = ours(url, source, "raw", digest)
            seconds.append(last["seconds"])
            rss.append(last["rss_mib"])
            os.sync()
            others.append(
                by_hand(url, folder, convert_to_raw=source == "qcow2")
            )
    limit = statistics.median(limits)
    rows = [("", "seconds", "of the slowest stage")]
    for name, taken in (
        (LIMIT, limit),
        ("ours, claim to outcome", statistics.median(seconds)),
        ("by hand", statistics.median(others)),
    ):
        rows.append((name, f"{taken:.2f}", f"{limit / taken:.2f}"))
    surroundings.table(f"import of {size} MiB, {source} to raw", rows)
    data = size * (1 << 20)
    print(
        f"  passes of ours: {last['read'] / data:.1f} read,"
        f" {last['written'] / data:.1f} written (socket and nbd included);"
        f" peak RSS {max(rss):.0f} MiB"
    )


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
