# SPDX-License-Identifier: Apache-2.0
"""Commands about tasks."""

import argparse
import os
from typing import Any

from glance_tasks import engine as task_engine
from glance_tasks import exceptions
from glance_tasks import task
from glance_tasks.cmd import answers
from glance_tasks.cmd import inputs
from glance_tasks.cmd import watching
from glance_tasks.persistence import listing


def shown(found: task.Task, formatter: str) -> Any:
    """Give a task as a command shows it."""
    return answers.columns(
        {
            "id": found.id,
            "type": found.type,
            "status": found.status,
            "phase": found.phase,
            "owner": found.owner,
            "image_id": found.image_id,
            "progress": dict(found.progress),
            "input": dict(found.input),
            "result": dict(found.result) if found.result is not None else None,
            "message": found.message,
            "failure": found.failure.to_dict() if found.failure else None,
            "queue_reason": found.queue_reason,
            "control": found.control,
            "control_note": found.control_note,
            "attempts": found.attempts,
            "priority": found.priority,
            "retry_of": found.retry_of,
            "parent_id": found.parent_id,
            "stalled_since": found.stalled_since,
            "stall_reason": found.stall_reason,
            "deadline_at": found.deadline_at,
            "user_id": found.user_id,
            "request_id": found.request_id,
            "idempotency_key": found.idempotency_key,
            "created_at": found.created_at,
            "updated_at": found.updated_at,
            "started_at": found.started_at,
            "finished_at": found.finished_at,
            "expires_at": found.expires_at,
        },
        formatter,
    )


class TaskAnswer(answers.ShowAnswer):
    """A command that answers with a task and fails when the task did."""

    _failed_task = False

    def run(self, parsed_args: Any) -> int:
        """Run the command; exit 1 when the task it waited for failed."""
        code = super().run(parsed_args)
        return code or int(self._failed_task)

    def add_waiting(self, parser: argparse.ArgumentParser) -> None:
        """Take ``--wait``."""
        parser.add_argument(
            "--wait",
            action="store_true",
            help="return when the task has ended; exit 1 when it failed. On"
            " the embedded database, where no conductor is running, the task"
            " is run by this command",
        )

    def _secrets(
        self,
        engine: task_engine.TaskEngine,
        type_name: str,
        parsed_args: argparse.Namespace,
    ) -> dict[str, Any]:
        task_type = engine.registry.get(type_name)
        return inputs.read_secrets(
            parsed_args.secrets, task_type, self.app.stdin
        )

    def answer(
        self,
        engine: task_engine.TaskEngine,
        found: task.Task,
        parsed_args: argparse.Namespace,
    ) -> Any:
        """Show a task, once it has ended if that was asked."""
        if parsed_args.wait:
            found = watching.until_ended(
                engine, found.id, self.app.stderr, may_run=True
            )
            self._failed_task = found.status is task.Status.FAILURE
        elif parsed_args.formatter == "table":
            print(
                f"follow it: glance-tasks task watch {found.id}",
                file=self.app.stderr,
            )
        return shown(found, parsed_args.formatter)


