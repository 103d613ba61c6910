# SPDX-License-Identifier: Apache-2.0
"""MiB/s of qcow2 to raw with md5 and sha512: ours, qemu-img, and the limit.

1 GiB of data. Ours reads the disk once, is durable and has a ledger; what
qemu-img writes is neither, and is read again for each digest.
``python -m bench.convert [MiB]``
"""

import os
import pathlib
import subprocess
import sys
import time

from bench import fetch
from bench import surroundings

ROUNDS = 5
MIB = 1 << 20
LIMIT = "md5 beside sha512, in memory"

# In a process of its own, so that its memory can be told from ours.
_CONVERT = """
import pathlib, sys, time
from glance_tasks.imagefile import inspect, raw, restraint, view
from glance_tasks.testing import doubles
source, path = map(pathlib.Path, sys.argv[1:])
def peak(pid):
    # Not ru_maxrss: that begins with what the parent had before exec.
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024
began = time.perf_counter()
found = inspect.inspect(source, "qcow2", 1 << 40)
limits = restraint.Limits.of_disk(found.virtual_size, 4 << 20, 4 << 30)
never = doubles.NeverStop()
with view.RawView(source, "qcow2", limits=limits, stop=never) as disk:
    written = raw.write_raw(
        disk, path, source={}, stop=never,
        progress=doubles.RecordingProgress(),
    )
    peaks = peak("self"), peak(disk.pid)
taken = time.perf_counter() - began
print(taken, *peaks, written.digests["md5"])
"""


def make(folder: pathlib.Path, size: int) -> pathlib.Path:
    """Make a qcow2 with ``size`` MiB of data that no two places share."""
    disk, image = folder / "disk", folder / "image"
    piece = os.urandom(MIB)
    with disk.open("wb") as out:
        for number in range(size):
            out.write(number.to_bytes(8, "big") + piece[8:])
    words = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2"]
    subprocess.run([*words, disk, image], check=True)
    with image.open("rb") as file:
        os.fsync(file.fileno())
    return image


def md5_of(path: pathlib.Path) -> str:
    """Give the MD5 that md5sum finds."""
    answer = subprocess.run(
        ["md5sum", path], check=True, capture_output=True, text=True
    )
    return answer.stdout.split()[0]


def ours(
    image: pathlib.Path, path: pathlib.Path, digest: str
) -> tuple[float, float, float]:
    """Inspect and convert; gives seconds, and peak RSS in MiB of both.

    The second peak is that of qemu-nbd.
    """
    for leftover in path, path.with_name(f"{path.name}.ledger"):
        leftover.unlink(missing_ok=True)
    answer = subprocess.run(
        [sys.executable, "-c", _CONVERT, str(image), str(path)],
        check=True,
        capture_output=True,
        text=True,
    )
    taken, peak, server, found = answer.stdout.split()
    assert found == digest, "the bytes that were written are not the disk's"
    return float(taken), float(peak), float(server)


def qemu_img(image: pathlib.Path, path: pathlib.Path, *then: str) -> float:
    """Convert with qemu-img, run programs on the file; gives seconds."""
    path.unlink(missing_ok=True)
    words = ["qemu-img", "convert", "-f", "qcow2", "-O", "raw", "-W"]
    began = time.perf_counter()
    subprocess.run([*words, image, path], check=True)
    for program in then:
        subprocess.run([program, path], check=True, capture_output=True)
    return time.perf_counter() - began


def main() -> None:
    """Print the table; the best of some rounds of each, taken in turn."""
    size = int(sys.argv[1]) if sys.argv[1:] else 1024
    rates: dict[str, float] = {}
    peaks: list[float] = []

    def note(name: str, seconds: float) -> None:
        rates[name] = max(rates.get(name, 0.0), size / seconds)

    with surroundings.folder() as name:
        folder = pathlib.Path(name)
        image = make(folder, size)
        digest = md5_of(folder / "disk")
        for _ in range(ROUNDS):
            note(LIMIT, fetch.slowest_stage(size))
            seconds, *both = ours(image, folder / "a", digest)
            note("ours, one pass", seconds)
            peaks.append(sum(both))
            seconds = qemu_img(image, folder / "b", "md5sum", "sha512sum")
            note("qemu-img, then md5sum, sha512sum", seconds)
            note("qemu-img alone", qemu_img(image, folder / "b"))
    rows: list[tuple[str, ...]] = [("", "MiB/s", "of the limit")]
    rows += [
        (name, f"{rate:.0f}", f"{rate / rates[LIMIT]:.2f}")
        for name, rate in rates.items()
    ]
    surroundings.table(f"qcow2 of {size} MiB to raw, with digests", rows)
    print(f"  peak RSS of ours with qemu-nbd: {max(peaks):.0f} MiB")


if __name__ == "__main__":
    main()
