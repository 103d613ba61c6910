# SPDX-License-Identifier: Apache-2.0
"""Who may import whom: the table of layers, held against the source."""

import ast
import pathlib
import sys
from typing import NamedTuple

import pytest

import glance_tasks

ROOT = pathlib.Path(__file__).parents[2]
FLOWS_ROOT, FLOWS_NAME = ROOT / "flows", "glance_tasks_flows"


class Layer(NamedTuple):
    """One row of the table.

    :ivar ours: what of glance_tasks it may import, besides itself
    :ivar never: libraries it must not import, by the name of a package
    :ivar only: the only libraries it may import; None: any but ``never``
    :ivar apart: whether its modules must not import each other
    """

    ours: frozenset[str]
    never: frozenset[str] = frozenset()
    only: frozenset[str] | None = None
    apart: bool = False


def words(text):
    return frozenset(text.split())


BASE = words("exceptions task ports redaction locations location_speed")
PIECES = BASE | words("belonging directio digest ledger merkle")
DATA = PIECES | words("archive imagefile transfer")
STATE = BASE | words("persistence boards")
TYPES = BASE | words("context plugin registry schema graph")
RUN = DATA | STATE | TYPES | words("opts atoms listeners")
RUNNING = words("engine runner conductor reaper workdir")
RUNNING |= words(
    "building controls deprecations drawing placement planning presence"
)
RUNNING |= words(
    "collaborators executor offering outcome recovery reporting retention"
)
RUNNING |= words(
    "choices services stalls stopping stores submission upgrades verdicts"
)
RUNNING |= words("announcing hearing reading receiving waiting")
RUN |= RUNNING | words("keyring logs secrets temp_urls")
ALL = RUN | words("adapters views api cmd testing")

FLOWS_AND_TABLES = words("taskflow sqlalchemy alembic oslo_db")

LAYERS = {
    "__init__": Layer(RUN),
    "failure_codes": Layer(frozenset(), only=frozenset()),
    "exceptions": Layer(words("failure_codes"), only=frozenset()),
    "task": Layer(words("exceptions"), only=frozenset()),
    "locations": Layer(words("exceptions"), only=frozenset()),
    "location_speed": Layer(frozenset(), only=frozenset()),
    "ports": Layer(words("exceptions task locations"), only=frozenset()),
    "redaction": Layer(frozenset(), only=words("oslo_utils")),
    "opts": Layer(frozenset(), only=words("oslo_config")),
    # It names atoms where they are told of.
    "context": Layer(BASE | words("plugin"), only=frozenset()),
    "plugin": Layer(BASE | words("context"), only=words("taskflow")),
    "belonging": Layer(frozenset(), only=frozenset()),
    "directio": Layer(frozenset(), only=frozenset()),
    "merkle": Layer(frozenset(), only=frozenset()),
    "digest": Layer(BASE | words("directio merkle"), only=frozenset()),
    "ledger": Layer(BASE | words("digest"), only=frozenset()),
    "keyring": Layer(BASE | words("ledger"), only=words("cryptography")),
    "temp_urls": Layer(BASE | words("keyring"), only=words("cryptography")),
    "logs": Layer(BASE, only=frozenset()),
    "imagefile": Layer(
        PIECES,
        never=FLOWS_AND_TABLES | words("oslo_config"),
    ),
    "archive": Layer(
        PIECES | words("imagefile"),
        never=FLOWS_AND_TABLES | words("oslo_config"),
    ),
    "transfer": Layer(
        PIECES,
        never=FLOWS_AND_TABLES | words("oslo_config"),
    ),
    "atoms": Layer(
        DATA | words("context plugin"),
        never=words("sqlalchemy alembic oslo_db"),
    ),
    "persistence": Layer(BASE),
    "boards": Layer(BASE | words("persistence")),
    "registry": Layer(BASE | words("plugin schema")),
    "schema": Layer(BASE | words("plugin"), never=FLOWS_AND_TABLES),
    "graph": Layer(BASE | words("plugin registry")),
    "secrets": Layer(
        BASE | words("plugin persistence"),
        never=words("taskflow oslo_config cryptography"),
    ),
    "listeners": Layer(BASE, apart=True),
    "adapters": Layer(BASE | words("opts keyring"), apart=True),
    "views": Layer(BASE),
    **dict.fromkeys(sorted(RUNNING), Layer(RUN)),
    "api": Layer(ALL),
    "cmd": Layer(ALL),
    "testing": Layer(ALL),
}


