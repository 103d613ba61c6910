# SPDX-License-Identifier: Apache-2.0
"""Small task types that leave traces, fail, wait and die as they are told.

Every atom notes what it does in a journal and leaves a file in a directory
that the task's input names, so that a test sees afterwards what ran, how
often, and whether anything was left behind.
"""

import collections
import os
import pathlib
import signal
from typing import Any

from taskflow import retry
from taskflow.patterns import graph_flow
from taskflow.patterns import linear_flow
from taskflow.patterns import unordered_flow

import glance_tasks as gt
from glance_tasks import exceptions

STEPS = tuple(f"step-{number}" for number in range(6))

_TEXT = {"type": "string"}
INPUT = {
    "type": "object",
    "required": ["world"],
    "additionalProperties": False,
    "properties": {
        "world": _TEXT,
        "fail_at": _TEXT,
        "die_at": _TEXT,
        "kill_at": _TEXT,
        "deaf_at": _TEXT,
        "fence_at": _TEXT,
        "wait_at": _TEXT,
        "stay_at": _TEXT,
        "exit_at": _TEXT,
        "unhold": _TEXT,
        "fail_undo": _TEXT,
        "fails": {"type": "integer"},
        "dies": {"type": "integer"},
        "kind": _TEXT,
        "pace": {"type": "number"},
        "shares": {"type": "array", "items": _TEXT},
        "takes": {"type": "array", "items": _TEXT},
    },
    "examples": [{"world": "nowhere"}],
}


class Died(exceptions.RunInterrupted):
    """Ends a run in this process as a kill would end the process."""


class World:
    """What the atoms of a test have done, in one directory."""

    def __init__(self, directory: pathlib.Path) -> None:
        """Use ``directory``, which is made when it is needed."""
        self.directory = directory
        self.effects = directory / "effects"

    def given(self, **told: Any) -> dict[str, Any]:
        """Give an input that makes atoms work here."""
        self.effects.mkdir(parents=True, exist_ok=True)
        return {"world": str(self.directory), **told}

    def note(self, line: str) -> None:
        """Add a line to the journal, which outlives the process."""
        with (self.directory / "journal").open("a") as journal:
            journal.write(f"{line}\n")

    def journal(self) -> list[str]:
        """Give what was noted, in order."""
        path = self.directory / "journal"
        return path.read_text().splitlines() if path.exists() else []

    def counts(self) -> collections.Counter[str]:
        """Give how often each line was noted."""
        return collections.Counter(self.journal())

    def left(self) -> set[str]:
        """Give the names of the effects that are there."""
        if not self.effects.is_dir():
            return set()
        return {path.name for path in self.effects.iterdir()}

    def open_gate(self) -> None:
        """Let atoms go on that wait."""
        (self.directory / "gate").touch()

    @property
    def gate_open(self) -> bool:
        """Whether waiting atoms may go on."""
        return (self.directory / "gate").exists()


class Mark(gt.Atom):
    """Leave a file that says who made it, or do worse if so told.

    Reverting removes the file.
    """

    behaviour = "idempotent"

    @property
    def world(self) -> World:
        """Where this atom's traces go."""
        return World(pathlib.Path(self.run.input["world"]))

    def told(self, key: str) -> bool:
        """Tell whether the input names this atom, or all, under ``key``."""
        return self.run.input.get(key) in (self.name, "every step")

    def execute(self) -> dict[str, Any]:
        """Give a little JSON, with a tuple that a reload makes a list."""
        world = self.world
        self._fence()
        # Tests strike when they read the note: then the file must be there.
        (world.effects / self.name).write_text(self.name)
        world.note(f"execute {self.name}")
        if self.told("fail_at"):
            raise gt.TaskError(
                f"{self.name} was told so", code="check_refused"
            )
        if self.told("die_at") and not world.gate_open:
            raise Died(self.name)
        if self.told("kill_at") and not world.gate_open:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.told("exit_at"):
            raise SystemExit(3)
        self._linger(world)
        world.note(f"finished {self.name}")
        return {"step": self.name, "pair": (1, 2)}

    def _fence(self) -> None:
        """Ask, as whatever has effects that nobody may have twice."""
        if self.told("fence_at"):
            self.run.fence.check()

    def _linger(self, world: World) -> None:
        if "pace" in self.run.input:
            self.run.stop.wait(self.run.input["pace"])
        while self.told("wait_at") and not world.gate_open:
            self.run.stop.wait(0.02)
        while self.told("deaf_at") and not world.gate_open:
            # Looks at nothing but the gate: it cannot be stopped.
            signal.sigtimedwait([], 0.02)
        if self.told("stay_at"):
            while True:
                self.run.stop.wait(0.02)

    def revert(self, **kwargs: Any) -> None:
        """Remove the file."""
        self._fence()
        self.world.note(f"revert {self.name}")
        if "pace" in self.run.input:
            self.run.stop.wait(self.run.input["pace"])
        if self.told("fail_undo"):
            raise OSError(f"{self.name} cannot be undone")
        (self.world.effects / self.name).unlink(missing_ok=True)

    def holds(self, result: Any) -> bool:
        """Look whether the file is there."""
        if self.told("unhold"):
            return (self.world.effects / self.name).exists()
        return True


