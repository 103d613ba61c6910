# SPDX-License-Identifier: Apache-2.0
"""Promises that hold for every file, read from the source.

Each of them has a test that a breach would be found.
"""

import ast
import configparser
import pathlib

import pytest

from glance_tasks import exceptions
from glance_tasks import opts
from glance_tasks.cmd import bypasses

ROOT = pathlib.Path(__file__).parents[2]
LIBRARY = ("glance_tasks", "flows/glance_tasks_flows")

#: Where the network is reached: the fetcher, and the servers of the kit.
FREE = ("glance_tasks/transfer/", "glance_tasks/testing/")

#: Who may speak to anything beside them, what with, and why.
EXCEPTIONS = {
    "glance_tasks/conductor.py": ({"socket"}, "its host's name"),
    "glance_tasks/adapters/messaging.py": ({"socket"}, "its host's name"),
    "glance_tasks/adapters/webhook.py": (
        {"http.client", "urllib.request"},
        "one address, the operator's own",
    ),
    "glance_tasks/imagefile/nbd.py": ({"socket"}, "qemu-nbd's Unix socket"),
    "glance_tasks/imagefile/view.py": ({"socket"}, "qemu-nbd's Unix socket"),
}


def sources():
    for root in LIBRARY:
        for path in sorted((ROOT / root).rglob("*.py")):
            yield str(path.relative_to(ROOT)), path.read_text()


# --- one way out -------------------------------------------------------------


def astray(name, source):
    """List what a file reaches the network with and may not."""
    if name.startswith(FREE):
        return set()
    allowed, _ = EXCEPTIONS.get(name, (set(), ""))
    return set(bypasses.imported(source)) - allowed


def test_only_the_fetcher_reaches_the_network():
    found = {name: astray(name, source) for name, source in sources()}

    assert {name: modules for name, modules in found.items() if modules} == {}


def test_every_exception_is_still_needed():
    there = dict(sources())

    for name, (allowed, reason) in EXCEPTIONS.items():
        assert set(bypasses.imported(there[name])) == allowed, reason


@pytest.mark.parametrize(
    "line",
    [
        "import socket",
        "import requests.sessions",
        "import urllib.request as ask",
        "from urllib import request",
        "from http import client",
        "import http.client",
        "from aiohttp import ClientSession",
        "import httpx",
        "import os, urllib3",
    ],
)
def test_another_way_out_would_be_found(line):
    source = f"def later():\n    {line}\n"

    assert len(astray("glance_tasks/atoms/fetch.py", source)) == 1
    assert astray("glance_tasks/transfer/http.py", source) == set()


@pytest.mark.parametrize(
    "line", ["from urllib import parse", "import http", "from . import socket"]
)
def test_what_reaches_nothing_is_no_way_out(line):
    assert astray("glance_tasks/atoms/fetch.py", line) == set()


# --- failure codes -----------------------------------------------------------


def codes(source):
    """Give the failure codes that a source names."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.keyword) and node.arg == "code":
            yield from _texts(node.value)
        elif isinstance(node, ast.ClassDef):
            for line in node.body:
                if isinstance(line, (ast.Assign, ast.AnnAssign)) and (
                    ast.unparse(line).startswith(("code ", "code:"))
                ):
                    yield from _texts(line.value)


def _texts(node):
    """Give the constants a value may be."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from _texts(node.body)
        yield from _texts(node.orelse)


def test_every_failure_code_that_is_used_is_described():
    used = {code for _, source in sources() for code in codes(source)}

    assert len(used) >= 10
    assert used - exceptions.FAILURES.keys() == set()


@pytest.mark.parametrize(
    "source",
    [
        "raise TaskError('no', code='made_up')",
        "return invalid(code='made_up' if late else 'internal')",
        "class Odd(TaskError):\n    code = 'made_up'",
        "class Odd(TaskError):\n    code: str = 'made_up'",
    ],
)
def test_a_code_nobody_describes_would_be_found(source):
    assert set(codes(source)) - exceptions.FAILURES.keys() == {"made_up"}


def test_every_failure_code_says_what_happened_and_what_to_do():
    for code, entry in exceptions.FAILURES.items():
        assert entry.code == code
        assert len(entry.summary.split()) >= 2, code
        assert len(entry.advice.split()) >= 3, code


def test_the_failure_codes_have_a_page():
    page = (ROOT / "doc/source/user/failures.rst").read_text()

    assert ".. failure-codes::" in page


# --- options -----------------------------------------------------------------


def sampled(text):
    """Give the options of a sample configuration, by group."""
    lines = [
        line.removeprefix("#")
        for line in text.splitlines()
        if line.startswith(("[", "#")) and line[:2] not in ("#", "# ")
    ]
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.read_string("\n".join(lines))
    return {group: set(parser[group]) for group in parser.sections()}


def absent(text):
    """Name the options that a sample configuration does not have."""
    there = sampled(text)
    return {
        f"{group}.{option.dest}"
        for group, options in opts.list_opts()
        for option in options
        if option.dest not in there.get(str(group), set())
    }


SAMPLE = (ROOT / "etc" / "glance-tasks.conf.sample").read_text()


def test_every_option_is_in_the_sample():
    assert absent(SAMPLE) == set()


def test_an_option_that_is_not_in_the_sample_would_be_found():
    text = SAMPLE.replace("#max_tasks =", "#other =")

    assert absent(text) == {"glance_tasks.max_tasks"}


def test_the_options_have_a_page():
    page = (ROOT / "doc/source/configuration/index.rst").read_text()

    assert ".. show-options::\n\n   glance_tasks\n" in page
