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
import dataclasses
import errno
import functools
import inspect
import json
import pathlib
from typing import Any
from typing import ClassVar
from typing import Literal

from taskflow import flow as taskflow_flow
from taskflow import task as taskflow_task

from glance_tasks import exceptions
from glance_tasks import location_speed
from glance_tasks import locations
from glance_tasks import ports
from glance_tasks import redaction
from glance_tasks import task

#: The version of this contract. A type made for another one is refused.
API = 1

#: How an atom comes through being executed again after a crash.
Behaviour = Literal["idempotent", "resumable", "compensated"]

# Results are checkpoints: they are written in one statement and read whole at
# every resume. Anything larger belongs in an artifact.
MAX_RESULT_BYTES = 64 * 1024

# To compare two lists jsonschema 4.26 takes three frames of Python's stack a
# level; at 300 levels it is used up.
_MAX_DEPTH = 100


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """What one task may use at most. Bytes and seconds.

    :ivar max_bytes: of one fetched file
    :ivar max_virtual_size: of the disk inside an image
    :ivar convert_min_rate: bytes of virtual disk per second; a conversion
        slower than that over its whole length is ended
    :ivar convert_memory: address space of a qemu-img or qemu-nbd process
    :ivar unpack_max_bytes: of one file that comes out of an archive
    :ivar unpack_max_ratio: bytes that come out for each byte of the archive
    :ivar unpack_memory: of a decompressor
    :ivar delete_delay: for which a deletion can be undone, at the least
    """

    max_bytes: int = 1 << 40
    max_virtual_size: int = 1 << 40
    convert_min_rate: int = 4 << 20
    convert_memory: int = 4 << 30
    unpack_max_bytes: int = 1 << 40
    unpack_max_ratio: int = 2_000
    unpack_memory: int = 128 << 20
    delete_delay: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Scrubbing:
    """What is taken out of images that leave. Bytes and seconds.

    :ivar keep_properties: patterns of the names of those that may leave
    :ivar remove_properties: of those that may not, though they are kept
    :ivar command: the operator's program and its arguments; none of it when
        empty
    :ivar command_timeout: wall clock
    :ivar command_processor_time: of one process of it
    :ivar command_memory: address space of one process
    """

    keep_properties: tuple[str, ...] = ("*",)
    remove_properties: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    command_timeout: float = 7200.0
    command_processor_time: float = 3600.0
    command_memory: int = 4 << 30


@dataclasses.dataclass(frozen=True, slots=True)
class PlanContext:
    """What a type may look at while it plans a task, at submit.

    :ivar input: without its secrets, like that of the task
    :ivar owner: the project whose task it is; empty for the operator's own
    :ivar image_id: chosen by the engine for an image that the task makes; a
        retry keeps its predecessor's
    :ivar skip_steps: optional steps the deployer left out
    :ivar secrets: those of the input, by name
    :ivar store_names: of the stores that have names, the default one first
    """

    task_id: str
    owner: str
    input: Mapping[str, Any]
    image_id: str
    skip_steps: frozenset[str]
    fetcher: ports.Fetcher
    sender: ports.Sender
    limits: Limits
    catalogue: ports.ImageCatalog
    store_names: tuple[str, ...] = ()
    secrets: Mapping[str, ports.Secret] = dataclasses.field(
        default_factory=dict
    )


