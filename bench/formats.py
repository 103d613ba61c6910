# SPDX-License-Identifier: Apache-2.0
"""Seconds of a conversion to each format: bare qemu-img, and ours.

A raw disk without holes, that nothing compresses, to the formats that
qemu-img writes, with the same options. Ours is qemu-img under limits; the step
has the result's digests and makes it durable; a verified step reads both
images again. A pass is as many bytes read from files as the disk has, by us
and by qemu together. ``python -m bench.formats [MiB]``
"""

from collections.abc import Callable
import os
import pathlib
import subprocess
import sys
import time

from bench import surroundings
from glance_tasks.atoms import convert
from glance_tasks.imagefile import formats
from glance_tasks.imagefile import qemu
from glance_tasks.imagefile import restraint
from glance_tasks.testing import contexts
from glance_tasks.testing import doubles

ROUNDS = 5
MIB = 1 << 20
TARGETS = ("qcow2", "vmdk", "vhd", "vhdx", "vdi")


def read_so_far() -> int:
    """Give the bytes read from files, by us and by all that we waited for."""
    # Linux adds what a child read when it is waited for.
    lines = pathlib.Path("/proc/self/io").read_text().splitlines()
    return int(lines[0].partition(":")[2])


def make(path: pathlib.Path, size: int) -> None:
    """Write a disk of ``size`` MiB that no two places of are the same."""
    piece = os.urandom(MIB)
    with path.open("wb") as out:
        for number in range(size):
            out.write(number.to_bytes(8, "big") + piece[8:])
        os.fsync(out.fileno())


class Conversions:
    """The ways to convert one disk, each timed alone."""

    def __init__(self, folder: pathlib.Path, size: int) -> None:
        """Make the disk, of ``size`` MiB."""
        self._folder, self._bytes = folder, size * MIB
        self._source, self._target = folder / "fetched", folder / "target"
        make(self._source, size)

    def bare(self, target: str) -> None:
        """Have qemu-img convert it, with the options of the step."""
        words = ["nice", "-n", "10", "qemu-img", "convert", "-p", "-f", "raw"]
        words += ["-O", formats.DRIVERS[target]]
        if formats.TARGETS[target]:
            words += ["-o", formats.TARGETS[target]]
        subprocess.run(
            [*words, self._source, self._target],
            check=True,
            stdout=subprocess.DEVNULL,
        )

    def ours(self, target: str) -> None:
        """Convert it as the step does, and do nothing else."""
        self._target.touch()
        qemu.convert(
            self._source,
            "raw",
            self._target,
            target,
            virtual_size=self._bytes,
            limits=restraint.Limits.of_disk(self._bytes, 1 << 20, 4 << 30),
            stop=doubles.NeverStop(),
            progress=doubles.RecordingProgress(),
        )

    def step(self, target: str, *, verify: bool = False) -> None:
        """Run the step."""
        ctx = contexts.context(self._folder)
        convert.ConvertImage(ctx, target, verify=verify).execute(
            fetched={"name": "fetched", "size": self._bytes},
            inspected={"disk_format": "raw", "virtual_size": self._bytes},
        )

    def verified(self, target: str) -> None:
        """Run the step, and prove that the disk is the same."""
        self.step(target, verify=True)

    def timed(self, work: Callable[[str], None], target: str) -> float:
        """Give the seconds of one conversion."""
        for name in ("target", "converted", "converted.ledger"):
            (self._folder / name).unlink(missing_ok=True)
        os.sync()
        began = time.perf_counter()
        work(target)
        return time.perf_counter() - began

    def passes(self, work: Callable[[str], None], target: str) -> float:
        """Give how often the disk's bytes were read in one conversion."""
        before = read_so_far()
        self.timed(work, target)
        return (read_so_far() - before) / self._bytes


def rows(conversions: Conversions, target: str) -> tuple[str, ...]:
    """Measure one format, the ways in turn; give its row."""
    ways = [
        *(conversions.bare, conversions.ours),
        *(conversions.step, conversions.verified),
    ]
    best = [float("inf")] * len(ways)
    for _ in range(ROUNDS):
        for number, way in enumerate(ways):
            seconds = conversions.timed(way, target)
            best[number] = min(best[number], seconds)
    passes = [conversions.passes(way, target) for way in ways[2:]]
    return (
        target,
        *(f"{seconds:.2f}" for seconds in best),
        f"{best[1] / best[0]:.2f}",
        *(f"{number:.1f}" for number in passes),
    )


def main() -> None:
    """Print the table; the best of some rounds of each."""
    size = int(sys.argv[1]) if sys.argv[1:] else 512
    head = ("to", "bare", "ours", "step", "verified", "ours/bare")
    found = [(*head, "passes", "passes verified")]
    with surroundings.folder() as name:
        conversions = Conversions(pathlib.Path(name), size)
        found += [rows(conversions, target) for target in TARGETS]
    surroundings.table(f"raw of {size} MiB to other formats, seconds", found)


if __name__ == "__main__":
    main()
