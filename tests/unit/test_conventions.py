# SPDX-License-Identifier: Apache-2.0
"""The habits of the house that no linter knows."""

import ast
import functools
import importlib
import importlib.util
import inspect
import pathlib
import sys
import types

from oslo_config import cfg
import pytest

from glance_tasks import opts

ROOT = pathlib.Path(__file__).parents[2]
LICENCE = "# SPDX-License-Identifier: Apache-2.0"
LIBRARY = ("glance_tasks", "flows/glance_tasks_flows")
SOURCE = (*LIBRARY, "bench", "doc", "tests", "tools")

#: Modules that would let a row of the database or a file run code.
UNSAFE_MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle"}
UNSAFE_CALLS = {
    *("eval", "exec", "compile", "os.system", "os.popen"),
    *("subprocess.getoutput", "subprocess.getstatusoutput"),
    *("yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load"),
}
#: Names that say nothing about what a module holds.
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "manager"}
EMPTY_NAMES |= {"managers", "misc", "constants"}


def files(*roots):
    return sorted(
        path for root in roots for path in (ROOT / root).rglob("*.py")
    )


def shown(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", files(*SOURCE), ids=shown)
def test_a_file_names_its_licence_in_its_first_line(path):
    lines = path.read_text().splitlines()
    first = lines[1] if lines[0].startswith("#!") else lines[0]

    assert first == LICENCE


@pytest.mark.parametrize("path", files(*SOURCE), ids=shown)
def test_a_module_is_named_after_what_it_holds(path):
    parts = path.relative_to(ROOT).with_suffix("").parts

    assert not EMPTY_NAMES.intersection(parts)


def unsafe(source):
    """List what in a source would run code or a shell given as data."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = {alias.name.partition(".")[0] for alias in node.names}
            yield from names & UNSAFE_MODULES
        elif isinstance(node, ast.ImportFrom):
            yield from {(node.module or "").partition(".")[0]} & UNSAFE_MODULES
        elif isinstance(node, ast.Call):
            yield from {ast.unparse(node.func)} & UNSAFE_CALLS
            yield from (
                "shell=" + ast.unparse(keyword.value)
                for keyword in node.keywords
                if keyword.arg == "shell"
                and ast.unparse(keyword.value) != "False"
            )


@pytest.mark.parametrize("path", files(*LIBRARY), ids=shown)
def test_no_data_is_run_as_code(path):
    assert list(unsafe(path.read_text())) == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from cloudpickle import loads",
        "yaml.load(text)",
        "subprocess.run(words, shell=True)",
        "subprocess.run(words, shell=chosen)",
        "eval(text)",
        "os.system(text)",
    ],
)
def test_data_run_as_code_would_be_found(line):
    assert len(list(unsafe(line))) == 1


def library_modules():
    for path in files(*LIBRARY):
        if "migrations" in path.parts:
            continue  # revisions and their environment are alembic's to load
        root = ROOT / "flows" if "flows" in path.parts else ROOT
        parts = path.relative_to(root).with_suffix("").parts
        yield ".".join(part for part in parts if part != "__init__")


@functools.cache
def promised():
    """Name the methods of all Protocols: who fills one in need not repeat."""
    classes = [
        node
        for path in files(*LIBRARY)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    ]
    return {
        member.name
        for node in classes
        if any("Protocol" in ast.unparse(base) for base in node.bases)
        for member in node.body
        if isinstance(member, ast.FunctionDef) and ast.get_docstring(member)
    }


def undocumented(module):
    """List the public classes, functions and methods nobody describes.

    A method is described by a base class's docstring too, or a Protocol's.
    """
    for name, value in vars(module).items():
        if name.startswith("_") or not (
            inspect.isclass(value) or inspect.isfunction(value)
        ):
            continue
        if value.__module__ != module.__name__:
            continue
        if not value.__doc__:
            yield f"{module.__name__}.{name}"
        if inspect.isclass(value):
            yield from (
                f"{module.__name__}.{name}.{method}"
                for method, member in vars(value).items()
                if inspect.isfunction(inspect.unwrap(_function(member)))
                and not method.startswith("_")
                and not inspect.getdoc(getattr(value, method))
                and method not in promised()
            )


def _function(member):
    if isinstance(member, property):
        return member.fget
    return getattr(member, "__func__", member)


#: What has an environment of its own, because it brings eventlet.
APART = "oslo_messaging"


@pytest.mark.parametrize("name", [*library_modules()])
def test_every_public_name_has_a_docstring(name, monkeypatch):
    if importlib.util.find_spec(APART) is None:
        monkeypatch.setitem(sys.modules, APART, types.ModuleType(APART))
    module = importlib.import_module(name)

    assert module.__doc__, f"{name} itself"
    assert list(undocumented(module)) == []


def every_option():
    return [
        pytest.param(option, id=f"{group}.{option.name}")
        for group, options in opts.list_opts()
        for option in options
    ]


@pytest.mark.parametrize("option", every_option())
def test_an_option_explains_itself_in_sentences(option):
    text = option.help or ""

    assert text.endswith((".", "?"))
    assert len(text.split()) >= 4


@pytest.mark.parametrize("option", every_option())
def test_a_number_has_a_lower_bound(option):
    if isinstance(option, (cfg.IntOpt, cfg.FloatOpt)):
        assert option.type.min is not None


def test_registering_the_options_twice_is_harmless():
    conf = cfg.ConfigOpts()

    opts.register_opts(conf)
    opts.register_opts(conf)

    assert conf.glance_tasks.max_tasks == 2
