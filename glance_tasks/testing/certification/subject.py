# SPDX-License-Identifier: Apache-2.0
"""What is certified: a task type, the inputs it gets, and what it touches."""

from collections.abc import Iterator
from collections.abc import Mapping
import dataclasses
import importlib
import pathlib
import re
from typing import Any

from glance_tasks import exceptions
from glance_tasks import plugin
from glance_tasks import registry
from glance_tasks.secrets import inputs

#: Hosts of examples (RFC 2606) stand for the kit's own source.
_EXAMPLE_HOST = re.compile(r"https?://(?:[a-z0-9-]+\.)*example(?=[/:?]|$)")

#: A path that begins so stands for a directory of the trial's own.
SCRATCH = "/scratch.example"

# Letters; a shorter one is found in every id.
_LEAST_SECRET = 6


@dataclasses.dataclass(frozen=True)
class Subject:
    """A task type with everything that a trial of it needs.

    :ivar name: under which it is registered
    :ivar inputs: what its tasks are given, one after the other; each host
        ``*.example`` stands for the kit's source, and a path that begins with
        ``/scratch.example`` for a directory that is looked at afterwards.
        A task that takes bytes is handed those of the kit's disk of the
        format, raw or qcow2, that its input names
    :ivar place: ``module:Class``, when it is not installed
    :ivar serve: files that the source serves besides ``/disk.raw`` and
        ``/disk.qcow2``, by their names
    :ivar options: of the group ``glance_tasks`` for its engine
    """

    name: str
    inputs: tuple[Mapping[str, Any], ...]
    place: str | None = None
    serve: tuple[pathlib.Path, ...] = ()
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def load(self) -> type[plugin.TaskType]:
        """Give the class.

        :raises TaskTypeNotFound: when it is not installed
        :raises BrokenPlugin: when it cannot be used
        """
        return load(self.name, self.place)


def load(name: str, place: str | None) -> type[plugin.TaskType]:
    """Give the class of a task type, as :meth:`Subject.load` does."""
    if not place:
        return type(registry.Registry().get(name))
    module, _, attribute = place.partition(":")
    try:
        found: Any = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise exceptions.TaskTypeNotFound(
            f"{place!r} cannot be loaded: {error}; expected module:Class"
        ) from error
    return type(registry.Registry(types={name: found}, checks={}).get(name))


def examples(task_type: type[plugin.TaskType]) -> list[Mapping[str, Any]]:
    """Give the examples of a type's input schema."""
    return list(task_type.input_schema.get("examples", ()))


def resolved(value: Any, source: str, scratch: str, mark: str) -> Any:
    """Give an input with the places that it names put in.

    :param source: address of the kit's source, without a path
    :param mark: a query that makes an address a secret
    """
    if isinstance(value, Mapping):
        return {
            key: resolved(inner, source, scratch, mark)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [resolved(inner, source, scratch, mark) for inner in value]
    if not isinstance(value, str):
        return value
    value = value.replace(SCRATCH, scratch)
    found, count = _EXAMPLE_HOST.subn(source, value)
    return f"{found}{'&' if '?' in found else '?'}{mark}" if count else found


def secrets(task_type: type[plugin.TaskType], given: Any) -> list[str]:
    """Give the texts in ``given`` that its schema calls ``writeOnly``.

    Those too short to be told from other text are left out.
    """
    root = task_type.input_schema
    return [
        text
        for text in _secrets(root, root, given, False)
        if len(text) >= _LEAST_SECRET
    ]


def declared(task_type: type[plugin.TaskType], given: Any) -> list[str]:
    """Give the texts of what the type names in its ``secret_inputs``."""
    names = [name for name in task_type.secret_inputs if name in given]
    return [
        text
        for name in names
        for text in inputs.texts(task_type(), name, given[name])
        if len(text) >= _LEAST_SECRET
    ]


def _secrets(
    root: Any, schema: Any, given: Any, hidden: bool
) -> Iterator[str]:
    schema = schema if isinstance(schema, Mapping) else {}
    reference = schema.get("$ref", "")
    if reference.startswith("#/"):
        schema = {**schema, **_found(root, reference)}
    hidden = hidden or bool(schema.get("writeOnly"))
    if isinstance(given, str) and hidden:
        yield given
    elif isinstance(given, Mapping):
        for key, inner in given.items():
            of_key = schema.get("properties", {}).get(key)
            yield from _secrets(root, of_key, inner, hidden)
    elif isinstance(given, list | tuple):
        for inner in given:
            yield from _secrets(root, schema.get("items"), inner, hidden)


def _found(root: Any, reference: str) -> Mapping[str, Any]:
    for part in reference.removeprefix("#/").split("/"):
        root = root.get(part, {}) if isinstance(root, Mapping) else {}
    return root if isinstance(root, Mapping) else {}
