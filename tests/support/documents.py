# SPDX-License-Identifier: Apache-2.0
"""The documentation's sessions: commands, and what it says they print.

Every ``console`` block is one; all those of a document are one session, in
one directory. ``...`` stands for anything, as in doctest. What differs each
time (ids, times, seconds, names of conductors) is compared by its form.
"""

from collections.abc import Iterator
import dataclasses
import doctest
import os
import pathlib
import re
import subprocess
import sys
import textwrap

ROOT = pathlib.Path(__file__).parents[2]

_BLOCK = re.compile(
    r"^\.\. code-block:: console\n\n((?:(?: {3}.*)?\n)+)", re.MULTILINE
)
_HEX = "[0-9a-f]"
_FORMS = (
    (f"{_HEX}{{8}}(-{_HEX}{{4}}){{3}}-{_HEX}{{12}}", "ID"),
    (rf"[\w.-]+-\d+-{_HEX}{{8}}\b", "CONDUCTOR"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
    (r"\d+\.\d+ s\b", "SECONDS"),
    (r"\d+\.\d+ GiB free", "FREE"),
    # Tables are as wide as what is in them.
    (r"-{3,}", "---"),
    (r" +", " "),
)


@dataclasses.dataclass(frozen=True)
class Step:
    """One command of a session, with what follows it in the document."""

    command: str
    printed: str


def all_documents() -> list[pathlib.Path]:
    """Give every document that people read."""
    pages = sorted((ROOT / "doc" / "source").rglob("*.rst"))
    return [ROOT / "README.rst", ROOT / "CONTRIBUTING.rst", *pages]


def steps(document: pathlib.Path) -> list[Step]:
    """Give the session of a document."""
    return [
        step
        for block in _BLOCK.findall(document.read_text())
        for step in _steps(textwrap.dedent(block))
    ]


def _steps(block: str) -> Iterator[Step]:
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        lines = part.rstrip().split("\n")
        command = [lines.pop(0)]
        while lines and lines[0].startswith("> "):
            command.append(lines.pop(0)[2:])
        yield Step("\n".join(command), "\n".join(lines))


class Shell:
    """Where a session takes place: a home of its own and the command."""

    def __init__(self, home: pathlib.Path) -> None:
        """Prepare ``home``."""
        self._home = home
        programs = home / ".programs"
        programs.mkdir()
        command = programs / "glance-tasks"
        command.write_text(
            f'#!/bin/sh\nexec {sys.executable} -m glance_tasks.cmd.main "$@"\n'
        )
        command.chmod(0o755)
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("GLANCE_TASKS_", "OS_", "CLIFF_"))
        }
        self._env = {
            **kept,
            "HOME": str(home),
            "PATH": f"{programs}:{os.environ['PATH']}:/usr/sbin:/sbin",
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            # Cliff's tables and our help are as wide as the terminal.
            "COLUMNS": "80",
        }

    def run(self, command: str) -> str:
        """Run a command; give all that it prints, the home as /home/me."""
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self._home,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )
        return done.stdout.rstrip().replace(str(self._home), "/home/me")


def same(expected: str, printed: str) -> bool:
    """Tell whether a command printed what the document says."""
    return doctest.OutputChecker().check_output(
        _form(expected), _form(printed), doctest.ELLIPSIS
    )


def _form(text: str) -> str:
    for pattern, word in _FORMS:
        text = re.sub(pattern, word, text)
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())
