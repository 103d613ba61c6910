# SPDX-License-Identifier: Apache-2.0
"""The documentation says what is: its sessions and examples are run."""

import configparser
import doctest
import pathlib
import re
import shlex
import shutil
import subprocess

import pytest

import glance_tasks
from glance_tasks import opts
from glance_tasks import testing
from glance_tasks.cmd import main
from glance_tasks.opts import service
from tests.support import documents

ROOT = documents.ROOT
SERVICE = ROOT / "doc" / "source" / "service" / "index.rst"
REFERENCE = ROOT / "doc" / "source" / "reference"

_COMMAND = re.compile(r"^ +(?:\$ )?(?:.*\| )?(glance-tasks .+)$", re.MULTILINE)
_INI = re.compile(
    r"^( *)\.\. code-block:: ini\n\n((?:\1 {3}.*\n|\n)+)", re.MULTILINE
)


def shown(path):
    return (
        str(path.relative_to(ROOT)) if isinstance(path, pathlib.Path) else ""
    )


def with_session():
    return [d for d in documents.all_documents() if documents.steps(d)]


@pytest.mark.slow
@pytest.mark.parametrize("document", with_session(), ids=shown)
def test_a_session_goes_as_the_document_says(document, tmp_path):
    if shutil.which("qemu-img") is None:
        pytest.skip("no qemu-img")
    shell = documents.Shell(tmp_path)

    for step in documents.steps(document):
        printed = shell.run(step.command)

        assert documents.same(step.printed, printed), (
            f"$ {step.command}\n--- is to print\n{step.printed}\n"
            f"--- printed\n{printed}"
        )


def test_another_output_would_be_found():
    assert documents.same("task ...: done", "task 7: done")
    assert not documents.same("task ...: done", "task 7: failed")


def commands():
    return [
        pytest.param(line, id=f"{shown(document)}: {line[:40]}")
        for document in documents.all_documents()
        for line in _COMMAND.findall(document.read_text())
    ]


@pytest.mark.parametrize("line", commands())
def test_a_command_that_is_shown_exists_with_all_its_options(line):
    typed = line.replace("$(cat id)", "ID").partition(" >")[0]
    words = shlex.split(typed, comments=True)[1:]
    app = main.GlanceTasks()

    _, rest = app.parser.parse_known_args(words)
    factory, name, given = app.command_manager.find_command(rest)

    parser = factory(app, None).get_parser(name)
    assert parser.parse_args(given)


def settings():
    for document in documents.all_documents():
        for _, block in _INI.findall(document.read_text()):
            # Some options may be given several times.
            parser = configparser.ConfigParser(strict=False)
            parser.read_string(re.sub("^ +", "", block, flags=re.MULTILINE))
            for group in parser.sections():
                for name in parser[group]:
                    yield pytest.param(group, name, id=f"{group}.{name}")


@pytest.mark.parametrize(("group", "name"), [*settings()])
def test_an_option_that_is_shown_exists(group, name):
    known = service.STORE if "_store_" in group else opts.GROUPS[group]
    assert name in {option.dest for option in known}


def test_the_service_page_is_true(tmp_path):
    disk = tmp_path / "disk.qcow2"
    if shutil.which("qemu-img") is None:
        pytest.skip("no qemu-img")
    create = ["qemu-img", "create", "-q", "-f", "qcow2", str(disk), "64M"]
    subprocess.run(create, check=True)
    flags = doctest.ELLIPSIS | doctest.REPORT_ONLY_FIRST_FAILURE

    failed, tried = doctest.testfile(
        str(SERVICE),
        module_relative=False,
        globs={"home": tmp_path, "source": disk.as_uri()},
        optionflags=flags,
    )

    assert tried > 20
    assert not failed


@pytest.mark.parametrize(
    ("package", "page"),
    [(glance_tasks, "api.rst"), (testing, "testing.rst")],
)
def test_every_public_name_is_on_its_reference_page(package, page):
    text = (REFERENCE / page).read_text()
    listed = re.findall(r"public-names:: (.*)", text)

    modules = [module for line in listed for module in line.split()]

    homes = {getattr(package, n).__module__ for n in package.__all__}
    assert {f"{package.__name__}.{module}" for module in modules} == homes
    assert len(modules) == len(set(modules))


def test_every_file_the_readme_names_is_there():
    text = (ROOT / "README.rst").read_text()

    named = re.findall(r"(?:doc|tools|tests|etc)/[\w./-]*\w", text)

    absent = [name for name in named if not (ROOT / name).exists()]
    assert set(absent) <= {"doc/build/html"}
