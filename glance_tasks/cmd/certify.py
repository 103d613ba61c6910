# SPDX-License-Identifier: Apache-2.0
"""The command that certifies a task type."""

import argparse
import json
import logging
import pathlib
import shlex
from typing import Any

from glance_tasks import exceptions
from glance_tasks.cmd import answers
from glance_tasks.cmd import inputs


class Certify(answers.Answer):
    """Prove that a task type survives anything, or show where it does not.

    Its tasks run in temporary directories and on databases of the kit's own;
    no configuration is read.
    """

    def get_parser(self, prog_name: str) -> Any:
        """Take the type, its inputs, and how much is tried."""
        parser = super().get_parser(prog_name)
        parser.add_argument("type", help="name of the task type")
        parser.add_argument(
            "--input",
            action="append",
            default=[],
            metavar="INPUT",
            help="input of its tasks, as for 'task submit'; may be given"
            " several times (default: the examples of its schema). A host"
            " that ends in .example is the kit's source, which serves"
            " /disk.raw and /disk.qcow2; the image ids"
            " 00000000-0000-4000-8000-000000000001 and ...2 are images of the"
            " kit's own, a raw one and a qcow2; paths below /scratch.example"
            " are looked at afterwards",
        )
        parser.add_argument(
            "--serve",
            action="append",
            default=[],
            metavar="FILE",
            help="file that the source serves too, under its name; may be"
            " given several times",
        )
        parser.add_argument(
            "--database",
            default="sqlite",
            choices=("sqlite", "postgresql", "mysql"),
            help="what to run on; a server is the kit's own (default: sqlite)",
        )
        parser.add_argument(
            "--kind",
            action="append",
            default=[],
            metavar="KIND",
            help="make trials of this kind only; may be given several times",
        )
        parser.add_argument(
            "--sample",
            type=_count,
            default=20,
            metavar="N",
            help="how many trials of each costly kind to draw; 0 makes all"
            " there are (default: 20)",
        )
        parser.add_argument(
            "--seed",
            type=int,
            metavar="N",
            help="draw them as the run with this seed did",
        )
        parser.add_argument(
            "--replay",
            metavar="TOKEN",
            help="make one trial again; exit with 1 when it shows a fault",
        )
        parser.add_argument(
            "-f",
            "--format",
            choices=("text", "json"),
            default="text",
            help="how the certificate is written (default: text)",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Make the trials; write the certificate."""
        if logging.getLogger().level > logging.DEBUG:
            # They tell of each failure that is made, with its traceback.
            for name in "taskflow", "glance_tasks", "stevedore":
                logging.getLogger(name).setLevel(logging.CRITICAL)
        certifier = self._certifier(parsed_args)
        if parsed_args.replay:
            return self._replay(certifier, parsed_args.replay)
        done = certifier.certify()
        if parsed_args.format == "json":
            self._write(json.dumps(done.to_dict(), indent=1))
        else:
            for line in done.lines(_again(parsed_args)):
                self._write(line)
        return answers.DONE if done.passed else answers.TASK_FAILED

    def _certifier(self, parsed_args: argparse.Namespace) -> Any:
        try:
            from glance_tasks.testing.certification import certifier
            from glance_tasks.testing.certification import subject
        except ImportError as error:
            raise exceptions.ConfigurationError(
                f"certify needs {error.name}; expected glance-tasks[testing]"
                " to be installed"
            ) from error
        given = [inputs.read(i, self.app.stdin) for i in parsed_args.input]
        examples = subject.examples(subject.load(parsed_args.type, None))
        return certifier.Certifier(
            subject.Subject(
                parsed_args.type,
                tuple(given or examples),
                serve=tuple(pathlib.Path(f) for f in parsed_args.serve),
            ),
            database=parsed_args.database,
            sample=parsed_args.sample,
            seed=parsed_args.seed,
            only=parsed_args.kind,
            say=self._progress,
        )

    def _replay(self, certifier: Any, token: str) -> int:
        faults = certifier.replay(token)
        for fault in faults:
            self._write(f"FAULT {fault.kind}: {fault.text}")
        if not faults:
            self._write(f"{token}: no fault this time")
        return answers.TASK_FAILED if faults else answers.DONE

    def _write(self, text: str) -> None:
        self.app.stdout.write(f"{text}\n")

    def _progress(self, line: str) -> None:
        self.app.stderr.write(f"{line}\n")
        self.app.stderr.flush()


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text} is less than 0")
    return number


def _again(parsed_args: argparse.Namespace) -> str:
    """Give the command that made the certificate, as far as trials go."""
    words = ["glance-tasks", "certify", parsed_args.type]
    for option in ("input", "serve"):
        for value in getattr(parsed_args, option):
            words += [f"--{option}", value]
    if parsed_args.database != "sqlite":
        words += ["--database", parsed_args.database]
    return shlex.join(words)