@dataclasses.dataclass(frozen=True, slots=True)
class BuildContext:
    """A task and the collaborators of its atoms, for one run.

    Graphs are also built to be drawn and compared, so constructors of atoms
    only keep the context; they call nothing in it.

    :ivar work_dir: this run's own directory; it exists while atoms run
    :ivar plan: what :meth:`TaskType.plan` gave at submit, plus ``image_id``,
        ``checks``, ``skip_steps`` and ``secrets``, the names of those there
        are
    :ivar hidden: what of the secrets was revealed, which no result may hold
    :ivar check_types: the check atoms named in the plan, by name
    :ivar store: where new images go: the default one
    :ivar stores: all by their names, the default one first; empty where
        there is one without a name
    :ivar projects: who knows which there are; None when nobody does
    :ivar speeds: what this node knows of how fast the stores are
    """

    task: task.Task
    work_dir: pathlib.Path
    catalogue: ports.ImageCatalog
    store: ports.ImageStore
    fetcher: ports.Fetcher
    sender: ports.Sender
    progress: ports.Progress
    stop: ports.StopSignal
    fence: ports.Fence
    events: ports.EventLog
    limits: Limits = dataclasses.field(default_factory=Limits)
    scrubbing: Scrubbing = dataclasses.field(default_factory=Scrubbing)
    check_types: Mapping[str, "type[Atom]"] = dataclasses.field(
        default_factory=dict
    )
    hidden: redaction.Hidden = dataclasses.field(
        default_factory=redaction.Hidden
    )
    stores: Mapping[str, ports.ImageStore] = dataclasses.field(
        default_factory=dict
    )
    projects: ports.ProjectDirectory | None = None
    speeds: location_speed.SpeedBook = dataclasses.field(
        default_factory=location_speed.SpeedBook
    )

    @property
    def input(self) -> Mapping[str, Any]:
        """The task's validated input, without its secrets."""
        return self.task.input

    @property
    def plan(self) -> Mapping[str, Any]:
        """What was decided at submit."""
        return self.task.plan

    @property
    def store_name(self) -> str:
        """The default store's name; empty where there is only that one."""
        return next(iter(self.stores), "")

    def store_of(self, location: locations.Location) -> ports.ImageStore:
        """Give the store that a location is in.

        :raises StoreError: when it is not configured (any more)
        """
        if not location.store:
            return self.store
        try:
            return self.stores[location.store]
        except KeyError:
            raise exceptions.StoreError(
                f"there is no store {location.store!r} here; expected one of"
                f" {', '.join(self.stores) or 'none with a name'}"
            ) from None

    def checks(self, image_file: str) -> "list[Atom]":
        """Make the check steps the deployer added, to be put into a flow.

        :param image_file: the name under which the flow provides the artifact
            that the checks are to look at
        """
        return [
            check(
                self, name=f"Check-{name}", rebind={"image_file": image_file}
            )
            for name, check in self.check_types.items()
        ]


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
    :cvar final: whether it does what nothing can undo; a task that fails from
        there on is one that a retry finishes
    """

    behaviour: ClassVar[Behaviour]
    phase: ClassVar[task.Phase] = task.Phase.PROCESSING
    in_work_dir: ClassVar[bool] = False
    reads_artifacts: ClassVar[bool] = True
    final: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # Also what a mixin brings that is no atom itself.
        for name, undoes in (("execute", False), ("revert", True)):
            method = getattr(cls, name)
            if not hasattr(method, "is_guarded"):
                setattr(cls, name, guarded(method, undoes))

    def __init__(
        self,
        ctx: BuildContext | None = None,
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

    @property
    def run(self) -> BuildContext:
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
        can no longer be resumed
    :cvar input_schema: JSON Schema (2020-12) of the input
    :cvar result_schema: JSON Schema of what :meth:`result` gives
    :cvar secret_inputs: top-level keys of the input that are secret: no task
        shows them, and atoms get each as a :class:`ports.Secret`
    :cvar optional_steps: what ``skip_steps`` may leave out
    :cvar engine: ``serial``, or ``parallel`` for graphs with independent arms
    """

    api: ClassVar[int] = API
    version: ClassVar[tuple[int, int]] = (1, 0)
    input_schema: ClassVar[Mapping[str, Any]]
    result_schema: ClassVar[Mapping[str, Any]]
    secret_inputs: ClassVar[Sequence[str]] = ()
    optional_steps: ClassVar[Sequence[str]] = ()
    engine: ClassVar[Literal["serial", "parallel"]] = "serial"

    def plan(self, ctx: PlanContext) -> dict[str, Any]:
        """Decide at submit what a later change of configuration must not.

        :returns: small JSON, stored with the task; an ``image_id`` in it is
            that of the image the task is about, where it makes none
        :raises InvalidInput: for what a schema cannot say
        """
        return {}

    def locks(self, ctx: PlanContext) -> Sequence[task.Lock]:
        """Say what the task keeps others from, from its submit to its end.

        Whoever submits a task whose locks do not go with those of a living
        one is refused, by the name of that one.
        """
        return ()

    def build(self, ctx: BuildContext) -> taskflow_flow.Flow:
        """Build the graph: a pure function of ``ctx.input`` and ``ctx.plan``.

        Each top-level key of the input can be required by name, also those
        that are secret.
        """
        raise NotImplementedError(f"{type(self).__name__} has no build()")

    def result(self, results: Mapping[str, Any]) -> dict[str, Any]:
        """Give the task's result from what the atoms provided, by name."""
        return {}
