# SPDX-License-Identifier: Apache-2.0
"""Commands that run tasks and sweep up after them."""

import argparse
import os
import signal
from typing import Any

from glance_tasks import conductor
from glance_tasks import reaper
from glance_tasks.cmd import answers


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is less than 1")
    return number


class ConductorRun(answers.Answer):
    """Claim tasks and run them, until SIGTERM or SIGINT.

    The first signal drains: running tasks are left where they are, to be
    resumed by the next conductor. The second one leaves at once, which loses
    no more: they are resumed just the same.
    """

    def get_parser(self, prog_name: str) -> Any:
        """Take how long and how many."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--until-idle",
            action="store_true",
            help="return when no task is left that could run",
        )
        parser.add_argument(
            "--max-tasks",
            type=_positive,
            metavar="N",
            help="how many tasks to run at a time (default: the option"
            " max_tasks)",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Run until told to stop."""
        own = conductor.Conductor(
            self.engine(), max_tasks=parsed_args.max_tasks
        )
        drained = False

        def stop(number: int, _frame: Any) -> None:
            nonlocal drained
            if drained:
                os._exit(128 + number)
            drained = True
            own.drain()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        own.run(until_idle=parsed_args.until_idle)


class Reap(answers.ShowAnswer):
    """Delete tasks that have expired, and leftover work directories.

    What tasks made, such as images, stays. Conductors do this by themselves.
    """

    def get_parser(self, prog_name: str) -> Any:
        """Take whether to delete."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="only say how much would be deleted",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Reap, and say how much."""
        engine = self.engine()
        reaped = reaper.reap(
            engine.database,
            (engine.area, engine.staging),
            engine.vault,
            engine.store,
            cache=engine.cache,
            dry_run=parsed_args.dry_run,
        )
        return answers.columns(
            {"tasks": reaped.tasks, "work_dirs": reaped.work_dirs},
            parsed_args.formatter,
        )
