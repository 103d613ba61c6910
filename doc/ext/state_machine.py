# SPDX-License-Identifier: Apache-2.0
"""The directives ``task-phases`` and ``task-phases-text``.

Both are drawn from :data:`glance_tasks.task.MOVES`: the one as a picture, the
other as the Mermaid text that people paste elsewhere.
"""

from typing import Any

from docutils import nodes
import drawings
from sphinx import application
from sphinx.util import docutils as sphinx_docutils

from glance_tasks import task


def dot() -> str:
    """Draw the moves for graphviz, one arrow for each pair of phases."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for move in task.MOVES:
        arrows.setdefault((move.source, move.target), []).append(move.cause)
    lines = [
        f'  "{source}" -> "{target}" [label="{", ".join(causes)}"];'
        for (source, target), causes in arrows.items()
    ]
    return "\n".join(
        [
            "digraph phases {",
            "  node [shape=box, style=rounded, fontname=sans, fontsize=11];",
            "  edge [fontname=sans, fontsize=9];",
            f'  "{task.FIRST}" [penwidth=2]; "{task.LAST}" [penwidth=2];',
            *lines,
            "}",
        ]
    )


class TaskPhases(sphinx_docutils.SphinxDirective):
    """Draws the picture."""

    def run(self) -> list[nodes.Node]:
        """Give one figure."""
        self.env.note_dependency(task.__file__)
        alt = "The phases of a task and what moves it on"
        return [drawings.drawing(dot(), task.draw_moves(), alt)]


class TaskPhasesText(sphinx_docutils.SphinxDirective):
    """Writes the Mermaid text."""

    def run(self) -> list[nodes.Node]:
        """Give one literal block."""
        self.env.note_dependency(task.__file__)
        return [drawings.literal(task.draw_moves())]


def setup(app: application.Sphinx) -> dict[str, Any]:
    """Make the directives known to Sphinx."""
    app.add_directive("task-phases", TaskPhases)
    app.add_directive("task-phases-text", TaskPhasesText)
    return {"parallel_read_safe": True}
