# SPDX-License-Identifier: Apache-2.0
"""The source of a certification: small real disks, served over HTTP."""

from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import pathlib
import random
import shutil
import subprocess

from glance_tasks.testing import http_source

# Enough for several chunks and safe points, little enough for many trials.
_SIZE = 1 << 20


def _disk(path: pathlib.Path) -> None:
    """Write a disk with data and holes; the same one each time."""
    data = random.Random(1).randbytes(_SIZE // 4)
    with path.open("wb") as file:
        file.write(data)
        file.seek(_SIZE // 2)
        file.write(data[::-1])
        file.truncate(_SIZE)


def _made(directory: pathlib.Path) -> list[pathlib.Path]:
    raw, qcow2 = directory / "disk.raw", directory / "disk.qcow2"
    _disk(raw)
    if shutil.which("qemu-img") is None:
        return [raw]
    words = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2"]
    subprocess.run([*words, str(raw), str(qcow2)], check=True)
    return [raw, qcow2]


@contextlib.contextmanager
def served(
    directory: pathlib.Path, more: Sequence[pathlib.Path], mark: str
) -> Iterator[str]:
    """Serve the samples; gives the address of the source, without a path.

    :param more: further files, under their names
    :param mark: a query that addresses may have
    """
    with http_source.HttpSource() as source:
        for file in [*_made(directory), *more]:
            resource = http_source.Resource(body=file.read_bytes())
            source.put(f"/{file.name}", resource)
            source.put(f"/{file.name}?{mark}", resource)
        yield source.url("")
