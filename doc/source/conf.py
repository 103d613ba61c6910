# SPDX-License-Identifier: Apache-2.0
"""How Sphinx builds the documentation; it works offline and without git."""

import importlib.metadata
import pathlib
import sys

DOC = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(DOC / "ext"))

project = "glance-tasks"
copyright = "glance-tasks contributors"
release = version = importlib.metadata.version("glance-tasks")

extensions = [
    "cliff.sphinxext",
    "oslo_config.sphinxext",
    "sphinx.ext.autodoc",
    "sphinx.ext.graphviz",
    "stevedore.sphinxext",
    "command_reference",
    "failure_codes",
    "flow_graph",
    "location_tables",
    "public_names",
    "state_machine",
]

# reno reads the notes out of git's history, which a tarball has not and a
# shallow clone has only the end of.
GIT = DOC.parent / ".git"
exclude_patterns = []
if GIT.exists() and not (GIT / "shallow").exists():
    extensions.append("reno.sphinxext")
else:
    exclude_patterns.append("releasenotes.rst")
    suppress_warnings = ["toc.excluded"]

autoprogram_cliff_app_dist_name = "glance-tasks"
# What only says how cells are written; -h of every command has them.
autoprogram_cliff_ignored = [
    *("--help", "--noindent", "--prefix", "--print-empty", "--quote"),
]

# openstackdocstheme asks git about every page, warns where there is none, and
# its pages call an analytics service; alabaster needs nothing from outside.
html_theme = "alabaster"
html_theme_options = {
    "description": "Long image operations as durable tasks",
    "fixed_sidebar": True,
    "page_width": "1000px",
    "font_family": "sans-serif",
    "head_font_family": "sans-serif",
}
html_copy_source = False

graphviz_output_format = "svg"
autoclass_content = "both"
autodoc_member_order = "bysource"
autodoc_typehints = "description"
