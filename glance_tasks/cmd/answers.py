# SPDX-License-Identifier: Apache-2.0
"""How commands answer: exit codes, one-line errors, and values by format."""

import datetime
import json
import logging
from typing import Any
from typing import Protocol
from typing import TextIO

from cliff import command
from cliff import lister
from cliff import show
from oslo_config import cfg

from glance_tasks import engine as task_engine
from glance_tasks import exceptions
from glance_tasks import redaction

LOG = logging.getLogger(__name__)

DONE, TASK_FAILED, WRONG_USE, UNREACHABLE, BEHIND = range(5)

_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (exceptions.DatabaseUnreachable, UNREACHABLE),
    (exceptions.SchemaBehind, BEHIND),
    (exceptions.TaskError, TASK_FAILED),
    (exceptions.GlanceTasksError, WRONG_USE),
    (OSError, WRONG_USE),
    (TimeoutError, TASK_FAILED),
)


class Application(Protocol):
    """What a command needs of the frame around it."""

    conf: cfg.ConfigOpts
    stdin: TextIO
    stdout: TextIO
    stderr: TextIO

    def engine(self) -> task_engine.TaskEngine:
        """Make the engine of the configuration."""
        ...


class Answer(command.Command):
    """A command whose errors are one line and an exit code."""

    app: Application  # type: ignore[assignment]  # cliff's App lacks conf

    def run(self, parsed_args: Any) -> int:
        """Run the command; give its exit code."""
        try:
            return int(super().run(parsed_args) or DONE)
        except BrokenPipeError:
            raise
        except Exception as error:  # noqa: BLE001 - no traceback to a user
            return self._failed(error)

    def _failed(self, error: Exception) -> int:
        LOG.debug("%s failed", self.cmd_name, exc_info=True)
        if str(error).startswith("No recognized column names"):
            self._say(str(error))
            return WRONG_USE
        for kind, code in _CODES:
            if isinstance(error, kind):
                self._say(str(error))
                return code
        self._say(
            f"{type(error).__name__}: {error}; this is a fault of"
            " glance-tasks: run it again with --debug and report what it says"
        )
        return TASK_FAILED

    def _say(self, text: str) -> None:
        self.app.stderr.write(f"glance-tasks: {redaction.redact(text)}\n")

    def engine(self) -> task_engine.TaskEngine:
        """Make the engine of the command's configuration."""
        return self.app.engine()


class ListAnswer(Answer, lister.Lister):
    """A command that answers with rows."""


class ShowAnswer(Answer, show.ShowOne):
    """A command that answers with one thing."""


def value(given: Any, formatter: str) -> Any:
    """Give a value as an output format shows it.

    Times become ``YYYY-MM-DDTHH:MM:SSZ``. Objects and lists stay what they
    are in JSON and YAML, and become JSON text in the others.
    """
    if isinstance(given, datetime.datetime):
        return given.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(given, dict | list | tuple):
        plain = json.loads(json.dumps(given))
        if formatter in ("json", "yaml"):
            return plain
        return json.dumps(plain, indent=1 if formatter == "table" else None)
    if hasattr(given, "value"):
        return given.value
    return given


def columns(
    pairs: dict[str, Any], formatter: str
) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    """Give names and values as cliff's ShowOne wants them."""
    return tuple(pairs), tuple(value(v, formatter) for v in pairs.values())
