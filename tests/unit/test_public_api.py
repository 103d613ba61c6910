# SPDX-License-Identifier: Apache-2.0
"""The public API is what it says, and costs nothing until it is used."""

import ast
import inspect
import os
import subprocess
import sys

import pytest

import glance_tasks


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


@pytest.mark.parametrize("name", glance_tasks.__all__)
def test_every_public_name_resolves_and_is_described(name):
    value = getattr(glance_tasks, name)

    assert inspect.getdoc(value)
    assert value.__module__.startswith("glance_tasks.")


def test_what_is_listed_is_exactly_what_resolves():
    assert sorted(glance_tasks.__all__) == sorted(dir(glance_tasks))
    assert sorted(glance_tasks.__all__) == sorted(glance_tasks._WHERE)


def test_a_name_that_type_checkers_see_is_public():
    source = ast.parse(inspect.getsource(glance_tasks))

    seen = {
        alias.asname
        for node in ast.walk(source)
        if isinstance(node, ast.ImportFrom) and node.module != "typing"
        for alias in node.names
    }

    assert seen == set(glance_tasks.__all__)


def test_a_name_there_is_not_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Frobnicator'"):
        glance_tasks.Frobnicator  # noqa: B018


def test_a_star_import_brings_the_public_names():
    done = subprocess.run(
        [
            *(sys.executable, "-c"),
            "from glance_tasks import *; print(*globals())",
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert set(glance_tasks.__all__) <= set(done.stdout.split())


def test_importing_the_package_alone_loads_no_library():
    found = loaded_by("import glance_tasks")

    heavy = {"sqlalchemy", "taskflow", "alembic", "oslo_config", "oslo_db"}
    assert not found & heavy
    assert not [name for name in found if name.startswith("glance_tasks.")]


@pytest.mark.parametrize(
    ("name", "absent"),
    [
        ("Task", {"sqlalchemy", "taskflow", "oslo_config", "jsonschema"}),
        ("TaskError", {"sqlalchemy", "taskflow", "oslo_config", "jsonschema"}),
        ("register_opts", {"sqlalchemy", "taskflow"}),
        ("TaskType", {"sqlalchemy", "oslo_db", "alembic"}),
    ],
)
def test_a_name_loads_only_what_it_needs(name, absent):
    assert not loaded_by(f"from glance_tasks import {name}") & absent


def test_the_engine_loads_no_eventlet():
    found = loaded_by("from glance_tasks import TaskEngine, Conductor")

    assert "eventlet" not in found
