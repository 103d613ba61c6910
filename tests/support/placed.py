# SPDX-License-Identifier: Apache-2.0
"""Images that are there before a task begins, with data in some stores."""

import dataclasses
import hashlib
from typing import Any
import uuid

import glance_tasks as gt
from glance_tasks import testing
from tests.support import importing

CONTENT = importing.noise(3 << 16)


def image(
    kit: testing.EngineFixture,
    *stores: str,
    content: bytes = CONTENT,
    disk_format: str = "raw",
    **changes: Any,
) -> gt.Image:
    """Publish an image with a copy in each store.

    :param stores: names; the default one when none is given
    :param content: the bytes of each copy
    :param changes: fields of the record that are to be others
    """
    image_id = str(uuid.uuid4())
    file = kit.home / f"{image_id}.file"
    file.write_bytes(content)
    record = gt.Image(
        id=image_id,
        disk_format=disk_format,
        container_format="bare",
        size=len(content),
        virtual_size=len(content),
        checksum=hashlib.md5(content, usedforsecurity=False).hexdigest(),
        os_hash_algo="sha512",
        os_hash_value=hashlib.sha512(content).hexdigest(),
        location=image_id,
        **{"owner": "demo", **changes},
    )
    held = tuple(record.located(name) for name in stores or ("",))
    made = dataclasses.replace(record, locations=held)
    for name in stores or ("",):
        store = kit.engine.stores[name] if name else kit.engine.store
        store.put(
            image_id,
            file,
            stop=testing.NeverStop(),
            progress=testing.RecordingProgress(),
            fence=testing.OpenFence(),
        )
    file.unlink()
    kit.engine.catalogue.publish(made, 1)
    return made


def keys(kit: testing.EngineFixture) -> dict[str, list[str]]:
    """Give the objects of each store that has a name."""
    return {
        name: sorted(store.keys()) for name, store in kit.engine.stores.items()
    }
