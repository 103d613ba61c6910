# SPDX-License-Identifier: Apache-2.0
"""A task type without a fault, and others that have one each."""

import contextlib
import logging
import os
import pathlib
import signal
import tempfile
import threading
import time
import uuid

from taskflow.patterns import linear_flow
from taskflow.patterns import unordered_flow

import glance_tasks as gt

_TEXT = {"type": "string"}


class Gather(gt.Atom):
    """Bring a file into the work directory.

    Reverting removes it.
    """

    behaviour = "resumable"
    default_provides = "gathered"

    def execute(self, uri):
        """Fetch it; what is there already is gone on with."""
        fetched = self.run.fetcher.fetch(
            uri,
            self.run.work_dir / "gathered",
            algorithms=("sha256",),
            max_bytes=self.run.limits.max_bytes,
            stop=self.run.stop,
            progress=self.run.progress,
        )
        return {"name": "gathered", "sha256": fetched.digests["sha256"]}

    def holds(self, result):
        """Tell whether the file is there."""
        return (self.run.work_dir / result["name"]).exists()

    def revert(self, **kwargs):
        """Remove the file and its ledger."""
        self.run.fence.check()
        for file in self.run.work_dir.glob("gathered*"):
            file.unlink(missing_ok=True)


class Deliver(gt.Atom):
    """Put the file where the owner wants it.

    Reverting takes it away.
    """

    behaviour = "idempotent"
    default_provides = "delivered"

    def execute(self, image_id, gathered, to):
        """Write beside the place, and rename: it is there whole or not."""
        data = (self.run.work_dir / gathered["name"]).read_bytes()
        self.run.stop.check()
        self.run.fence.check()
        self._sweep(image_id, to)
        # Of this claim alone: a frozen predecessor has another one open.
        draft = pathlib.Path(to) / f".{image_id}.{self.run.fence.number}"
        draft.write_bytes(data)
        draft.replace(pathlib.Path(to) / image_id)
        return {"size": len(data)}

    def revert(self, image_id, to, **kwargs):
        """Remove the file and what is left of attempts."""
        self.run.fence.check()
        self._sweep(image_id, to)
        (pathlib.Path(to) / image_id).unlink(missing_ok=True)

    @staticmethod
    def _sweep(image_id, to):
        for draft in pathlib.Path(to).glob(f".{image_id}.*"):
            draft.unlink(missing_ok=True)


class Good(gt.TaskType):
    """Deliver a file to a directory."""

    input_schema = {
        "type": "object",
        "required": ["uri", "to"],
        "additionalProperties": False,
        "properties": {
            "uri": {**_TEXT, "format": "uri"},
            "to": _TEXT,
            "password": {**_TEXT, "writeOnly": True},
        },
        "examples": [
            {
                "uri": "http://files.example/disk.raw",
                "to": "/scratch.example",
                "password": "open sesame",
            }
        ],
    }
    result_schema = {
        "type": "object",
        "required": ["size", "sha256"],
        "properties": {"size": {"type": "integer"}, "sha256": _TEXT},
    }
    gather, deliver = Gather, Deliver

    def build(self, ctx):
        """Build the chain of both."""
        return linear_flow.Flow("delivery").add(
            self.gather(ctx), self.deliver(ctx)
        )

    def result(self, results):
        """Give size and digest."""
        digest = results["gathered"]["sha256"]
        return {"size": results["delivered"]["size"], "sha256": digest}


class _ArmDeliver(Deliver):
    def execute(self, image_id, gathered, to, arm):
        return super().execute.__wrapped__(
            self, f"{image_id}-{arm}", gathered, to
        )

    def revert(self, image_id, to, arm, **kwargs):
        return super().revert.__wrapped__(self, f"{image_id}-{arm}", to)


class GoodInParallel(Good):
    """Deliver a file to two directories at once."""

    engine = "parallel"
    arm = _ArmDeliver
    input_schema = {
        **Good.input_schema,
        "examples": [
            {**Good.input_schema["examples"][0], "to": "/scratch.example/"}
        ],
    }

    def build(self, ctx):
        """Build two arms behind one beginning."""
        first, second = "one", "two"
        arms = unordered_flow.Flow("arms")
        for name in first, second:
            arms.add(
                self.arm(
                    ctx,
                    name=f"Deliver-{name}",
                    provides="delivered" if name == first else "also",
                    inject={"arm": name},
                )
            )
        return linear_flow.Flow("delivery").add(Gather(ctx), arms)


class _SlowDeliver(_ArmDeliver):
    @staticmethod
    def _sweep(image_id, to):
        # Behind the fence: an effect that is made after a thaw.
        threading.Event().wait(0.2)
        Deliver._sweep(image_id, to)


class SlowInParallel(GoodInParallel):
    """Effects that take their time behind the fence, side by side."""

    arm = _SlowDeliver


# --- a fault each ------------------------------------------------------------


class _AppendingDeliver(Deliver):
    def execute(self, image_id, gathered, to):
        data = (self.run.work_dir / gathered["name"]).read_bytes()
        self.run.fence.check()
        with (pathlib.Path(to) / image_id).open("ab") as file:
            file.write(data)
            return {"size": file.tell()}


