# SPDX-License-Identifier: Apache-2.0
"""The directive ``public-names``: every public name of some modules.

Its arguments are modules of the library, or of the ``:package:`` in it that
is named; it documents those names of the package's ``__all__`` that come from
them, by autodoc.
"""

import enum
import importlib
import inspect
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from sphinx import application
from sphinx.util import docutils as sphinx_docutils


def names_of(package: Any, module: str) -> list[str]:
    """Give the public names of a package that a module in it defines."""
    home = f"{package.__name__}.{module}"
    return [
        name
        for name in package.__all__
        if getattr(package, name).__module__ == home
    ]


def described(package: Any, name: str) -> list[str]:
    """Give what autodoc is told of one name."""
    value = getattr(package, name)
    full = f"{package.__name__}.{name}"
    if not inspect.isclass(value):
        return [f".. autofunction:: {full}", ""]
    lines = [f".. autoclass:: {full}", "   :members:"]
    if full.endswith(".TaskEngine"):
        # What it reads is written in its base.
        lines.append("   :inherited-members:")
    if issubclass(value, enum.Enum):
        lines.append("   :undoc-members:")
    if issubclass(value, Exception):
        lines.append("   :show-inheritance:")
    return [*lines, ""]


class PublicNames(sphinx_docutils.SphinxDirective):
    """Documents the names."""

    required_arguments = 1
    optional_arguments = 9
    option_spec = {"package": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        """Give one description a name."""
        package = importlib.import_module(
            self.options.get("package", "glance_tasks")
        )
        lines = [
            line
            for module in self.arguments
            for name in names_of(package, module)
            for line in described(package, name)
        ]
        holder = nodes.Element()
        self.state.nested_parse(StringList(lines, "public-names"), 0, holder)
        return holder.children


def setup(app: application.Sphinx) -> dict[str, Any]:
    """Make the directive known to Sphinx."""
    app.add_directive("public-names", PublicNames)
    return {"parallel_read_safe": True}
