# SPDX-License-Identifier: Apache-2.0
"""Commands that stop tasks, or let them go on."""

import argparse
from typing import Any

from glance_tasks.cmd import tasks


class _Control(tasks.TaskAnswer):
    """A command that asks something of a task, with a reason."""

    def get_parser(self, prog_name: str) -> Any:
        """Take the task's id, and why."""
        parser = super().get_parser(prog_name)
        parser.add_argument("id", help="id of a task that has not ended")
        parser.add_argument(
            "--reason",
            default="",
            help="why, in a line; whoever reads the task sees it",
        )
        return parser


class TaskCancel(_Control):
    """End a task and undo what it has done."""

    def get_parser(self, prog_name: str) -> Any:
        """Take the task's id, and whether to wait."""
        parser = super().get_parser(prog_name)
        self.add_waiting(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Ask for it."""
        engine = self.engine()
        found = engine.cancel(parsed_args.id, reason=parsed_args.reason)
        return self.answer(engine, found, parsed_args)


class TaskPause(_Control):
    """Leave a task where it is until it is resumed."""

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Ask for it."""
        engine = self.engine()
        found = engine.pause(parsed_args.id, reason=parsed_args.reason)
        return tasks.shown(found, parsed_args.formatter)


class TaskResume(tasks.TaskAnswer):
    """Let a paused task go on."""

    def get_parser(self, prog_name: str) -> Any:
        """Take the task's id."""
        parser = super().get_parser(prog_name)
        parser.add_argument("id", help="id of a paused task")
        self.add_waiting(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Let it."""
        engine = self.engine()
        found = engine.resume(parsed_args.id)
        return self.answer(engine, found, parsed_args)
