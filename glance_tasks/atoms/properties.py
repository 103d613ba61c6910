# SPDX-License-Identifier: Apache-2.0
"""Which images, and which of their properties, may leave the cloud."""

from collections.abc import Iterable
from collections.abc import Mapping
import fnmatch
from typing import Any


def scrubbed(
    properties: Mapping[str, Any], keep: Iterable[str], remove: Iterable[str]
) -> dict[str, Any]:
    """Give the properties that fit a pattern of ``keep``, none of ``remove``.

    :param keep: patterns of names, such as ``os_*``; upper and lower case
        differ
    """
    kept, removed = tuple(keep), tuple(remove)
    return {
        name: value
        for name, value in properties.items()
        if _fits(name, kept) and not _fits(name, removed)
    }


def refusing(
    properties: Mapping[str, Any], refused: Iterable[str]
) -> str | None:
    """Give the name of a property for which an image may not leave.

    :param refused: ``NAME=VALUE``, both of them patterns
    """
    for rule in refused:
        name, _, value = rule.partition("=")
        for known, text in properties.items():
            if _fits(known, [name]) and _fits(str(text), [value]):
                return known
    return None


def _fits(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
