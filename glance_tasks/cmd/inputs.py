# SPDX-License-Identifier: Apache-2.0
"""The INPUT of a command, and its secrets: JSON, ``@FILE`` or ``-``."""

import argparse
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import json
import os
import pathlib
from typing import Any
from typing import BinaryIO
from typing import TextIO

from glance_tasks import exceptions
from glance_tasks import plugin


def read(given: str, stdin: TextIO) -> dict[str, Any]:
    """Read a JSON object.

    :param given: the object itself, ``@`` and the path of a file that holds
        it, or ``-`` for standard input
    :raises InvalidInput: when it cannot be read or is no JSON object
    """
    try:
        if given == "-":
            text = stdin.read()
        elif given.startswith("@"):
            text = pathlib.Path(given[1:]).read_text(encoding="utf-8")
        else:
            text = given
        value = json.loads(text)
    except OSError as error:
        raise exceptions.InvalidInput(
            [("", f"cannot read {given[1:]!r}: {error.strerror}")]
        ) from error
    except (ValueError, RecursionError) as error:
        raise exceptions.InvalidInput(
            [("", f"is no JSON: {error}; expected an object, @FILE or -")]
        ) from error
    if not isinstance(value, dict):
        raise exceptions.InvalidInput(
            [("", f"is a JSON {type(value).__name__}; expected an object")]
        )
    return value


# --- bytes -------------------------------------------------------------------


@contextlib.contextmanager
def opened(name: str, stdin: TextIO, offset: int) -> Iterator[BinaryIO]:
    """Open a file, or standard input for ``-``, behind its first bytes.

    :param offset: how many of them to skip
    :raises InvalidInput: when it cannot be read, or has not that many
    """
    with contextlib.ExitStack() as stack:
        try:
            file: Any = stdin.buffer
            if name != "-":
                file = stack.enter_context(open(name, "rb"))
            _skip(file, name, offset)
        except OSError as error:
            raise exceptions.InvalidInput(
                [("", f"cannot read {name!r}: {error.strerror}")]
            ) from error
        yield file


def _skip(file: BinaryIO, name: str, count: int) -> None:
    # Read, not sought: it may be a pipe.
    while count:
        skipped = len(file.read(min(count, 1 << 20)))
        if not skipped:
            raise exceptions.InvalidInput(
                [("", f"{name!r} ends {count} bytes before what is new")]
            )
        count -= skipped


# --- secrets -----------------------------------------------------------------


def add_secrets(parser: argparse.ArgumentParser) -> None:
    """Let a command take secrets."""
    parser.add_argument(
        "--secret",
        action="append",
        type=_named,
        default=[],
        dest="secrets",
        metavar="NAME=WHERE",
        help="a secret of the input, from @FILE, from env:VARIABLE, or from"
        " standard input with -; text where the schema says so, else JSON; may"
        " be given several times",
    )


def _named(given: str) -> tuple[str, str]:
    name, _, where = given.partition("=")
    if not name or (not where.startswith(("@", "env:")) and where != "-"):
        # Not quoted: it may be the secret itself.
        raise argparse.ArgumentTypeError(
            "a secret does not stand on a command line; expected NAME=@FILE,"
            " NAME=env:VARIABLE or NAME=-"
        )
    return name, where


def read_secrets(
    named: Iterable[tuple[str, str]],
    task_type: plugin.TaskType,
    stdin: TextIO,
) -> dict[str, Any]:
    """Read secrets by name.

    :param named: names and where the values are
    :raises InvalidInput: when one cannot be read
    """
    properties = task_type.input_schema.get("properties", {})
    return {
        name: _value(name, _text(name, where, stdin), properties.get(name))
        for name, where in named
    }


def _text(name: str, where: str, stdin: TextIO) -> str:
    if where == "-":
        return stdin.read()
    try:
        if where.startswith("@"):
            return pathlib.Path(where[1:]).read_text(encoding="utf-8")
        return os.environ[where.removeprefix("env:")]
    except (OSError, UnicodeError, KeyError) as error:
        raise exceptions.InvalidInput(
            [(f"/{name}", f"cannot be read from {where!r}")]
        ) from error


def _value(name: str, text: str, schema: Any) -> Any:
    if isinstance(schema, Mapping) and schema.get("type") == "string":
        # The end of a line that an editor or echo leaves is no part of it.
        return text.removesuffix("\n").removesuffix("\r")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        # Not with the decoder's text: it may quote.
        raise exceptions.InvalidInput(
            [(f"/{name}", "is no JSON, as its schema wants it")]
        ) from error
