# SPDX-License-Identifier: Apache-2.0
"""The contract a deployer writes against: task types and their atoms.

A task type says what input it takes and builds a TaskFlow graph of atoms.
The engine runs the graph, checkpoints every atom and, after a crash, goes on
with the first atom that has no checkpoint.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import errno
import functools
import inspect
import json
from typing import Any
from typing import ClassVar
from typing import Literal

from taskflow import flow as taskflow_flow
from taskflow import task as taskflow_task

from glance_tasks import context
from glance_tasks import exceptions
from glance_tasks import task

#: The version of this contract. A type made for another one is refused.
API = 1

#: How an atom comes through being executed again after a crash.
Behaviour = Literal["idempotent", "resumable", "compensated"]

#: What a type may have done with a task that stalls.
ON_STALL = ("wait", "restart", "fail")

# Results are checkpoints: they are written in one statement and read whole at
# every resume. Anything larger belongs in an artifact.
MAX_RESULT_BYTES = 64 * 1024

# To compare two lists jsonschema 4.26 takes three frames of Python's stack a
# level; at 300 levels it is used up.
_MAX_DEPTH = 100


def plain(value: Any, whose: str, limit: int = MAX_RESULT_BYTES) -> Any:
    """Give ``value`` as a reload of its JSON would give it.

    So an atom's successors see the same in the first run and in a resumed
    one: tuples become lists, integer keys strings.

    :raises TaskError: ``result_invalid``, when it is no JSON, too large or
        too deep
    """
    try:
        text = json.dumps(value, allow_nan=False)
        kept = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise exceptions.TaskError(
            f"{whose} gave {type(value).__name__} that is not JSON;"
            " expected objects, lists, text, numbers, true, false or null",
            code="result_invalid",
        ) from error
    if len(text) > limit:
        raise exceptions.TaskError(
            f"{whose} gave {len(text)} bytes of JSON; expected at most"
            f" {limit}",
            code="result_invalid",
        )
    if _is_deeper(kept, _MAX_DEPTH):
        raise exceptions.TaskError(
            f"{whose} gave JSON with lists or objects in one another more"
            f" than {_MAX_DEPTH} deep; expected less",
            code="result_invalid",
        )
    return kept


def _is_deeper(value: Any, depth: int) -> bool:
    """Tell whether lists and objects lie in one another that deep."""
    level = [value] if isinstance(value, list | dict) else []
    for _ in range(depth):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, list | dict)
        ]
    return bool(level)


def _in_words(error: BaseException) -> BaseException:
    """Turn what no failure could be made of into something it can."""
    if isinstance(error, OSError) and error.errno in (
        errno.ENOSPC,
        errno.EDQUOT,
    ):
        return exceptions.DiskFull(
            "no space is left on the device that holds the work directory"
        )
    if not isinstance(error, Exception):
        # SystemExit and its like would leave the run as a crash does, and
        # the resumed run would meet them again, for ever.
        return _unspeakable(error)
    try:
        str(error)
    except BaseException:  # noqa: BLE001 - whatever a foreign __str__ raises
        # TaskFlow takes str() of every failure; this one would break it.
        return _unspeakable(error)
    return error


def _unspeakable(error: BaseException) -> exceptions.TaskError:
    return exceptions.TaskError(f"the atom raised {type(error).__name__}")


def guarded(method: Callable[..., Any], undoes: bool) -> Callable[..., Any]:
    """Wrap ``execute`` or ``revert``: look whether to stop, put into words.

    :class:`Atom` does so by itself.

    :param undoes: whether it is a ``revert``
    """

    @functools.wraps(method)
    def call(self: "Atom", *args: Any, **kwargs: Any) -> Any:
        stop = self.ctx.stop if self.ctx else None
        try:
            with stop.undoing() if stop and undoes else _NOTHING:
                if stop:
                    stop.check()
                value = method(self, *args, **kwargs)
        except exceptions.RunInterrupted:
            raise
        except BaseException as error:
            known = _in_words(error)
            if known is error:
                raise
            raise known from error
        return None if undoes else _result(self, value)

    call.is_guarded = True  # type: ignore[attr-defined]
    return call


def _result(atom: "Atom", value: Any) -> Any:
    kept = plain(value, atom.name)
    if atom.ctx and atom.ctx.hidden.is_in(json.dumps(kept)):
        raise exceptions.TaskError(
            f"{atom.name} gave a secret of the input as its result; expected"
            " a result without",
            code="result_invalid",
        )
    return kept


_NOTHING = contextlib.nullcontext()


class Atom(taskflow_task.Task):  # type: ignore[misc]
    """One revertible step of a task.

    A subclass declares ``behaviour`` and writes ``execute`` and, where there
    is something to undo, ``revert(**kwargs)``. ``execute`` may run again after
    a crash; what it returns is small JSON. ``revert`` undoes a finished,
    half-finished or absent ``execute``, and may run twice.

    :cvar behaviour: ``idempotent`` (running again gives the same),
        ``resumable`` (goes on where a ledger says) or ``compensated`` (its
        revert removes every trace, then it runs again)
    :cvar phase: what the task shows while this atom runs
    :cvar in_work_dir: whether all that it leaves lies in the work directory,
        which goes with the task even where reverting fails
    :cvar reads_artifacts: False for an atom that needs what others returned,
        but no file they left: a lost one is not made again for its sake
    :cvar version: ``(major, minor)`` of what it does; a task that runs does
        not go on with another one
    :cvar time_limit: seconds that one execution may take; None is without end
    :cvar stall_after: seconds without a byte or a step after which its task
        counts as stalled; None is the option ``stall_after``, 0 never
    :cvar final: whether it does what nothing can undo; a task that fails from
        there on is one that a retry finishes
    """

    behaviour: ClassVar[Behaviour]
    version: tuple[int, int] = (1, 0)
    phase: ClassVar[task.Phase] = task.Phase.PROCESSING
    in_work_dir: ClassVar[bool] = False
    reads_artifacts: ClassVar[bool] = True
    final: ClassVar[bool] = False
    time_limit: ClassVar[float | None] = None
    stall_after: ClassVar[float | None] = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # Also what a mixin brings that is no atom itself.
        for name, undoes in (("execute", False), ("revert", True)):
            method = getattr(cls, name)
            if not hasattr(method, "is_guarded"):
                setattr(cls, name, guarded(method, undoes))

    def __init__(
        self,
        ctx: context.BuildContext | None = None,
        *,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Keep the context; keywords are those of TaskFlow's ``Task``.

        :param name: the class's name when None. (TaskFlow's own default holds
            the module's path: moving a file would rename the atom, and a
            resumed task would run it again.)
        """
        self.ctx = ctx
        super().__init__(name=name or type(self).__name__, **kwargs)
        # TaskFlow's constructor sets its default.
        self.version = type(self).version

    @property
    def run(self) -> context.BuildContext:
        """The context, for atoms that cannot do without one.

        :raises BrokenPlugin: when the atom was made without
        """
        if self.ctx is None:
            raise exceptions.BrokenPlugin(
                f"{self.name} was made without a context;"
                f" expected {type(self).__name__}(ctx)"
            )
        return self.ctx

    @property
    def undoes(self) -> bool:
        """Whether reverting does anything."""
        method: Any = inspect.unwrap(type(self).revert)
        return method is not taskflow_task.Task.revert

    def holds(self, result: Any) -> bool:
        """Tell whether what a finished ``execute`` left is still there.

        Asked when a run starts, of atoms that an unfinished one needs; if it
        is gone (another host, a cleaned disk) the atom runs again.
        """
        return True


