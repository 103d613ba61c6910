# SPDX-License-Identifier: Apache-2.0
"""The directive ``failure-codes``: the table of every code there is."""

from collections.abc import Iterator
from typing import Any

from docutils import nodes
from docutils.parsers import rst
from sphinx import application
from sphinx.util import docutils as sphinx_docutils

from glance_tasks import exceptions

HEADERS = ("Code", "What happened", "What to do", "Retry")
WIDTHS = (22, 34, 34, 10)


def rows() -> Iterator[tuple[nodes.Node, ...]]:
    """Give the cells of each code, in the catalogue's order."""
    for entry in exceptions.FAILURES.values():
        yield (
            nodes.literal(text=entry.code),
            nodes.Text(entry.summary),
            nodes.Text(entry.advice),
            nodes.Text("may help" if entry.retryable else "no"),
        )


def row(cells: tuple[nodes.Node, ...]) -> nodes.row:
    """Put each cell into a paragraph and an entry of its own."""
    entries = [nodes.entry("", nodes.paragraph("", "", c)) for c in cells]
    return nodes.row("", *entries)


class FailureCodes(sphinx_docutils.SphinxDirective):
    """Draws the table."""

    def run(self) -> list[nodes.Node]:
        """Give one table."""
        self.env.note_dependency(exceptions.__file__)
        titles = tuple(nodes.Text(header) for header in HEADERS)
        group = nodes.tgroup(
            "",
            *(nodes.colspec(colwidth=width) for width in WIDTHS),
            nodes.thead("", row(titles)),
            nodes.tbody("", *(row(cells) for cells in rows())),
            cols=len(HEADERS),
        )
        return [nodes.table("", group)]


def setup(app: application.Sphinx) -> dict[str, Any]:
    """Make the directive known to Sphinx."""
    directive: type[rst.Directive] = FailureCodes
    app.add_directive("failure-codes", directive)
    return {"parallel_read_safe": True}
