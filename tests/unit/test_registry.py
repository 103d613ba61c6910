# SPDX-License-Identifier: Apache-2.0
"""Plugins are found by their entry points; broken ones are named."""

import os
import pathlib
import subprocess
import sys

import pytest
from taskflow.patterns import linear_flow

import glance_tasks as gt
from glance_tasks import exceptions
from glance_tasks import registry


class GoodTask(gt.TaskType):
    """A type that works."""

    input_schema = {"type": "object"}
    result_schema = {"type": "object"}

    def build(self, ctx):
        """Build nothing much."""
        return linear_flow.Flow("good")


class OfAnotherApi(GoodTask):
    """A type made for another contract."""

    api = 2


class WithoutInput(gt.TaskType):
    """A type without a schema of its input."""

    result_schema = {"type": "object"}
    build = GoodTask.build


class WithoutResult(gt.TaskType):
    """A type without a schema of its result."""

    input_schema = {"type": "object"}
    build = GoodTask.build


class WithoutBuild(gt.TaskType):
    """A type that builds nothing."""

    input_schema = {"type": "object"}
    result_schema = {"type": "object"}


class WithBadSchema(GoodTask):
    """A type whose schema is none."""

    input_schema = {"type": "objekt"}


class WithBadResultSchema(GoodTask):
    """A type whose result's schema is none."""

    result_schema = {"required": "all"}


class ThatRaises(GoodTask):
    """A type that cannot be made."""

    def __init__(self):
        raise RuntimeError("no luck")


class GoodCheck(gt.Atom):
    """A check that works."""

    behaviour = "idempotent"

    def execute(self):
        """Let everything pass."""


class UndeclaredCheck(gt.Atom):
    """A check that does not declare its behaviour."""

    execute = GoodCheck.execute


def given(**types):
    return registry.Registry(types={"good": GoodTask, **types}, checks={})


BROKEN = [
    (OfAnotherApi, "made for version 2 of the plugin contract"),
    (WithoutInput, "it has no input_schema"),
    (WithoutResult, "it has no result_schema"),
    (WithoutBuild, r"it has no build\(\)"),
    (WithBadSchema, r"no JSON Schema at \$\.type"),
    (WithBadResultSchema, r"no JSON Schema at \$\.required"),
    (ThatRaises, "RuntimeError: no luck"),
    (GoodTask(), "is no task type"),
    (GoodCheck, "is no task type"),
]


@pytest.mark.parametrize(
    ("candidate", "reason"), BROKEN, ids=lambda value: str(value)[:40]
)
def test_a_broken_type_is_refused_with_its_reason(candidate, reason):
    types = given(bad=candidate)

    with pytest.raises(exceptions.BrokenPlugin, match=f"'bad'.*{reason}"):
        types.get("bad")


def test_a_broken_type_does_not_hide_the_good_ones():
    types = given(bad=ThatRaises)

    assert types.names() == ["good"]
    assert isinstance(types.get("good"), GoodTask)
    assert types.broken() == {
        "glance_tasks.task_types:bad": "RuntimeError: no luck"
    }


@pytest.mark.parametrize(
    ("candidate", "reason"),
    [
        (UndeclaredCheck, "it declares no behaviour"),
        (GoodTask, "is no check"),
        (GoodCheck(), "is no check"),
    ],
)
def test_a_broken_check_is_refused_with_its_reason(candidate, reason):
    types = registry.Registry(
        types={}, checks={"good": GoodCheck, "bad": candidate}
    )

    with pytest.raises(exceptions.BrokenPlugin, match=reason):
        types.checks(["good", "bad"])
    assert types.checks(["good"]) == {"good": GoodCheck}


def test_a_misspelt_name_is_met_with_the_nearest():
    with pytest.raises(
        exceptions.TaskTypeNotFound,
        match=r"there is no task type 'god'; did you mean 'good'?",
    ):
        given().get("god")


def test_a_name_like_no_other_is_met_with_the_list():
    with pytest.raises(
        exceptions.TaskTypeNotFound, match="installed are: fine, good"
    ):
        given(fine=GoodTask).get("zzzzz")


def test_where_nothing_is_installed_it_is_said():
    empty = registry.Registry(types={}, checks={})

    with pytest.raises(
        exceptions.TaskTypeNotFound, match="installed are: none"
    ):
        empty.get("import")


# --- entry points ------------------------------------------------------------

MODULES = {
    "good": "from tests.unit.test_registry import GoodTask as Type\n",
    "lacking": "import a_library_that_is_absent\n",
    "failing": "assert 1 == 2, 'one is not two'\n",
    "leaving": "import sys\nsys.exit(3)\n",
    "wrong": "Elsewhere = None\n",
}


@pytest.fixture
def site(tmp_path):
    """Make a directory of installed packages, a plugin each."""
    for name, source in MODULES.items():
        (tmp_path / f"plugin_{name}.py").write_text(source)
        package = tmp_path / f"plugin_{name}-1.dist-info"
        package.mkdir()
        (package / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: plugin-{name}\nVersion: 1\n"
        )
        (package / "entry_points.txt").write_text(
            f"[{registry.TYPES}]\n{name} = plugin_{name}:Type\n"
        )
    return tmp_path


def installed(site: pathlib.Path, expression: str) -> str:
    """Evaluate an expression where those packages are installed."""
    program = (
        "from glance_tasks import registry; types = registry.Registry();"
        f" print({expression})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(site), *sys.path]),
            "XDG_CACHE_HOME": str(site / "cache"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_type_that_is_installed_is_found(site):
    assert "'good'" in installed(site, "types.names()")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("lacking", "ModuleNotFoundError"),
        ("failing", "one is not two"),
        ("leaving", "SystemExit"),
        ("wrong", "AttributeError"),
    ],
)
def test_an_installed_type_that_cannot_be_loaded_is_named(site, name, reason):
    for other in set(MODULES) - {name, "good"}:
        (site / f"plugin_{other}-1.dist-info" / "entry_points.txt").unlink()

    found = installed(
        site, f"types.names(), types.broken()['{registry.TYPES}:{name}']"
    )

    assert "'good'" in found
    assert reason in found
