# SPDX-License-Identifier: Apache-2.0
"""Real images, small ones, made by qemu-img."""

import pathlib
import random
import subprocess

MIB = 1 << 20


def disk(path: pathlib.Path, size: int = 4 * MIB, *, seed: int = 0) -> None:
    """Write a disk of ``size`` bytes: data, a hole, data, and a hole."""
    data = random.Random(seed).randbytes(size // 4)
    with path.open("wb") as file:
        file.write(data)
        file.seek(size // 2)
        file.write(data[::-1])
        file.truncate(size)


def made(path: pathlib.Path, source: pathlib.Path, *words: str) -> None:
    """Have qemu-img make ``path`` from a raw file: ``-O vpc`` and the like."""
    command = ["qemu-img", "convert", "-f", "raw", *words]
    subprocess.run([*command, str(source), str(path)], check=True)


def same_disk(
    one: pathlib.Path, driver: str, other: pathlib.Path, other_driver: str
) -> bool:
    """Tell whether qemu-img finds the same disk in both files."""
    words = ["qemu-img", "compare", "-f", driver, "-F", other_driver]
    done = subprocess.run(
        [*words, str(one), str(other)], check=False, capture_output=True
    )
    return done.returncode == 0
