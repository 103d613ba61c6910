# SPDX-License-Identifier: Apache-2.0
"""The directives ``location-moves`` and ``image-statuses``.

Drawn from :data:`glance_tasks.locations.MOVES` and
:data:`glance_tasks.locations.STATUSES`.
"""

from typing import Any

from docutils import nodes
import drawings
from sphinx import application
from sphinx.util import docutils as sphinx_docutils

from glance_tasks import locations


def dot() -> str:
    """Draw the moves for graphviz."""
    arrows = [
        f'  "{a}" -> "{b}" [label="{cause}"];'
        for a, b, cause in locations.MOVES
    ]
    return "\n".join(
        [
            "digraph locations {",
            "  node [shape=box, style=rounded, fontname=sans, fontsize=11];",
            "  edge [fontname=sans, fontsize=9];",
            *arrows,
            "}",
        ]
    )


def rows() -> list[tuple[str, str]]:
    """Give the table of an image's status, the first row first."""
    return [
        *((f"any location is {one}", str(n)) for one, n in locations.STATUSES),
        ("there is no location", str(locations.status_of(()))),
    ]


class LocationMoves(sphinx_docutils.SphinxDirective):
    """Draws the picture."""

    def run(self) -> list[nodes.Node]:
        """Give one figure."""
        self.env.note_dependency(locations.__file__)
        alt = "The status of a location and what changes it"
        return [drawings.drawing(dot(), locations.draw_moves(), alt)]


class ImageStatuses(sphinx_docutils.SphinxDirective):
    """Writes the table."""

    def run(self) -> list[nodes.Node]:
        """Give one table of two columns."""
        self.env.note_dependency(locations.__file__)
        group = nodes.tgroup(cols=2)
        group += [nodes.colspec(colwidth=1), nodes.colspec(colwidth=1)]
        head, body = nodes.thead(), nodes.tbody()
        head += _row("the first that is true", "status of the image")
        for row in rows():
            body += _row(*row)
        group += [head, body]
        return [nodes.table("", group)]


def _row(*cells: str) -> nodes.row:
    made = nodes.row()
    for cell in cells:
        made += nodes.entry("", nodes.paragraph(text=cell))
    return made


def setup(app: application.Sphinx) -> dict[str, Any]:
    """Make the directives known to Sphinx."""
    app.add_directive("location-moves", LocationMoves)
    app.add_directive("image-statuses", ImageStatuses)
    return {"parallel_read_safe": True}
