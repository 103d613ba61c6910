# SPDX-License-Identifier: Apache-2.0
"""The package as others get it: tarball, wheel and checkout, without git."""

import configparser
import tarfile
import zipfile

import pytest

from tests.support import environments

PACKAGES = {"glance_tasks": ".", "glance_tasks_flows": "flows"}

# What only an extra, or nothing of ours at all, may bring.
NOT_IN_CORE = (
    *("eventlet", "psycopg2", "pymysql", "pytest", "sphinx", "dbos"),
    *("fixtures", "testtools", "botocore", "castellan", "oslo_messaging"),
)

EXTRAS = "castellan,s3"

# Its extra brings eventlet; the tox environment of its name imports it.
APART = "glance_tasks.adapters.messaging"

# What the extras alone are imported by.
NOT_WITHOUT_EXTRAS = (
    "glance_tasks.adapters.castellan_secrets",
    APART,
    "glance_tasks.transfer.s3",
)

# Alembic runs the one; the others are for the extra [testing].
NOT_FOR_CORE = (
    "glance_tasks.persistence.migrations.env",
    "glance_tasks.testing.",
)

pytestmark = pytest.mark.slow


@pytest.fixture(params=["editable", "tarball", "wheel"])
def installed(request, tmp_path):
    """The ``bin`` of an environment with the package in it."""
    if request.param == "wheel":
        return request.getfixturevalue("from_wheel")
    if request.param == "editable":
        what = ["-e", request.getfixturevalue("source")]
    else:
        what = request.getfixturevalue("built").glob("*.tar.gz")
    programs = environments.make(tmp_path)
    environments.run(programs / "pip", "install", "-q", *what, cwd=tmp_path)
    return programs


def test_a_fresh_environment_gets_a_working_command(installed, tmp_path):
    data = {"GLANCE_TASKS_DATA_DIR": str(tmp_path / "data")}
    command = installed / "glance-tasks"

    usage = environments.run(command, "--help", cwd=tmp_path)
    types = environments.run(
        *(command, "type", "list", "-f", "csv"), cwd=tmp_path, **data
    )

    assert "task submit" in usage
    assert '"import"' in types
    environments.run(installed / "pip", "check", cwd=tmp_path)
    assert import_everything(
        installed, tmp_path, but=(*NOT_FOR_CORE, *NOT_WITHOUT_EXTRAS)
    ) == [version(), "[]"]


def test_the_extras_bring_what_their_modules_need(built, tmp_path):
    (wheel,) = built.glob("*.whl")
    programs = environments.make(tmp_path)

    environments.run(
        *(programs / "pip", "install", "-q", f"{wheel}[{EXTRAS}]"),
        cwd=tmp_path,
    )

    environments.run(programs / "pip", "check", cwd=tmp_path)
    found = import_everything(programs, tmp_path, but=(*NOT_FOR_CORE, APART))
    assert found == [version(), "['botocore', 'castellan']"]


def import_everything(programs, cwd, *, but):
    """Import every module of both packages; look for intruders beside.

    :param but: what the names of those begin with that are left out
    """
    code = f"""
import importlib.metadata, importlib.util, pkgutil
import glance_tasks, glance_tasks_flows
for package in glance_tasks, glance_tasks_flows:
    found = pkgutil.walk_packages(package.__path__, package.__name__ + ".")
    for module in found:
        if not module.name.startswith({but}):
            importlib.import_module(module.name)
print(importlib.metadata.version("glance-tasks"))
print([n for n in {NOT_IN_CORE} if importlib.util.find_spec(n)])
"""
    python = programs / "python"
    return environments.run(
        python, "-W", "ignore", "-c", code, cwd=cwd
    ).splitlines()


def version():
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(environments.ROOT / "setup.cfg")
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


def test_the_tarball_holds_the_whole_source(files, built):
    (tarball,) = built.glob("*.tar.gz")

    with tarfile.open(tarball) as archive:
        names = {
            member.name.partition("/")[2]
            for member in archive
            if member.isfile()
        }

    absent = {path.as_posix() for path in files} - names
    assert not absent
