# SPDX-License-Identifier: Apache-2.0
"""The guide from Glance's own tasks names nothing that there is not."""

import pathlib
import re

from glance_tasks import opts
from glance_tasks import task
import glance_tasks_flows.importing

PAGE = pathlib.Path(__file__).parents[2] / "doc/source/admin/upgrading.rst"


_NAMED = re.compile(r"``\[(glance_tasks\w*)\] (\w+)``((?:, ``\w+``)*)")


def ours(text):
    """Give the options it says there are here, with their groups."""
    return [
        (group, name)
        for group, first, more in _NAMED.findall(text)
        for name in (first, *re.findall(r"\w+", more))
    ]


def test_every_option_it_names_is_there():
    found = ours(PAGE.read_text())

    assert len(found) >= 6
    for group, name in found:
        known = {one.name for one in opts.GROUPS[group]}
        assert name in known, (group, name)


def test_an_option_that_is_not_there_would_be_found():
    text = "   * - ``[task] x``\n     - ``[glance_tasks] y``, ``z``\n"

    assert ours(text) == [("glance_tasks", "y"), ("glance_tasks", "z")]


def test_the_words_of_an_import_are_those_it_takes():
    text = PAGE.read_text()
    schema = glance_tasks_flows.importing.ImportTask.input_schema
    for name in ("import_from", "import_from_format", "image_properties"):
        assert f"``{name}``" in text
        assert name in schema["properties"]
    assert task.Status.SUCCESS.value == "success"
