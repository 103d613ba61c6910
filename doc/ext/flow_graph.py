# SPDX-License-Identifier: Apache-2.0
"""The directive ``flow-graph``: the graph that a task type builds.

Its argument is the type's name, its content a JSON object: the task's input.
``:text:`` adds what each atom takes and gives.
"""

import json
import pathlib
import tempfile
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
import drawings
from oslo_config import cfg
from sphinx import application
from sphinx.util import docutils as sphinx_docutils

import glance_tasks
from glance_tasks import graph


def draw(type_name: str, given: dict[str, Any]) -> graph.Graph:
    """Give the graph, built by an engine that lives only for it."""
    conf = cfg.ConfigOpts()
    glance_tasks.register_opts(conf)
    conf([], project="glance-tasks", default_config_files=[])
    with tempfile.TemporaryDirectory() as folder:
        home = str(pathlib.Path(folder))
        conf.set_override("data_dir", home, "glance_tasks")
        engine = glance_tasks.TaskEngine(conf)
        try:
            return engine.draw(type_name, given)
        finally:
            engine.close()


class FlowGraph(sphinx_docutils.SphinxDirective):
    """Draws the graph."""

    required_arguments = 1
    has_content = True
    option_spec = {"text": directives.flag}

    def run(self) -> list[nodes.Node]:
        """Give a picture, and the text when it is asked for."""
        name = self.arguments[0]
        drawn = draw(name, json.loads("\n".join(self.content)))
        text = graph.to_text(drawn)
        found = [
            drawings.drawing(
                graph.to_dot(drawn), text, f"The atoms of {name!r}"
            )
        ]
        if "text" in self.options:
            found.append(drawings.literal(text))
        return found


def setup(app: application.Sphinx) -> dict[str, Any]:
    """Make the directive known to Sphinx."""
    app.add_directive("flow-graph", FlowGraph)
    return {"parallel_read_safe": True}
