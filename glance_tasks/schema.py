# SPDX-License-Identifier: Apache-2.0
"""JSON Schema for inputs and results, with errors that point at the field."""

from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
import difflib
import itertools
from typing import Any

import jsonschema
from jsonschema import exceptions as schema_exceptions

from glance_tasks import exceptions
from glance_tasks import redaction

_DRAFT = jsonschema.Draft202012Validator
# "format": "uri" checks nothing by itself.
_FORMATS = _DRAFT.FORMAT_CHECKER

# More than that helps nobody, and a hostile input can have thousands.
_MAX_ERRORS = 20
_MAX_TEXT = 300


def check_schema(schema: Mapping[str, Any]) -> None:
    """Return when ``schema`` is a JSON Schema (2020-12).

    :raises BrokenPlugin: when it is not
    """
    try:
        _DRAFT.check_schema(schema)
    except schema_exceptions.SchemaError as error:
        raise exceptions.BrokenPlugin(
            f"the schema is no JSON Schema at {error.json_path}:"
            f" {error.message}"
        ) from error


def validate(
    schema: Mapping[str, Any],
    value: Any,
    *,
    secret: Collection[str] = (),
    hidden: redaction.Hidden | None = None,
) -> None:
    """Return when ``value`` fits ``schema``.

    :param secret: top-level keys whose values no error shows
    :param hidden: texts that no error shows
    :raises InvalidInput: with a JSON pointer and a text for each misfit
    """
    validator = _DRAFT(schema, format_checker=_FORMATS)
    faults: list[tuple[str, str]] = []
    for error in validator.iter_errors(value):
        room = _MAX_ERRORS - len(faults)
        path = error.absolute_path
        explained = (
            _unshown(error)
            if path and path[0] in secret
            else _explain(_closest(error), hidden)
        )
        faults.extend(itertools.islice(explained, room))
        if len(faults) >= _MAX_ERRORS:
            break
    if faults:
        raise exceptions.InvalidInput(sorted(set(faults)))


def _closest(
    error: schema_exceptions.ValidationError,
) -> schema_exceptions.ValidationError:
    # Of "anyOf" the branch that nearly fitted says more than "none fits".
    return schema_exceptions.best_match([error]) if error.context else error


def _unshown(
    error: schema_exceptions.ValidationError,
) -> Iterator[tuple[str, str]]:
    """Name the rule alone: the message would quote the value."""
    yield (
        _pointer([error.absolute_path[0]]),
        f"is not as {error.validator!r} in its schema wants it",
    )


def _explain(
    error: schema_exceptions.ValidationError,
    hidden: redaction.Hidden | None,
) -> Iterator[tuple[str, str]]:
    path = list(error.absolute_path)
    schema: Any = error.schema
    if error.validator == "additionalProperties" and isinstance(
        error.instance, Mapping
    ):
        known = list(schema.get("properties", {}))
        if not schema.get("patternProperties"):
            for name in error.instance:
                if name not in known:
                    yield _pointer([*path, name]), _unknown(name, known)
            return
    if error.validator == "required" and isinstance(error.instance, Mapping):
        for name in schema["required"]:
            if name not in error.instance:
                yield _pointer([*path, name]), "is required"
        return
    text = error.message
    if hidden is not None:
        text = hidden.out_of(text)
    if len(text) > _MAX_TEXT:
        text = f"{text[:_MAX_TEXT]} ..."
    yield _pointer(path), text


def _unknown(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"expected one of {known}"
    return f"is not known; {hint}"


def _pointer(path: list[Any]) -> str:
    return "".join(
        "/" + str(part).replace("~", "~0").replace("/", "~1") for part in path
    )


def example(schema: Mapping[str, Any]) -> Any:
    """Give a value that fits ``schema``: its own example, or one made up.

    Only for drawing graphs; a schema with patterns needs ``examples``.
    """
    for key in ("examples", "enum"):
        if schema.get(key):
            return schema[key][0]
    if "const" in schema or "default" in schema:
        return schema.get("const", schema.get("default"))
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        return {
            name: example(schema.get("properties", {}).get(name, {}))
            for name in schema.get("required", ())
        }
    made_up = {
        "string": "http://source.example/image"
        if schema.get("format") == "uri"
        else "x" * schema.get("minLength", 1),
        "integer": schema.get("minimum", 1),
        "number": schema.get("minimum", 1),
        "boolean": True,
        "array": [],
    }
    return made_up.get(str(kind))
