# SPDX-License-Identifier: Apache-2.0
"""Images that are there already, and tasks that make others of them.

``python -m tests.support.derived HOME`` is a conductor in a process of its
own, until it is killed or has nothing to do.
"""

import hashlib
import pathlib
import sys
from typing import Any
import uuid

import glance_tasks as gt
from glance_tasks import ports
from glance_tasks.testing import doubles
from glance_tasks_flows import cloning
from glance_tasks_flows import converting
from tests.support import importing

TYPES = {"convert": converting.ConvertTask, "clone": cloning.CloneTask}


def make_engine(home: pathlib.Path, **chosen: Any) -> gt.TaskEngine:
    """Give an engine of these types; see :func:`importing.make_engine`."""
    return importing.make_engine(home, types=TYPES, **chosen)


def publish(
    engine: gt.TaskEngine,
    path: pathlib.Path,
    disk_format: str,
    virtual_size: int,
    **more: Any,
) -> ports.Image:
    """Put a file into the store, and make it visible as an image."""
    data = path.read_bytes()
    image_id = str(uuid.uuid4())
    image = ports.Image(
        id=image_id,
        disk_format=disk_format,
        container_format="bare",
        size=len(data),
        virtual_size=virtual_size,
        checksum=hashlib.md5(data, usedforsecurity=False).hexdigest(),
        os_hash_algo="sha512",
        os_hash_value=hashlib.sha512(data).hexdigest(),
        location=image_id,
        **{"owner": "project", "name": "source", **more},
    )
    engine.store.put(
        image_id,
        path,
        stop=doubles.NeverStop(),
        progress=doubles.RecordingProgress(),
        fence=doubles.OpenFence(0),
    )
    engine.catalogue.publish(image, 0)
    return engine.catalogue.get(image_id)


def main(home: str) -> None:
    """Conduct what there is to do."""
    engine = make_engine(pathlib.Path(home))
    try:
        gt.Conductor(engine).run(until_idle=True)
    finally:
        engine.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
