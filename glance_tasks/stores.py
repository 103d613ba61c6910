# SPDX-License-Identifier: Apache-2.0
"""The stores of an engine by their names; the first is the default one."""

from collections.abc import Callable
from collections.abc import Mapping
import re
from typing import Any

from oslo_config import cfg

from glance_tasks import exceptions
from glance_tasks import ports

#: Makes a store: ``(entry point, name)``; the name is empty for the only one.
Maker = Callable[[str, str], Any]

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


def configured(conf: cfg.ConfigOpts) -> dict[str, str]:
    """Give the names in the option ``stores``, with their entry points.

    :raises ConfigurationError: when an item is not of the form NAME:STORE, or
        a name is there twice
    """
    found: dict[str, str] = {}
    for item in conf.glance_tasks.stores:
        name, _, entry = item.partition(":")
        if not (_NAME.fullmatch(name) and entry):
            raise exceptions.ConfigurationError(
                f"stores: {item!r} is not of the form NAME:STORE, such as"
                " fast:directory; a name has small letters, digits, '_' and"
                " '-'"
            )
        if name in found:
            raise exceptions.ConfigurationError(
                f"stores: {name!r} is there twice; expected it once"
            )
        found[name] = entry
    return found


def made(
    conf: cfg.ConfigOpts, make: Maker
) -> tuple[ports.ImageStore, Mapping[str, ports.ImageStore]]:
    """Give the default store, and all that have names.

    :raises ConfigurationError: when one cannot be made
    """
    named = {
        name: make(entry, name) for name, entry in configured(conf).items()
    }
    if not named:
        return make(conf.glance_tasks.store, ""), {}
    return next(iter(named.values())), named
