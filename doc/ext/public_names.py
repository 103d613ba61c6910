# SPDX-License-Identifier: Apache-2.0
"""The directive ``public-names``: every public name of some modules.

Its arguments are modules of the library; it documents those names of
``glance_tasks.__all__`` that come from them, by autodoc.
"""

import enum
import inspect
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx import application
from sphinx.util import docutils as sphinx_docutils

import glance_tasks


def names_of(module: str) -> list[str]:
    """Give the public names that a module of the library defines."""
    return [
        name
        for name in glance_tasks.__all__
        if getattr(glance_tasks, name).__module__ == f"glance_tasks.{module}"
    ]


def described(name: str) -> list[str]:
    """Give what autodoc is told of one name."""
    value = getattr(glance_tasks, name)
    if not inspect.isclass(value):
        return [f".. autofunction:: glance_tasks.{name}", ""]
    lines = [f".. autoclass:: glance_tasks.{name}", "   :members:"]
    if issubclass(value, enum.Enum):
        lines.append("   :undoc-members:")
    if issubclass(value, Exception):
        lines.append("   :show-inheritance:")
    return [*lines, ""]


class PublicNames(sphinx_docutils.SphinxDirective):
    """Documents the names."""

    required_arguments = 1
    optional_arguments = 9

    def run(self) -> list[nodes.Node]:
        """Give one description a name."""
        lines = [
            line
            for module in self.arguments
            for name in names_of(module)
            for line in described(name)
        ]
        holder = nodes.Element()
        self.state.nested_parse(StringList(lines, "public-names"), 0, holder)
        return holder.children


def setup(app: application.Sphinx) -> dict[str, Any]:
    """Make the directive known to Sphinx."""
    app.add_directive("public-names", PublicNames)
    return {"parallel_read_safe": True}
