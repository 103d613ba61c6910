# SPDX-License-Identifier: Apache-2.0
"""Options that say something of one task type: ``TYPE:SOMETHING``."""

from collections.abc import Iterable

from glance_tasks import exceptions


def names(pairs: Iterable[str], type_name: str) -> set[str]:
    """Give what options of the form ``TYPE:NAME`` name for one type.

    :raises ConfigurationError: when one is not of that form
    """
    found = set()
    for pair in pairs:
        kind, _, name = pair.partition(":")
        if not (kind and name):
            raise exceptions.ConfigurationError(
                f"{pair!r} is not of the form TYPE:NAME"
            )
        if kind == type_name:
            found.add(name)
    return found


def numbers(
    option: str, pairs: Iterable[str], *, most: float
) -> dict[str, float]:
    """Give what an option of the form ``TYPE:NUMBER`` says, by type.

    :param most: the largest number that is meant
    :raises ConfigurationError: when one is not of that form
    """
    found = {}
    for pair in pairs:
        kind, _, text = pair.rpartition(":")
        try:
            number = float(text)
        except ValueError:
            number = -1.0
        if not (kind and 0 <= number <= most):
            raise exceptions.ConfigurationError(
                f"{option} has {pair!r}; expected TYPE:NUMBER, with a number"
                f" from 0 to {most:g}"
            )
        found[kind] = number
    return found
