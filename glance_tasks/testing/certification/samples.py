# SPDX-License-Identifier: Apache-2.0
"""What is there before a trial: disks served over HTTP, and images.

Images are there when the task's input names one of :data:`IMAGES`.
"""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import dataclasses
import hashlib
import json
import pathlib
import random
import shutil
import subprocess

from glance_tasks import ports
from glance_tasks.testing import doubles
from glance_tasks.testing import http_source

#: The owner of every trial's task, and of the images.
OWNER = "certify"

#: Ids for examples of inputs, with the stores their data is in.
IMAGES: Mapping[str, tuple[str, ...]] = {
    "00000000-0000-4000-8000-000000000001": ("first", "second"),
    "00000000-0000-4000-8000-000000000002": ("first",),
}

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


def named_in(given: Mapping[str, object]) -> bool:
    """Tell whether an input is about one of the images."""
    text = json.dumps(given)
    return any(image_id in text for image_id in IMAGES)


def stored(
    image_id: str,
    stores: Mapping[str, ports.ImageStore],
    scratch: pathlib.Path,
) -> ports.Image:
    """Put a disk into each store; give the record of an image with them.

    :param stores: by their names
    :param scratch: a directory for a file that is gone afterwards
    """
    disk = scratch / "sample.raw"
    _disk(disk)
    data = disk.read_bytes()
    for store in stores.values():
        store.put(
            image_id,
            disk,
            stop=doubles.NeverStop(),
            progress=doubles.RecordingProgress(),
            fence=doubles.OpenFence(),
        )
    disk.unlink()
    record = ports.Image(
        id=image_id,
        owner=OWNER,
        disk_format="raw",
        container_format="bare",
        size=len(data),
        virtual_size=len(data),
        checksum=hashlib.md5(data, usedforsecurity=False).hexdigest(),
        os_hash_algo="sha512",
        os_hash_value=hashlib.sha512(data).hexdigest(),
        location=image_id,
    )
    held = tuple(record.located(name) for name in stores)
    return dataclasses.replace(record, locations=held)
