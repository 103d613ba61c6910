# SPDX-License-Identifier: Apache-2.0
"""The command's frame: options for all, configuration, logging, exit codes."""

import argparse
from importlib import metadata
import logging
import os
import pathlib
import sys
from typing import Any

from cliff import app
from cliff import commandmanager
from oslo_config import cfg
from oslo_log import log

from glance_tasks import engine as task_engine
from glance_tasks import exceptions
from glance_tasks import logs
from glance_tasks import opts
from glance_tasks.cmd import certify
from glance_tasks.cmd import conductors
from glance_tasks.cmd import contents
from glance_tasks.cmd import controls
from glance_tasks.cmd import databases
from glance_tasks.cmd import doctor
from glance_tasks.cmd import images
from glance_tasks.cmd import secrets
from glance_tasks.cmd import tasks
from glance_tasks.cmd import types
from glance_tasks.cmd import upgrades

_COMMANDS: dict[str, Any] = {
    "type list": types.TypeList,
    "type show": types.TypeShow,
    "flow graph": types.FlowGraph,
    "task submit": tasks.TaskSubmit,
    "task upload": tasks.TaskUpload,
    "task list": tasks.TaskList,
    "task show": tasks.TaskShow,
    "task events": tasks.TaskEvents,
    "task watch": tasks.TaskWatch,
    "task pause": controls.TaskPause,
    "task resume": controls.TaskResume,
    "task cancel": controls.TaskCancel,
    "task retry": tasks.TaskRetry,
    "secret key": secrets.SecretKey,
    "secret rotate": secrets.SecretRotate,
    "conductor run": conductors.ConductorRun,
    "image list": images.ImageList,
    "image show": images.ImageShow,
    "image content": contents.ImageContent,
    "image actions": images.ImageActions,
    "image faults": images.ImageFaults,
    "image undelete": images.ImageUndelete,
    "certify": certify.Certify,
    "reap": conductors.Reap,
    "doctor": doctor.Doctor,
    "upgrade check": upgrades.UpgradeCheck,
    "db sync": databases.DbSync,
    "db version": databases.DbVersion,
    "db check": databases.DbCheck,
}

_EPILOG = (
    "exit codes: 0 done, 1 the task failed, 2 wrong use, 3 the database"
    " cannot be reached, 4 its schema is behind"
)


class GlanceTasks(app.App):
    """Run long image operations as durable tasks."""

    NAME = "glance-tasks"

    def __init__(self) -> None:
        """Make the application; nothing is read or connected to yet."""
        manager = commandmanager.CommandManager("glance_tasks.no_commands")
        for name, command in _COMMANDS.items():
            manager.add_command(name, command)
        super().__init__(
            description="Run long image operations as durable tasks.",
            version=metadata.version("glance-tasks"),
            command_manager=manager,
            # Else every command's --help is that of the whole.
            deferred_help=True,
        )
        self.conf = cfg.ConfigOpts()

    def build_option_parser(
        self,
        description: str | None,
        version: str | None,
        argparse_kwargs: dict[str, Any] | None = None,
    ) -> argparse.ArgumentParser:
        """Add the options that every command takes."""
        parser = super().build_option_parser(
            description,
            version,
            {
                "prog": self.NAME,
                "allow_abbrev": False,
                "epilog": _EPILOG,
                **(argparse_kwargs or {}),
            },
        )
        parser.add_argument(
            "--config-file",
            action="append",
            metavar="FILE",
            help="configuration file; may be given several times (default:"
            " glance-tasks.conf in ~/.glance-tasks, ~, /etc/glance-tasks or"
            " /etc, where there is one)",
        )
        parser.add_argument(
            "--data-dir",
            metavar="DIR",
            help="where everything lives that has no place of its own"
            " (default: GLANCE_TASKS_DATA_DIR or ~/.local/share/glance-tasks)",
        )
        return parser

    def configure_logging(self) -> None:
        """Leave logging to oslo.log, once the configuration is read."""

    def initialize_app(self, argv: list[str]) -> None:
        """Read the configuration and set logging up.

        :raises SystemExit: 2, when the configuration cannot be read
        """
        if not argv and not self.options.deferred_help:
            self.parser.print_help(self.stderr)
            raise SystemExit(2)
        try:
            self._read_configuration()
        except (cfg.Error, ValueError) as error:
            self.stderr.write(f"glance-tasks: {error}\n")
            raise SystemExit(2) from error
        if not self.conf.log_file:
            # oslo.log would write to standard output, into our JSON.
            self.conf.set_override("use_stderr", True)
        log.setup(self.conf, "glance-tasks")
        logs.guard_handlers()
        self._set_verbosity(argv)

    def _read_configuration(self) -> None:
        conf = self.conf
        opts.register_opts(conf)
        log.register_options(conf)
        files = self.options.config_file
        if files is None:
            files = cfg.find_config_files(
                project="glance-tasks", prog="glance-tasks"
            )
        conf(
            [],
            project="glance-tasks",
            prog="glance-tasks",
            default_config_files=files,
            default_config_dirs=[],
        )
        for group, options in opts.GROUPS.items():
            for option in options:
                # A wrong value must be found now, not in mid-task.
                conf[group][option.dest]
        if self.options.data_dir:
            chosen = pathlib.Path(self.options.data_dir).absolute()
            conf.set_override("data_dir", str(chosen), "glance_tasks")
        if self.options.debug:
            conf.set_override("debug", True)

    def _set_verbosity(self, argv: list[str]) -> None:
        """Let only a conductor speak of its own accord."""
        if self.options.debug:
            return
        wordy = argv[:1] == ["conductor"] or self.options.verbose_level > 1
        if self.options.verbose_level == 0:
            level = logging.ERROR
        else:
            level = logging.INFO if wordy else logging.WARNING
        logging.getLogger().setLevel(level)
        # It tells of every connection it looks at.
        logging.getLogger("alembic").setLevel(logging.WARNING)

    def run_subcommand(self, argv: list[str]) -> int:
        """Run a command; "did you mean" is no answer, and goes to stderr."""
        try:
            self.command_manager.find_command(argv)
        except ValueError:
            self.stdout = self.stderr
        return int(super().run_subcommand(argv))

    def engine(self) -> task_engine.TaskEngine:
        """Make the engine of the configuration.

        :raises GlanceTasksError: as :class:`glance_tasks.TaskEngine` does
        """
        return task_engine.TaskEngine(self.conf)


def main(argv: list[str] | None = None) -> int:
    """Run the command; give its exit code."""
    try:
        return GlanceTasks().run(sys.argv[1:] if argv is None else argv)
    except exceptions.GlanceTasksError as error:
        sys.stderr.write(f"glance-tasks: {error}\n")
        return 2
    except BrokenPipeError:
        # Whoever read our output has gone; nothing more to say to them.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


if __name__ == "__main__":
    sys.exit(main())
