# SPDX-License-Identifier: Apache-2.0
"""The INPUT of a command: JSON, ``@FILE`` or ``-``."""

import json
import pathlib
from typing import Any
from typing import TextIO

from glance_tasks import exceptions


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
