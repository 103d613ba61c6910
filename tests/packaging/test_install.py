# SPDX-License-Identifier: Apache-2.0
"""The package as others get it: tarball, wheel and checkout, without git."""

import configparser
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parents[2]
PACKAGES = {"glance_tasks": ".", "glance_tasks_flows": "flows"}

# What only an extra, or nothing of ours at all, may bring.
NOT_IN_CORE = ("eventlet", "psycopg2", "pymysql", "pytest", "sphinx", "dbos")

pytestmark = pytest.mark.slow


def run(*command, cwd, **env):
    """Run to the end; fail with everything it printed."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**_environment(), **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, f"{command} said:\n{done.stdout}"
    return done.stdout


def _environment():
    ours = ("PYTHONPATH", "GLANCE_TASKS_DATA_DIR", "VIRTUAL_ENV")
    return {k: v for k, v in os.environ.items() if k not in ours}


def source_files():
    """List what a clone would hold; everything where there is no git."""
    if not (ROOT / ".git").exists():
        files = (path for path in ROOT.rglob("*") if path.is_file())
        skip = {".tox", ".tox-venv", ".venv", "__pycache__", "build", "dist"}
        relative = (path.relative_to(ROOT) for path in files)
        return [
            path
            for path in relative
            if not skip.intersection(path.parts)
            and not any(
                part.endswith(("_cache", ".egg-info", ".hypothesis"))
                for part in path.parts
            )
        ]
    listed = run(
        *("git", "-c", "safe.directory=*", "ls-files", "-z", "--cached"),
        *("--others", "--exclude-standard"),
        cwd=ROOT,
    )
    paths = (pathlib.Path(name) for name in listed.split("\0") if name)
    return [path for path in paths if (ROOT / path).is_file()]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """The source in a directory of its own, without git."""
    target = tmp_path_factory.mktemp("source") / "glance-tasks"
    for path in source_files():
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, target / path)
    return target


@pytest.fixture(scope="module")
def built(source):
    """A tarball, and the wheel that was built from that tarball."""
    run(sys.executable, "-m", "build", "--outdir", "dist", ".", cwd=source)
    return source / "dist"


@pytest.fixture
def fresh(tmp_path):
    """A virtual environment with nothing but pip in it; its bin directory."""
    run(sys.executable, "-m", "venv", "fresh", cwd=tmp_path)
    return tmp_path / "fresh" / "bin"


def _pip_arguments(form, source, request):
    if form == "editable":
        return ["-e", source]
    pattern = {"tarball": "*.tar.gz", "wheel": "*.whl"}[form]
    (path,) = request.getfixturevalue("built").glob(pattern)
    return [path]


@pytest.mark.parametrize("form", ["editable", "tarball", "wheel"])
def test_a_fresh_environment_gets_a_working_command(
    form, source, fresh, tmp_path, request
):
    data = {"GLANCE_TASKS_DATA_DIR": str(tmp_path / "data")}
    what = _pip_arguments(form, source, request)

    run(fresh / "pip", "install", "-q", *what, cwd=tmp_path)

    usage = run(fresh / "glance-tasks", "--help", cwd=tmp_path, **data)
    types = run(
        *(fresh / "glance-tasks", "type", "list", "-f", "csv"),
        cwd=tmp_path,
        **data,
    )
    assert "task submit" in usage
    assert '"import"' in types
    run(fresh / "pip", "check", cwd=tmp_path)
    _check_imports(fresh, tmp_path)


def _check_imports(fresh, cwd):
    """Import every module of both packages; look for intruders beside."""
    code = f"""
import importlib.metadata, importlib.util, pkgutil
import glance_tasks, glance_tasks_flows
for package in glance_tasks, glance_tasks_flows:
    found = pkgutil.walk_packages(package.__path__, package.__name__ + ".")
    for module in found:
        if ".migrations.env" not in module.name:
            importlib.import_module(module.name)
print(importlib.metadata.version("glance-tasks"))
print([n for n in {NOT_IN_CORE} if importlib.util.find_spec(n)])
"""
    said = run(fresh / "python", "-W", "ignore", "-c", code, cwd=cwd)
    assert said.splitlines() == [_version(), "[]"]


def _version():
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ROOT / "setup.cfg")
    return parser["metadata"]["version"]


def test_the_wheel_holds_both_packages_whole_and_nothing_else(source, built):
    (wheel,) = built.glob("*.whl")
    expected = {
        path.relative_to(source / root).as_posix()
        for package, root in PACKAGES.items()
        for path in (source / root / package).rglob("*")
        if path.suffix in (".py", ".typed")
    }

    names = zipfile.ZipFile(wheel).namelist()

    ours = {name for name in names if ".dist-info/" not in name}
    assert ours == expected
    assert {f"{package}/py.typed" for package in PACKAGES} <= ours
    assert any("/migrations/versions/0001" in name for name in ours)
    assert any(name.endswith("/licenses/LICENSE") for name in names)


def test_the_tarball_holds_the_whole_source(built):
    (tarball,) = built.glob("*.tar.gz")

    with tarfile.open(tarball) as archive:
        names = {
            member.name.partition("/")[2]
            for member in archive
            if member.isfile()
        }

    absent = {path.as_posix() for path in source_files()} - names
    assert not absent