class Flaky(Mark):
    """Fail until the retry controller has counted far enough."""

    def execute(self, attempt: int) -> dict[str, Any]:
        """Leave a file; fail in the first attempts."""
        (self.world.effects / self.name).write_text(self.name)
        self.world.note(f"execute {self.name} {attempt}")
        deadly = attempt == self.run.input.get("dies", attempt)
        if self.told("die_at") and deadly and not self.world.gate_open:
            raise Died(self.name)
        if attempt <= self.run.input.get("fails", 2):
            raise gt.TaskError(f"attempt {attempt} was told so")
        return {"attempt": attempt}


class Join(Mark):
    """Take what another atom gave."""

    def execute(self, first: dict[str, Any]) -> dict[str, Any]:
        """Give back what came, to show that a reload changes nothing."""
        (self.world.effects / self.name).write_text(self.name)
        self.world.note(f"execute {self.name}")
        if self.told("die_at") and not self.world.gate_open:
            raise Died(self.name)
        return {"got": first}


class LineTask(gt.TaskType):
    """Six atoms in a row."""

    input_schema = INPUT
    result_schema = {"type": "object"}
    optional_steps = STEPS

    def locks(self, ctx: gt.PlanContext) -> list[gt.Lock]:
        """Give the locks that the input names."""
        return [
            *(gt.Lock(name) for name in ctx.input.get("shares", ())),
            *(gt.Lock(n, exclusive=True) for n in ctx.input.get("takes", ())),
        ]

    def build(self, ctx: gt.BuildContext) -> linear_flow.Flow:
        """Build the row, without the steps that were left out."""
        flow = linear_flow.Flow("line")
        for name in STEPS:
            if name not in ctx.plan["skip_steps"]:
                flow.add(Mark(ctx, name=name, provides=f"given-{name}"))
        flow.add(*ctx.checks(f"given-{STEPS[0]}"))
        return flow

    def result(self, results: Any) -> dict[str, Any]:
        """Give what the last atom gave."""
        return {"steps": sorted(results)}


class PatientTask(LineTask):
    """Six atoms in a row, once the locks can be had."""

    waits_for_locks = True


class ArmsTask(LineTask):
    """Six atoms at once."""

    engine = "parallel"
    optional_steps = ()

    def build(self, ctx: gt.BuildContext) -> unordered_flow.Flow:
        """Build arms that know nothing of each other."""
        return unordered_flow.Flow("arms").add(
            *(Mark(ctx, name=name) for name in STEPS)
        )


class TriesTask(LineTask):
    """Two atoms under a retry controller, between two others."""

    optional_steps = ()

    def build(self, ctx: gt.BuildContext) -> linear_flow.Flow:
        """Build a row with a part that is tried three times."""
        tries = linear_flow.Flow(
            "tries", retry=retry.Times(3, name="thrice", provides="attempt")
        ).add(Mark(ctx, name="step-1"), Flaky(ctx, name="step-2"))
        return linear_flow.Flow("row").add(
            Mark(ctx, name="step-0"), tries, Mark(ctx, name="step-3")
        )


class HandedTask(LineTask):
    """Two atoms, the second of which takes what the first gave."""

    optional_steps = ()

    def build(self, ctx: gt.BuildContext) -> graph_flow.Flow:
        """Build the two."""
        return graph_flow.Flow("handed").add(
            Mark(ctx, name="step-0", provides="first"),
            Join(ctx, name="step-1"),
        )


class RefuseImage(gt.Atom):
    """A third party's check, which refuses everything."""

    behaviour = "idempotent"

    def execute(self, image_file: dict[str, Any]) -> None:
        """Refuse."""
        raise exceptions.CheckRefused(f"{image_file['step']} is not liked")


TYPES = {
    "line": LineTask,
    "patient": PatientTask,
    "arms": ArmsTask,
    "tries": TriesTask,
    "handed": HandedTask,
}
CHECKS = {"refuse": RefuseImage}