class TaskType:
    """A kind of task. The first line of its docstring is its description.

    :cvar api: the contract it was written for
    :cvar version: ``(major, minor)``; raise the major one when running tasks
        can no longer be resumed: they wait for the release they began with
    :cvar input_schema: JSON Schema (2020-12) of the input
    :cvar result_schema: JSON Schema of what :meth:`result` gives
    :cvar secret_inputs: top-level keys of the input that are secret: no task
        shows them, and atoms get each as a :class:`ports.Secret`
    :cvar optional_steps: what ``skip_steps`` may leave out
    :cvar engine: ``serial``, or ``parallel`` for graphs with independent arms
    :cvar time_limit: seconds that a task may take from its first claim on,
        pauses left out; the option ``time_limit`` has precedence
    :cvar renamed_atoms: old names of atoms to those that :meth:`build` gives
        them now; tasks that began with the old ones go on
    :cvar on_stall: what happens to a task that stalls: ``wait``, ``restart``,
        which is an attempt, or ``fail`` with the code ``stalled``
    :cvar waits_for_locks: whether a task stays in the queue until it can have
        its locks, instead of being refused
    :cvar requires_labels: that a conductor needs to run it, such as
        ``zone=periphery``; the option ``placement`` adds to them
    :cvar deprecated: when the type will go and what to use instead; empty
        while it stays. Tasks that use it, or an input whose schema says
        ``"deprecated": True``, say so in their timeline, and the doctor does
    """

    api: ClassVar[int] = API
    version: ClassVar[tuple[int, int]] = (1, 0)
    input_schema: ClassVar[Mapping[str, Any]]
    result_schema: ClassVar[Mapping[str, Any]]
    secret_inputs: ClassVar[Sequence[str]] = ()
    optional_steps: ClassVar[Sequence[str]] = ()
    engine: ClassVar[Literal["serial", "parallel"]] = "serial"
    waits_for_locks: ClassVar[bool] = False
    time_limit: ClassVar[int | None] = None
    renamed_atoms: ClassVar[Mapping[str, str]] = {}
    on_stall: ClassVar[Literal["wait", "restart", "fail"]] = "wait"
    requires_labels: ClassVar[Sequence[str]] = ()
    deprecated: ClassVar[str] = ""

    def plan(self, ctx: context.PlanContext) -> dict[str, Any]:
        """Decide at submit what a later change of configuration must not.

        :returns: small JSON, stored with the task; an ``image_id`` in it is
            that of the image the task is about, where it makes none
        :raises InvalidInput: for what a schema cannot say
        """
        return {}

    def locks(self, ctx: context.PlanContext) -> Sequence[task.Lock]:
        """Say what the task keeps others from, from its submit to its end.

        Whoever submits a task whose locks do not go with those of a living
        one is refused, by the name of that one, or waits for it: see
        ``waits_for_locks``.
        """
        return ()

    def build(self, ctx: context.BuildContext) -> taskflow_flow.Flow:
        """Build the graph: a pure function of ``ctx.input`` and ``ctx.plan``.

        Each top-level key of the input can be required by name, also those
        that are secret.
        """
        raise NotImplementedError(f"{type(self).__name__} has no build()")

    def result(self, results: Mapping[str, Any]) -> dict[str, Any]:
        """Give the task's result from what the atoms provided, by name."""
        return {}