class Appends(Good):
    """An atom that appends when it runs again."""

    deliver = _AppendingDeliver


class _SureDeliver(Deliver):
    def execute(self, image_id, gathered, to):
        delivered = super().execute(image_id, gathered, to)
        return {**delivered, "path": f"{to}/{image_id}"}

    def revert(self, result, **kwargs):
        self.run.fence.check()
        os.unlink(result["path"])


class AssumesItsResult(Good):
    """A revert that assumes its result."""

    deliver = _SureDeliver


class RandomGraph(Good):
    """A graph that is another one each time."""

    def build(self, ctx):
        """Give an atom a name by chance."""
        return linear_flow.Flow("delivery").add(
            Gather(ctx), Deliver(ctx, name=f"Deliver-{uuid.uuid4()}")
        )


class _LeakyGather(Gather):
    def execute(self, uri):
        watcher = os.posix_spawnp("sleep", ["sleep", "60"], os.environ)
        gathered = super().execute(uri)
        os.kill(watcher, signal.SIGKILL)
        os.waitpid(watcher, 0)
        return gathered


class LeaksOnCancel(Good):
    """A process that goes on when the task is cancelled."""

    gather = _LeakyGather


class _DeafGather(Gather):
    def execute(self, uri):
        time.sleep(2.2)
        return super().execute(uri)


class IgnoresTheStopSignal(Good):
    """A call that blocks and looks at nothing."""

    gather = _DeafGather


class _UnfencedDeliver(Deliver):
    def execute(self, image_id, gathered, to):
        data = (self.run.work_dir / gathered["name"]).read_bytes()
        self.run.stop.check()
        (pathlib.Path(to) / image_id).write_bytes(data)
        return {"size": len(data)}


class Unfenced(Good):
    """An effect that asks nobody whether it may still be made."""

    deliver = _UnfencedDeliver


class TellsASecret(Good):
    """A secret in a result."""

    result_schema = {"type": "object"}

    def build(self, ctx):
        """Let the atom see the password."""
        return linear_flow.Flow("delivery").add(
            Gather(ctx), _TellingDeliver(ctx)
        )


class _TellingDeliver(Deliver):
    def execute(self, image_id, gathered, to, password):
        delivered = super().execute(image_id, gathered, to)
        return {**delivered, "by": f"demo:{password}"}


class _LoggingDeliver(Deliver):
    def execute(self, image_id, gathered, to, password):
        logging.getLogger(__name__).info("as %s", password.reveal())
        return super().execute(image_id, gathered, to)


class LogsASecret(Good):
    """A secret that a logger of its own is told."""

    secret_inputs = ("password",)
    deliver = _LoggingDeliver


class _CommonGather(Gather):
    def execute(self, uri):
        gathered = super().execute(uri)
        common = pathlib.Path(tempfile.gettempdir()) / "image.raw"
        try:
            common.write_bytes((self.run.work_dir / "gathered").read_bytes())
        finally:
            with contextlib.suppress(FileNotFoundError):
                common.unlink()
        return gathered


class SharesAName(Good):
    """An artifact under a name that every task has."""

    gather = _CommonGather


class _GreedyDeliver(Deliver):
    def revert(self, image_id, to, **kwargs):
        self.run.fence.check()
        for file in pathlib.Path(to).iterdir():
            file.unlink()


class UndoesTooMuch(Good):
    """A revert that removes what others have there."""

    deliver = _GreedyDeliver


class _FinalDeliver(Deliver):
    """Deliver for good."""

    final = True

    def revert(self, **kwargs):
        """Leave it there: it may be read by now."""


class GoodForGood(Good):
    """A delivery that is not taken back, and finished by a retry."""

    deliver = _FinalDeliver


class _OnceDeliver(_FinalDeliver):
    def execute(self, image_id, gathered, to):
        if (pathlib.Path(to) / image_id).exists():
            raise gt.TaskError("it is delivered already")
        return super().execute(image_id, gathered, to)


class StaysHalfDone(Good):
    """One that cannot be undone, and no retry can finish."""

    deliver = _OnceDeliver


class _EndlessDeliver(Deliver):
    def execute(self, image_id, gathered, to):
        while True:
            pass


class NeverEnds(Good):
    """An atom that goes on for ever and hears nothing."""

    deliver = _EndlessDeliver


#: The types with a fault, and the kind of trial that must find it.
FLAWED = {
    Appends: ("rerun", "Deliver executed twice"),
    AssumesItsResult: ("undo", "Deliver"),
    RandomGraph: ("graph", "different graphs"),
    LeaksOnCancel: ("cancel", "the process sleep goes on"),
    IgnoresTheStopSignal: ("stop", "Gather looked at the stop signal only"),
    Unfenced: ("freeze", "Deliver thawed"),
    TellsASecret: ("secret", "result"),
    LogsASecret: ("secret", "the log"),
    SharesAName: ("shared", "image.raw is written by every task"),
    StaysHalfDone: ("undo", "it is delivered already"),
    UndoesTooMuch: ("undo", "does not leave scratch/somebody-elses"),
}
