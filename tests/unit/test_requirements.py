# SPDX-License-Identifier: Apache-2.0
"""What setup.cfg requires is what the packages import, no more, no less."""

import ast
import configparser
import importlib.metadata
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).parents[2]
OURS = {"glance_tasks", "glance_tasks_flows"}

# Loaded by name: by SQLAlchemy, and by jsonschema for "format".
NEVER_IMPORTED = {"psycopg2-binary", "pymysql"}
NEVER_IMPORTED |= {"rfc3339-validator", "rfc3986-validator"}

# In the standard library from Python 3.14 on.
STANDARD = sys.stdlib_module_names | {"compression"}


def required(*sections):
    """Give the normalized names of the requirements in sections' keys."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return {
        re.sub(r"[-_.]+", "-", re.split(r"[\s\[<>=!~;]", line)[0]).lower()
        for section, key in sections
        for line in parser[section][key].split("\n")
        if line
    }


def imported():
    """Give the normalized names of the distributions both packages import."""
    providers = importlib.metadata.packages_distributions()
    modules = set()
    for root in ("glance_tasks", "flows/glance_tasks_flows"):
        for path in (ROOT / root).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    modules |= {alias.name for alias in node.names}
                elif isinstance(node, ast.ImportFrom):
                    modules.add(node.module)
    foreign = {module.partition(".")[0] for module in modules} - OURS
    return {
        re.sub(r"[-_.]+", "-", providers.get(name, [name])[0]).lower()
        for name in foreign - STANDARD
    }


EXTRAS = [
    ("options.extras_require", extra)
    for extra in (
        *("postgresql", "mysql", "progress", "castellan", "messaging", "s3"),
    )
]
TESTING = ("options.extras_require", "testing")
CORE = ("options", "install_requires")


def test_everything_imported_is_required():
    absent = imported() - required(CORE, *EXTRAS, TESTING)

    assert not absent


def test_everything_required_is_imported():
    idle = required(CORE, *EXTRAS) - imported() - NEVER_IMPORTED

    assert not idle
