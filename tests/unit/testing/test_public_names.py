# SPDX-License-Identifier: Apache-2.0
"""The names of the test kit are what they say, and load only what they use."""

import ast
import inspect
import os
import subprocess
import sys

import pytest

from glance_tasks import testing

HEAVY = {"sqlalchemy", "taskflow", "fixtures", "testtools", "psycopg2"}


def loaded_by(statement):
    """Give the names of the modules that a fresh process has loaded then."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"{statement}; import sys; print(*sys.modules)",
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("name", testing.__all__)
def test_every_name_resolves_to_what_its_module_describes(name):
    value = getattr(testing, name)

    assert inspect.getdoc(value)
    assert value.__module__.startswith("glance_tasks.testing.")


def test_a_name_that_type_checkers_see_is_public():
    source = ast.parse(inspect.getsource(testing))

    seen = {
        alias.asname
        for node in ast.walk(source)
        if isinstance(node, ast.ImportFrom) and node.module != "typing"
        for alias in node.names
    }

    assert seen == set(testing.__all__) == set(dir(testing))


def test_no_name_is_hidden_by_a_module_of_the_same_name():
    homes = set(testing._WHERE.values())

    assert not homes & set(testing.__all__)


def test_a_name_there_is_not_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Frobnicator'"):
        testing.Frobnicator  # noqa: B018


def test_importing_the_kit_alone_loads_no_library():
    found = loaded_by("import glance_tasks.testing")

    assert not found & HEAVY
    assert {n for n in found if n.startswith("glance_tasks.")} == {
        "glance_tasks.testing"
    }


@pytest.mark.parametrize(
    ("name", "absent"),
    [
        ("NeverStop", HEAVY),
        ("HttpSource", HEAVY),
        ("FailingStore", HEAVY),
        ("context", HEAVY - {"taskflow"}),
        ("FullDisk", {"sqlalchemy", "taskflow", "psycopg2"}),
        ("EngineFixture", {"psycopg2", "pymysql"}),
    ],
)
def test_a_name_loads_only_what_it_needs(name, absent):
    found = loaded_by(f"from glance_tasks.testing import {name}")

    assert not found & absent