FLOWS = Layer(words("atoms"), only=words("taskflow"))


def modules():
    """Give ``(dotted name, source)`` of every module of both packages."""
    for root, package in (ROOT, "glance_tasks"), (FLOWS_ROOT, FLOWS_NAME):
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            name = ".".join(part for part in parts if part != "__init__")
            yield name, path.read_text()


def imports(source):
    """Give every dotted name that a module imports, at any depth.

    ``from a import b`` gives ``a.b``, because ``b`` may be a module. A
    relative import begins with a dot; no layer allows one.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = "." * node.level + (node.module or "")
            yield from (f"{start}.{alias.name}" for alias in node.names)


def row_of(name):
    """Give the row a module stands in: what follows the package's name."""
    package, _, rest = name.partition(".")
    if package == FLOWS_NAME:
        return FLOWS_NAME
    return rest.partition(".")[0] or "__init__"


def layer_of(name):
    """Give the layer of a module; flows may use the public names too."""
    if row_of(name) == FLOWS_NAME:
        return FLOWS._replace(ours=FLOWS.ours | set(glance_tasks.__all__))
    return LAYERS[row_of(name)]


def allowed(name, layer, target):
    """Tell whether a module of that layer may import ``target``."""
    package, _, rest = target.partition(".")
    if package not in ("glance_tasks", FLOWS_NAME):
        listed = layer.only is None or package in layer.only
        known = listed or package in sys.stdlib_module_names
        return known and package not in layer.never and package != ""
    if target == name or target.startswith(f"{name}."):
        return True
    if package == name.partition(".")[0] and row_of(target) == row_of(name):
        return not (layer.apart and "." in rest)
    return package == "glance_tasks" and rest.partition(".")[0] in layer.ours


def faults(name, source):
    """List the imports of one module that its layer forbids."""
    layer = layer_of(name)
    return [
        f"{name} imports {target}"
        for target in imports(source)
        if not allowed(name, layer, target)
    ]


@pytest.mark.parametrize("row", [*LAYERS, FLOWS_NAME])
def test_a_layer_imports_only_what_its_row_allows(row):
    members = [(n, source) for n, source in modules() if row_of(n) == row]

    found = [fault for member in members for fault in faults(*member)]

    assert found == []


def test_every_module_stands_in_the_table():
    rows = {row_of(name) for name, _ in modules()}

    assert rows - {FLOWS_NAME} <= set(LAYERS)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("glance_tasks.task", "import sqlalchemy as sa"),
        ("glance_tasks.exceptions", "from glance_tasks import task"),
        ("glance_tasks.imagefile.inspect", "from oslo_config import cfg"),
        ("glance_tasks.atoms.fetch", "from glance_tasks import engine"),
        ("glance_tasks.persistence.models", "from glance_tasks import atoms"),
        ("glance_tasks.listeners.a", "from glance_tasks.listeners import b"),
        ("glance_tasks.listeners.a", "import glance_tasks.listeners.b"),
        ("glance_tasks.engine", "from glance_tasks.adapters import x"),
        ("glance_tasks.cmd.main", "import glance_tasks_flows.importing"),
        ("glance_tasks.graph", "from . import cmd"),
        ("glance_tasks_flows.a", "from glance_tasks import persistence"),
        ("glance_tasks_flows.a", "import requests"),
    ],
)
def test_a_forbidden_import_is_found_even_inside_a_function(name, line):
    source = f"def later():\n    {line}\n"

    assert len(faults(name, source)) == 1


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("glance_tasks.plugin", "from taskflow import flow"),
        ("glance_tasks.boards.sql", "from glance_tasks.boards import words"),
        ("glance_tasks.adapters.a", "from glance_tasks import adapters"),
        ("glance_tasks_flows.a", "from glance_tasks import TaskType"),
        ("glance_tasks_flows.a", "from glance_tasks.atoms import fetch"),
        ("glance_tasks_flows.a", "from glance_tasks_flows import b"),
    ],
)
def test_a_permitted_import_is_not_found(name, line):
    assert faults(name, line) == []
