# SPDX-License-Identifier: Apache-2.0
"""A drawing: by graphviz where its ``dot`` is installed, as text elsewhere."""

import shutil

from docutils import nodes
from sphinx.ext import graphviz


def drawing(dot: str, text: str, alt: str) -> nodes.Node:
    """Give a picture of ``dot``, or ``text`` where nothing can draw it."""
    if shutil.which("dot") is None:
        return literal(text)
    picture = graphviz.graphviz(code=dot, options={})
    picture["alt"] = alt
    return picture


def literal(text: str) -> nodes.literal_block:
    """Give text to be copied as it is."""
    return nodes.literal_block(text, text, language="text")
