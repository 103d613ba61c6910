# SPDX-License-Identifier: Apache-2.0
"""What is to go: task types, inputs and options, and where they are used.

Each is announced for two releases at least before it goes.
"""

from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from oslo_config import cfg

from glance_tasks import opts
from glance_tasks import plugin


def of_task(
    type_name: str, task_type: plugin.TaskType, given: Mapping[str, Any]
) -> list[str]:
    """Say what a task uses that is to go, one line each.

    :param given: its input
    """
    known = task_type.input_schema.get("properties", {})
    old = [
        name
        for name in sorted(given)
        if isinstance(known.get(name), Mapping)
        and known[name].get("deprecated") is True
    ]
    said = [f"/{name} is to go: {_why(known[name])}" for name in old]
    return [*of_type(type_name, task_type), *said]


def of_type(type_name: str, task_type: plugin.TaskType) -> list[str]:
    """Say that a type is to go, if it is."""
    if not task_type.deprecated:
        return []
    return [f"the type {type_name!r} is to go: {task_type.deprecated}"]


def of_options(conf: cfg.ConfigOpts) -> Iterator[str]:
    """Say which options are set that are to go, one line each."""
    for group, options in opts.GROUPS.items():
        for one in options:
            if one.deprecated_for_removal and _is_set(conf, group, one.dest):
                why = one.deprecated_reason or "it has no effect any more"
                yield f"[{group}] {one.name} is to go: {why}"


def _is_set(conf: cfg.ConfigOpts, group: str, name: str) -> bool:
    found = conf.get_location(name, group)
    return found is not None and found.location not in (
        cfg.Locations.opt_default,
        cfg.Locations.set_default,
    )


def _why(described: Mapping[str, Any]) -> str:
    return str(described.get("description", "leave it out"))
