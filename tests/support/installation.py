# SPDX-License-Identifier: Apache-2.0
"""The ``glance-tasks`` command as a user has it: by subprocess."""

from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
from typing import Any

ROOT = pathlib.Path(__file__).parents[2]


@dataclasses.dataclass(frozen=True)
class Done:
    """What a command did.

    :ivar code: its exit code
    """

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Give what it printed, read."""
        return json.loads(self.out)


class Installation:
    """A data directory and a configuration file of its own.

    :ivar data_dir: where everything lives
    :ivar config: the configuration file
    :ivar env: of the commands
    """

    def __init__(
        self,
        home: pathlib.Path,
        fetch: Mapping[str, Any] | None = None,
        send: Mapping[str, Any] | None = None,
        groups: Mapping[str, Mapping[str, Any]] | None = None,
        python: str = sys.executable,
        **options: Any,
    ) -> None:
        """Write the configuration.

        :param fetch: options of the group ``glance_tasks_fetch``; loopback
            is allowed
        :param send: options of the group ``glance_tasks_send``; the same
        :param groups: options of further groups
        :param python: that runs the commands
        :param options: of the group ``glance_tasks``
        """
        self.python = python
        self.data_dir, self.config = home / "data", home / "tasks.conf"
        self.log = home / "conductor.log"
        home.mkdir(parents=True, exist_ok=True)
        all_groups: dict[str, Mapping[str, Any]] = {
            "glance_tasks": {"poll_interval": 0.05, **options},
            "glance_tasks_fetch": {
                "allowed_networks": "127.0.0.0/8",
                "allowed_ports": "",
                **(fetch or {}),
            },
            "glance_tasks_send": {
                "allowed_networks": "127.0.0.0/8",
                "allowed_ports": "",
                **(send or {}),
            },
            **(groups or {}),
        }
        lines = []
        for group, chosen in all_groups.items():
            lines.append(f"[{group}]")
            lines += [f"{name} = {value}" for name, value in chosen.items()]
        self.config.write_text("\n".join(lines) + "\n")
        path = os.pathsep.join([str(ROOT), str(ROOT / "flows")])
        self.env = {
            **os.environ,
            "PYTHONPATH": path,
            "GLANCE_TASKS_DATA_DIR": str(self.data_dir),
            "COLUMNS": "80",
        }

    def words(self, *words: str) -> list[str]:
        """Give the whole of a command."""
        main = [self.python, "-m", "glance_tasks.cmd.main"]
        return [*main, "--config-file", str(self.config), *words]

    def run(self, *words: str, given: str | None = None) -> Done:
        """Run a command to its end.

        :param given: what it reads from standard input
        """
        done = subprocess.run(
            self.words(*words),
            input=given,
            capture_output=True,
            text=True,
            check=False,
            env=self.env,
            timeout=120,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def ask(self, *words: str) -> Any:
        """Run a command that answers, for its JSON."""
        done = self.run(*words, "-f", "json")
        assert done.code == 0, done.err
        return done.json()

    def submit(self, given: Mapping[str, Any]) -> str:
        """Submit an import; give the task's id."""
        words = ("task", "submit", "import", json.dumps(given))
        return str(self.ask(*words)["id"])

    @contextlib.contextmanager
    def conductor(self, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run a conductor for the block, its log in a file; then kill it."""
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                self.words("conductor", "run", *words),
                stdout=log,
                stderr=log,
                env=self.env,
            )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def add_plugin(self, name: str, source: str, *groups: str) -> None:
        """Install a package with one module, for all commands from now on.

        :param source: of the module, which holds a class ``Plugin``
        :param groups: of the entry points that name it
        """
        site = self.config.parent / "site"
        package = site / f"plugin_{name}-1.dist-info"
        package.mkdir(parents=True)
        (site / f"plugin_{name}.py").write_text(source)
        (package / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: plugin-{name}\nVersion: 1\n"
        )
        (package / "entry_points.txt").write_text(
            "\n".join(f"[{g}]\n{name} = plugin_{name}:Plugin" for g in groups)
        )
        self.env["PYTHONPATH"] += os.pathsep + str(site)
        self.env["XDG_CACHE_HOME"] = str(self.config.parent / "cache")

    def conduct(self) -> None:
        """Run a conductor until no task is left that could run."""
        with self.conductor("--until-idle") as process:
            code = process.wait(120)
        assert code == 0, self.log.read_text()
