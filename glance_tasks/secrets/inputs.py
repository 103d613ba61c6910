# SPDX-License-Identifier: Apache-2.0
"""Which inputs of a task are secret, and what of them must not be shown."""

from collections.abc import Iterator
from collections.abc import Mapping
import json
from typing import Any

from glance_tasks import exceptions
from glance_tasks import plugin
from glance_tasks import redaction
from glance_tasks import task

#: Of a secret as JSON. Sealed, it must fit MariaDB's BLOB of 64 KiB.
MAX_BYTES = 60_000


def is_address(task_type: plugin.TaskType, name: str) -> bool:
    """Tell whether an input that is no secret is an address, by its schema."""
    if name in task_type.secret_inputs:
        return False
    of_name = task_type.input_schema.get("properties", {}).get(name)
    return isinstance(of_name, Mapping) and of_name.get("format") == "uri"


def split(
    task_type: plugin.TaskType, given: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Give what may be shown of an input, and what is secret of it.

    Of an address with a password or a signature the redacted one is shown,
    and the whole is secret. A secret input is not shown at all.
    """
    shown: dict[str, Any] = {}
    secret: dict[str, Any] = {}
    for name, value in given.items():
        if name in task_type.secret_inputs:
            secret[name] = value
            continue
        shown[name] = value
        if (
            isinstance(value, str)
            and is_address(task_type, name)
            and redaction.secret_parts(value)
        ):
            shown[name], secret[name] = redaction.redact(value), value
    return shown, secret


def check(secrets: Mapping[str, Any]) -> None:
    """Return when secrets can be kept.

    :raises InvalidInput: with a pointer to each that is too large
    """
    faults = [
        (f"/{name}", f"has {size} bytes; expected at most {MAX_BYTES}")
        for name, value in secrets.items()
        if (size := len(json.dumps(value))) > MAX_BYTES
    ]
    if faults:
        raise exceptions.InvalidInput(faults)


def again(
    task_type: plugin.TaskType,
    failed: task.Task,
    given: Mapping[str, Any],
) -> dict[str, Any]:
    """Give the whole input of a task that failed, with its secrets anew.

    :param given: secrets by name; the task's own are gone
    :raises InvalidInput: when one is missing, or is none
    """
    had = set(failed.plan.get("secrets", ()))
    known = had | set(task_type.secret_inputs)
    faults = [
        (f"/{name}", "is a secret and not kept after the end; give it again")
        for name in sorted(had - set(given))
    ]
    faults += [
        (f"/{name}", "is no secret of this task; only those are given again")
        for name in sorted(set(given) - known)
    ]
    if faults:
        raise exceptions.InvalidInput(faults)
    return {**failed.input, **given}


def texts(task_type: plugin.TaskType, name: str, value: Any) -> list[str]:
    """Give the texts that must be hidden of a secret.

    Those that the schema calls ``writeOnly``; all of them when it calls none
    so.
    """
    if isinstance(value, str) and is_address(task_type, name):
        return redaction.secret_parts(value)
    schema = task_type.input_schema.get("properties", {}).get(name)
    marked = list(_marked(schema, value))
    return marked or list(_leaves(value))


def hidden(
    task_type: plugin.TaskType, given: Mapping[str, Any]
) -> redaction.Hidden:
    """Give all that must be hidden of an input, which need not be valid."""
    return redaction.Hidden(
        text
        for name, value in split(task_type, given)[1].items()
        for text in texts(task_type, name, value)
    )


def _marked(schema: Any, value: Any) -> Iterator[str]:
    if not isinstance(schema, Mapping):
        return
    if schema.get("writeOnly"):
        yield from _leaves(value)
    elif isinstance(value, Mapping):
        properties = schema.get("properties")
        for key, inner in value.items():
            if isinstance(properties, Mapping):
                yield from _marked(properties.get(key), inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _marked(schema.get("items"), inner)


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner)
