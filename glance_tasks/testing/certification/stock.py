# SPDX-License-Identifier: Apache-2.0
"""Images that are there before a trial, for types that work on such."""

from collections.abc import Mapping
import dataclasses
import hashlib
import json
import pathlib
from typing import Any

from glance_tasks import engine as task_engine
from glance_tasks import ports
from glance_tasks.imagefile import inspect
from glance_tasks.testing import doubles

#: Ids that stand in an input for an image of the kit's own, and its file.
IMAGES: Mapping[str, str] = {
    "00000000-0000-4000-8000-000000000001": "disk.raw",
    "00000000-0000-4000-8000-000000000002": "disk.qcow2",
}

#: The stores that have their data.
STORES: Mapping[str, tuple[str, ...]] = {
    "00000000-0000-4000-8000-000000000001": ("first", "second"),
    "00000000-0000-4000-8000-000000000002": ("first",),
}

#: Whose these images are, and the tasks of trials.
OWNER = "certify"

# Nobody has ever touched them.
_FENCE = 0


def wanted(given: Any, kit: pathlib.Path) -> dict[str, str]:
    """Give the images that an input names: ids to files.

    :param kit: where the files are
    """
    text = json.dumps(given)
    return {
        image_id: str(kit / name)
        for image_id, name in IMAGES.items()
        if image_id in text
    }


def handed(given: Mapping[str, Any], kit: pathlib.Path) -> pathlib.Path:
    """Give the file for a task that takes bytes, of a format it names.

    :param kit: where the files are
    """
    named = [name for name in IMAGES.values() if name[5:] in given.values()]
    return kit / (named or [*IMAGES.values()])[0]


def put(engine: task_engine.TaskEngine, images: Mapping[str, str]) -> None:
    """Store and publish them; again changes nothing."""
    for image_id, path in images.items():
        file = pathlib.Path(path)
        for name in STORES[image_id]:
            engine.stores[name].put(
                image_id,
                file,
                stop=doubles.NeverStop(),
                progress=doubles.RecordingProgress(),
                fence=doubles.OpenFence(_FENCE),
            )
        record = _image(image_id, file)
        held = tuple(record.located(name) for name in STORES[image_id])
        record = dataclasses.replace(record, locations=held)
        engine.catalogue.publish(record, _FENCE)


def _image(image_id: str, file: pathlib.Path) -> ports.Image:
    data = file.read_bytes()
    disk_format = file.suffix.removeprefix(".")
    return ports.Image(
        id=image_id,
        owner=OWNER,
        name=file.name,
        disk_format=disk_format,
        container_format="bare",
        size=len(data),
        virtual_size=inspect.inspect(file, disk_format, 1 << 40).virtual_size,
        checksum=hashlib.md5(data, usedforsecurity=False).hexdigest(),
        os_hash_algo="sha512",
        os_hash_value=hashlib.sha512(data).hexdigest(),
        location=image_id,
    )
