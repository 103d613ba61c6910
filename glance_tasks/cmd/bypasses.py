# SPDX-License-Identifier: Apache-2.0
"""Which plugins reach the network past the guarded fetcher, by their imports.

A plugin that brings its own HTTP client answers to none of the fetcher's
rules. Only the plugin's own module is read, and nothing of it is run.
"""

import ast
from collections.abc import Iterator
from importlib import metadata
from importlib import util
import pathlib

from glance_tasks import registry

#: Modules that open connections; ``urllib.parse`` and the like do not.
NETWORK = frozenset(
    (
        *("aiohttp", "ftplib", "http.client"),
        *("http.server", "httpx", "pycurl", "requests", "smtplib", "socket"),
        *("socketserver", "ssl", "urllib.request", "urllib3"),
    )
)


def imported(source: str) -> list[str]:
    """Name the modules in :data:`NETWORK` that a source imports, anywhere.

    :raises SyntaxError: when it is no Python
    """
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.update(f"{node.module}.{a.name}" for a in node.names)
    return sorted(
        known
        for known in NETWORK
        if any(f"{name}.".startswith(f"{known}.") for name in names)
    )


def found() -> Iterator[tuple[str, str]]:
    """Give each plugin that imports one, with what it imports."""
    for group in (registry.TYPES, registry.CHECKS):
        for entry in metadata.entry_points(group=group):
            if modules := imported(_source(entry.module)):
                yield entry.name, ", ".join(modules)


def _source(module: str) -> str:
    try:
        spec = util.find_spec(module)
        if spec is None or not (spec.origin or "").endswith(".py"):
            return ""
        source = pathlib.Path(str(spec.origin)).read_text(encoding="utf-8")
        ast.parse(source)
    except (ImportError, OSError, SyntaxError, ValueError):
        # What cannot be loaded is told elsewhere.
        return ""
    return source