class TaskSubmit(TaskAnswer):
    """Submit a task and show it."""

    def get_parser(self, prog_name: str) -> Any:
        """Take the type, the input and whose it is."""
        parser = super().get_parser(prog_name)
        parser.add_argument("type", help="name of the task type")
        parser.add_argument(
            "input",
            help="a JSON object, @FILE to read it from, or - for standard"
            " input; 'glance-tasks type show TYPE' has its schema",
        )
        parser.add_argument(
            "--owner",
            default=os.environ.get("OS_PROJECT_ID", "admin"),
            help="id of the project the task is for (default: OS_PROJECT_ID,"
            " or admin)",
        )
        parser.add_argument(
            "--priority",
            type=int,
            default=0,
            help="the larger, the sooner it runs (default: 0)",
        )
        parser.add_argument(
            "--idempotency-key",
            metavar="KEY",
            help="a text of your choice; the same type and input again with"
            " the same key gives the task that there is already",
        )
        inputs.add_secrets(parser)
        self.add_waiting(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Submit it."""
        given = inputs.read(parsed_args.input, self.app.stdin)
        engine = self.engine()
        given |= self._secrets(engine, parsed_args.type, parsed_args)
        submitted = engine.submit(
            parsed_args.type,
            given,
            owner=parsed_args.owner,
            priority=parsed_args.priority,
            idempotency_key=parsed_args.idempotency_key,
        )
        return self.answer(engine, submitted, parsed_args)


class TaskRetry(TaskAnswer):
    """Submit a failed task again, as a new one linked to it."""

    def get_parser(self, prog_name: str) -> Any:
        """Take the failed task's id."""
        parser = super().get_parser(prog_name)
        parser.add_argument("id", help="id of a task that failed")
        parser.add_argument(
            "--from",
            dest="start",
            choices=("failed-step", "beginning"),
            default="failed-step",
            help="'failed-step' takes what the failed task had brought, as far"
            " as it is still there and its digest is right; 'beginning' brings"
            " everything again (default: failed-step)",
        )
        inputs.add_secrets(parser)
        self.add_waiting(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Submit it again."""
        engine = self.engine()
        failed = engine.get(parsed_args.id)
        secrets = self._secrets(engine, failed.type, parsed_args)
        again = engine.retry(
            failed.id,
            secrets=secrets,
            reuse=parsed_args.start == "failed-step",
        )
        return self.answer(engine, again, parsed_args)


class TaskUpload(TaskAnswer):
    """Hand in the bytes that a task waits for, from where they stopped."""

    def get_parser(self, prog_name: str) -> Any:
        """Take the task's id and the file."""
        parser = super().get_parser(prog_name)
        parser.add_argument("id", help="id of a task that takes bytes")
        parser.add_argument(
            "file",
            help="file with all of the bytes, or - for standard input; what"
            " was handed in before is skipped",
        )
        self.add_waiting(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Hand them in."""
        engine = self.engine()
        staged = engine.received(parsed_args.id)
        found = engine.get(parsed_args.id)
        # All of it there, it may be the rest that was cut.
        if not staged.whole or found.ended:
            self._hand_in(engine, found, staged.size, parsed_args.file)
        return self.answer(engine, engine.get(found.id), parsed_args)

    def _hand_in(
        self,
        engine: task_engine.TaskEngine,
        found: task.Task,
        offset: int,
        name: str,
    ) -> None:
        with inputs.opened(name, self.app.stdin, offset) as source:
            staged = engine.receive(found.id, source, offset=offset)
        if not staged.whole:
            text = (
                f"{name!r} ends after {staged.size} of {found.input['size']}"
                " bytes; run this again when it has the rest"
            )
            raise exceptions.InvalidInput([("", text)])


class TaskShow(answers.ShowAnswer):
    """Show a task."""

    def get_parser(self, prog_name: str) -> Any:
        """Take the task's id."""
        parser = super().get_parser(prog_name)
        parser.add_argument("id", help="id of the task")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Give it."""
        return shown(self.engine().get(parsed_args.id), parsed_args.formatter)


class TaskList(answers.ListAnswer):
    """List tasks, newest first."""

    def get_parser(self, prog_name: str) -> Any:
        """Take filters and the page."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--type", help="only tasks of this type")
        parser.add_argument(
            "--status",
            choices=[status.value for status in task.Status],
            help="only tasks of this status",
        )
        parser.add_argument("--owner", help="only tasks of this project")
        parser.add_argument("--image", help="only tasks of this image id")
        parser.add_argument(
            "--limit",
            type=_limit,
            default=25,
            help="how many to list at most (default: 25; at most 1000)",
        )
        parser.add_argument(
            "--marker", help="id of the last task of the page before"
        )
        parser.add_argument(
            "--sort-key",
            choices=listing.SORT_KEYS,
            default="created_at",
            help="what to sort by (default: created_at)",
        )
        parser.add_argument(
            "--sort-dir",
            choices=("asc", "desc"),
            default="desc",
            help="which way (default: desc)",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Give a row for each."""
        filters = {
            "type": parsed_args.type,
            "status": parsed_args.status,
            "owner": parsed_args.owner,
            "image_id": parsed_args.image,
        }
        found = self.engine().find(
            filters={k: v for k, v in filters.items() if v is not None},
            limit=parsed_args.limit,
            marker=parsed_args.marker,
            sort_key=parsed_args.sort_key,
            descending=parsed_args.sort_dir == "desc",
        )
        return (
            (
                "id",
                "type",
                "status",
                "phase",
                "owner",
                "image_id",
                "progress",
                "created_at",
            ),
            [_row(one, parsed_args.formatter) for one in found],
        )


def _limit(text: str) -> int:
    number = int(text)
    if not 0 <= number <= listing.MAX_LIMIT:
        raise argparse.ArgumentTypeError(
            f"{number} is not between 0 and {listing.MAX_LIMIT}"
        )
    return number


def _row(found: task.Task, formatter: str) -> tuple[Any, ...]:
    progress: Any = dict(found.progress)
    if formatter not in ("json", "yaml"):
        progress = watching.in_words(found)
    cells = (
        found.id,
        found.type,
        found.status,
        found.phase,
        found.owner,
        found.image_id,
        progress,
        found.created_at,
    )
    return tuple(answers.value(cell, formatter) for cell in cells)


class TaskEvents(answers.ListAnswer):
    """Show a task's timeline."""

    def get_parser(self, prog_name: str) -> Any:
        """Take the task's id."""
        parser = super().get_parser(prog_name)
        parser.add_argument("id", help="id of the task")
        parser.add_argument(
            "--long",
            action="store_true",
            help="with the details for the operator, such as tracebacks",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Give a row for each event, oldest first."""
        names = ["at", "event", "atom", "text"]
        names += ["detail"] if parsed_args.long else []
        rows = []
        for event in self.engine().events(parsed_args.id):
            at = f"{event.at:%Y-%m-%dT%H:%M:%S}.{event.at.microsecond:06}"
            atom = event.atom
            if parsed_args.formatter not in ("json", "yaml"):
                atom = atom or ""
            cells = [f"{at[:-3]}Z", event.kind, atom, event.text]
            if parsed_args.long:
                cells.append(
                    answers.value(
                        dict(event.detail) if event.detail else None,
                        parsed_args.formatter,
                    )
                )
            rows.append(cells)
        return names, rows


class TaskWatch(answers.Answer):
    """Follow a task until it ends; exit 1 when it fails."""

    def get_parser(self, prog_name: str) -> Any:
        """Take the task's id."""
        parser = super().get_parser(prog_name)
        parser.add_argument("id", help="id of the task")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Draw its progress."""
        ended = watching.until_ended(
            self.engine(), parsed_args.id, self.app.stdout
        )
        if ended.status is task.Status.FAILURE:
            return answers.TASK_FAILED
        return answers.DONE
