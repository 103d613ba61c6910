# SPDX-License-Identifier: Apache-2.0
"""Commands about task types and their graphs."""

import argparse
import inspect
from typing import Any

from glance_tasks import graph
from glance_tasks import placement
from glance_tasks import plugin
from glance_tasks import task
from glance_tasks.cmd import answers
from glance_tasks.cmd import inputs
from glance_tasks.engine import TaskEngine


def _description(task_type: plugin.TaskType) -> str:
    text = inspect.getdoc(type(task_type)) or ""
    return text.partition("\n")[0]


def _version(task_type: plugin.TaskType) -> str:
    return ".".join(str(part) for part in task_type.version)


def _phases(engine: TaskEngine, name: str) -> list[str]:
    """Give the phases in which tasks of a type may be seen, in their order."""
    examples = engine.registry.get(name).input_schema.get("examples") or [None]
    seen = {
        node.phase
        for example in examples
        for node in engine.draw(name, example).nodes
    }
    moves = task.Phase.TRANSFERRING in seen
    return [p.value for p in task.Phase if moves or p != "transferring"]


class TypeList(answers.ListAnswer):
    """List the task types that are installed."""

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Give a row for each type that works; warn of those that do not."""
        registry = self.engine().registry
        for name, reason in registry.broken().items():
            self._say(f"{name} cannot be used: {reason}")
        types = [(name, registry.get(name)) for name in registry.names()]
        return (
            ("name", "version", "description"),
            [(name, _version(t), _description(t)) for name, t in types],
        )


class TypeShow(answers.ShowAnswer):
    """Show a task type: its schemas and the steps that can be left out."""

    def get_parser(self, prog_name: str) -> Any:
        """Take the type's name."""
        parser = super().get_parser(prog_name)
        parser.add_argument("type", help="name of the task type")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Give the type."""
        engine = self.engine()
        task_type = engine.registry.get(parsed_args.type)
        return answers.columns(
            {
                "name": parsed_args.type,
                "version": _version(task_type),
                "description": _description(task_type),
                "deprecated": task_type.deprecated or None,
                "secret_inputs": list(task_type.secret_inputs),
                "optional_steps": list(task_type.optional_steps),
                "requires_labels": sorted(
                    placement.labels_of(
                        engine.registry, engine.conf, parsed_args.type
                    )
                ),
                "phases": _phases(engine, parsed_args.type),
                "engine": task_type.engine,
                "input_schema": dict(task_type.input_schema),
                "result_schema": dict(task_type.result_schema),
            },
            parsed_args.formatter,
        )


class FlowGraph(answers.Answer):
    """Draw the graph that a task of a type would run."""

    def get_parser(self, prog_name: str) -> Any:
        """Take the type's name, a format and an input."""
        parser = super().get_parser(prog_name)
        parser.add_argument("type", help="name of the task type")
        parser.add_argument(
            "-f",
            "--format",
            choices=sorted(graph.FORMATS),
            default="text",
            help="how it is drawn (default: text)",
        )
        parser.add_argument(
            "--input",
            metavar="INPUT",
            help="input of the task, as for 'task submit' (default: the"
            " schema's example)",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Write the drawing."""
        given = None
        if parsed_args.input is not None:
            given = inputs.read(parsed_args.input, self.app.stdin)
        drawn = self.engine().draw(parsed_args.type, given)
        self.app.stdout.write(graph.FORMATS[parsed_args.format](drawn) + "\n")
