# SPDX-License-Identifier: Apache-2.0
"""The graph that a task would run, where nothing needs to be there for it."""

from collections.abc import Mapping
import dataclasses
from typing import Any

from oslo_config import cfg

from glance_tasks import building
from glance_tasks import exceptions
from glance_tasks import graph
from glance_tasks import planning
from glance_tasks import ports
from glance_tasks import registry
from glance_tasks import schema


def drawn(
    types: registry.Registry,
    shared: building.Surroundings,
    conf: cfg.ConfigOpts,
    type_name: str,
    task_input: Mapping[str, Any] | None,
) -> graph.Graph:
    """Give the graph of a task; see :meth:`TaskEngine.draw`."""
    if task_input is None:
        task_input = schema.example(types.get(type_name).input_schema)
    draft = planning.draft(type_name, task_input, None)
    around = _anywhere(shared, draft.input)
    planned = planning.plan(types, around, conf, draft)
    return building.build(types, around, planned.new).graph


class _Anywhere:
    """A fetcher and sender for drawings: examples need not be allowed."""

    def preflight(self, uri: str, credentials: Any = None) -> None:
        """Allow it."""

    def location(self, uri: str, name: str) -> str:
        """Give what it would be for most schemes."""
        return f"{uri.rstrip('/')}/{name}"

    def fetch(self, uri: str, *args: Any, **kwargs: Any) -> ports.Fetched:
        """Refuse: a drawing fetches nothing."""
        raise exceptions.FetchError(f"{uri} is only drawn")

    def send(self, *args: Any, **kwargs: Any) -> ports.Sent:
        """Refuse: a drawing sends nothing."""
        raise exceptions.SendError("an image is only drawn")

    def remove(self, *args: Any, **kwargs: Any) -> None:
        """Refuse: a drawing undoes nothing."""
        raise exceptions.SendError("an image is only drawn")


class _AnyImage:
    """A catalogue for drawings: an example's image need not be there."""

    def __init__(self, inner: ports.ImageCatalog) -> None:
        """Give what ``inner`` has, where it has it."""
        self._inner = inner

    def get(self, image_id: str, *, hidden: bool = False) -> ports.Image:
        """Give the image, or one that could be there."""
        try:
            return self._inner.get(image_id, hidden=hidden)
        except exceptions.ImageNotFound:
            return ports.Image(
                *(image_id, "", "raw", "bare", 0, 0),
                *("", "sha512", "", image_id),
            )


def _anywhere(
    shared: building.Surroundings, task_input: Mapping[str, Any]
) -> building.Surroundings:
    """Give surroundings in which everything an example names is there."""
    images: Any = _AnyImage(shared.catalogue)
    anywhere = _Anywhere()
    # The image is in the first, so that every other one may be named.
    stores = shared.stores or {"default": shared.store}
    named = task_input.get("stores", ())
    return dataclasses.replace(
        shared,
        fetcher=anywhere,
        sender=anywhere,
        catalogue=images,
        stores={**stores, **dict.fromkeys(named, shared.store)},
    )
