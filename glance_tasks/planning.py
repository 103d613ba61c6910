# SPDX-License-Identifier: Apache-2.0
"""From what was asked for to a task: checked, planned, nothing written yet.

The plan holds what a later change of configuration must not change: ids, the
steps that are left out, the checks that are added, and what the type decides.
"""

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import dataclasses
import datetime
import functools
import math
from typing import Any
import uuid

from oslo_config import cfg

from glance_tasks import building
from glance_tasks import choices
from glance_tasks import context
from glance_tasks import deprecations
from glance_tasks import exceptions
from glance_tasks import plugin
from glance_tasks import ports
from glance_tasks import registry
from glance_tasks import schema
from glance_tasks import task
from glance_tasks.secrets import inputs

_MAX_INPUT_BYTES = 256 * 1024

# Of so many retries in a row none has taken what the first had brought.
_MAX_REUSED = 8

# A year: what takes longer has no limit.
_LONGEST_S = 366 * 86400.0


def draft(
    type_name: str,
    task_input: Mapping[str, Any],
    who: task.Requester | None,
    owner: str | None = None,
) -> task.Task:
    """Give a task with nothing decided yet.

    :param who: None is the operator
    :param owner: whose it is; the requester's project when None
    :raises InvalidInput: when the input is no JSON object, or too large, or
        when the requester names another project than its own
    """
    if not isinstance(task_input, Mapping):
        raise exceptions.InvalidInput([("", "is no JSON object")])
    if who is not None and owner not in (None, who.project_id):
        raise exceptions.InvalidInput(
            [("owner", f"is not the requester's project {who.project_id!r}")]
        )
    project = who.project_id if who else owner or ""
    task.check_texts(owner=project)
    now = datetime.datetime.now(datetime.UTC)
    return task.Task(
        id=str(uuid.uuid4()),
        type=type_name,
        status=task.Status.PENDING,
        phase=task.Phase.QUEUED,
        owner=project,
        user_id=who.user_id if who else None,
        request_id=who.request_id if who else None,
        input=_plain_input(task_input),
        created_at=now,
        updated_at=now,
    )


def again(
    types: registry.Registry,
    old: task.Task,
    secrets: Mapping[str, Any],
    who: task.Requester | None,
    *,
    reuse: bool,
) -> task.Task:
    """Give the draft of a retry; see :meth:`TaskEngine.retry`."""
    if old.status is not task.Status.FAILURE:
        raise exceptions.TaskConflict(
            f"task {old.id} is {old.status}; only a failed task can be retried"
        )
    task_type = types.get(old.type)
    given = inputs.again(task_type, old, secrets)
    drafted = draft(old.type, given, who, old.owner)
    return dataclasses.replace(
        drafted,
        user_id=who.user_id if who else old.user_id,
        retry_of=old.id,
        image_id=old.image_id or drafted.image_id,
        priority=old.priority,
        plan=_reusing(old) if reuse else {},
        # The old one's traces carry its fence; ours must be larger.
        fence=old.fence,
    )


def _reusing(old: task.Task) -> dict[str, Any]:
    """Give the beginning of a plan: whose files the retry may take.

    A retry that died before it took any leaves them where they are.
    """
    ids = [old.id, *old.plan.get(context.REUSES, ())]
    return {context.REUSES: ids[:_MAX_REUSED]}


def is_same(
    types: registry.Registry, drafted: task.Task, known: task.Task
) -> bool:
    """Tell whether a draft asks for what a task was submitted for.

    Of secrets the names are compared: what they were is known no more.
    """
    if drafted.type != known.type:
        return False
    shown, secrets = inputs.split(types.get(drafted.type), drafted.input)
    return shown == known.input and sorted(secrets) == known.plan["secrets"]


@dataclasses.dataclass(frozen=True, slots=True)
class Planned:
    """A task that could be built, with what is written beside it.

    :ivar secrets: of its input, by name; the task does not have them
    :ivar waits: whether it waits for its locks where it cannot have them
    :ivar deprecated: what it uses that is to go, a line each
    """

    new: task.Task
    secrets: Mapping[str, Any] = dataclasses.field(repr=False)
    locks: tuple[task.Lock, ...]
    waits: bool
    deprecated: list[str]


def plan(
    types: registry.Registry,
    shared: building.Surroundings,
    conf: cfg.ConfigOpts,
    drafted: task.Task,
) -> Planned:
    """Give the task with its plan, once its graph could be built.

    :raises InvalidInput: with a pointer to each field that does not fit
    :raises TaskTypeNotFound: when its type, or a check, is not installed
    :raises BrokenPlugin: when its type cannot be used
    :raises ConfigurationError: when ``skip_steps`` names what must not be
    """
    task_type = types.get(drafted.type)
    drafted, secrets = _checked(task_type, drafted)
    skipped = _skipped(conf, drafted.type, task_type)
    drafted = dataclasses.replace(
        drafted, image_id=drafted.image_id or str(uuid.uuid4())
    )
    ctx = _context(shared, drafted, skipped, secrets)
    own = _own_plan(task_type, drafted.type, ctx)
    own.pop(context.REUSES, None)
    decided = {
        "image_id": drafted.image_id,
        **own,
        **drafted.plan,
        "checks": _checks(conf, drafted.type, types),
        "skip_steps": sorted(skipped),
        "secrets": sorted(secrets),
    }
    planned = dataclasses.replace(
        drafted,
        plan=decided,
        image_id=decided["image_id"],
        time_limit=_time_limit(conf, drafted.type, task_type),
    )
    # A graph that cannot be built must not become a task.
    building.build(types, shared, planned)
    wanted = _locks(task_type, drafted.type, ctx)
    old = deprecations.of_task(
        drafted.type, task_type, {**drafted.input, **secrets}
    )
    return Planned(planned, secrets, wanted, task_type.waits_for_locks, old)


def _checked(
    task_type: plugin.TaskType, drafted: task.Task
) -> tuple[task.Task, dict[str, Any]]:
    """Give the draft without its secrets, and these."""
    schema.validate(
        task_type.input_schema,
        drafted.input,
        secret=task_type.secret_inputs,
        hidden=inputs.hidden(task_type, drafted.input),
    )
    shown, secrets = inputs.split(task_type, drafted.input)
    inputs.check(secrets)
    return dataclasses.replace(drafted, input=shown), secrets


def _locks(
    task_type: plugin.TaskType, type_name: str, ctx: context.PlanContext
) -> tuple[task.Lock, ...]:
    """Give the locks that a planned task is to have.

    :raises BrokenPlugin: when its type fails to say, or says nonsense
    """
    with _blaming(f"locks() of {type_name!r}"):
        wanted = tuple(task_type.locks(ctx))
    for lock in wanted:
        if not (isinstance(lock, task.Lock) and 0 < len(lock.resource) < 256):
            raise exceptions.BrokenPlugin(
                f"locks() of {type_name!r} gave {str(lock)[:300]}; expected"
                " a Lock with a resource of 1 to 255 characters"
            )
    return wanted


def _context(
    shared: building.Surroundings,
    drafted: task.Task,
    skipped: Iterable[str],
    secrets: Mapping[str, Any],
) -> context.PlanContext:
    return context.PlanContext(
        task_id=drafted.id,
        owner=drafted.owner,
        input=drafted.input,
        image_id=drafted.image_id or "",
        skip_steps=frozenset(skipped),
        fetcher=shared.fetcher,
        sender=shared.sender,
        limits=shared.limits,
        secrets={
            name: ports.Secret(functools.partial(dict.get, secrets, name))
            for name in secrets
        },
        catalogue=shared.catalogue,
        store_names=tuple(shared.stores),
        temp_urls=shared.temp_urls,
    )


def _own_plan(
    task_type: plugin.TaskType, type_name: str, ctx: context.PlanContext
) -> dict[str, Any]:
    whose = f"plan() of {type_name!r}"
    with _blaming(whose):
        own = dict(task_type.plan(ctx))
    try:
        return dict(plugin.plain(own, whose))
    except exceptions.TaskError as error:
        raise exceptions.BrokenPlugin(str(error)) from error


@contextlib.contextmanager
def _blaming(whose: str) -> Iterator[None]:
    try:
        yield
    except exceptions.InvalidInput:
        raise
    except exceptions.TaskError as error:
        raise exceptions.InvalidInput([("", str(error))]) from error
    except (Exception, SystemExit) as error:  # a plugin raises anything
        raise exceptions.BrokenPlugin(
            f"{whose} raised {type(error).__name__}: {error}"
        ) from error


def _time_limit(
    conf: cfg.ConfigOpts, type_name: str, task_type: plugin.TaskType
) -> int | None:
    """Give how many seconds the task may take; None is without end."""
    pairs = conf.glance_tasks.time_limit
    chosen = choices.numbers("time_limit", pairs, most=_LONGEST_S)
    seconds = chosen.get(type_name, task_type.time_limit or 0)
    return math.ceil(seconds) or None


def _checks(
    conf: cfg.ConfigOpts, type_name: str, types: registry.Registry
) -> list[str]:
    names = sorted(choices.names(conf.glance_tasks.checks, type_name))
    try:
        types.checks(names)
    except (exceptions.TaskTypeNotFound, exceptions.BrokenPlugin) as error:
        raise exceptions.ConfigurationError(f"checks: {error}") from error
    return names


def _skipped(
    conf: cfg.ConfigOpts, type_name: str, task_type: plugin.TaskType
) -> set[str]:
    skipped = choices.names(conf.glance_tasks.skip_steps, type_name)
    unknown = skipped - set(task_type.optional_steps)
    if unknown:
        raise exceptions.ConfigurationError(
            f"skip_steps names {', '.join(sorted(unknown))}, which"
            f" {type_name!r} cannot leave out; optional are:"
            f" {', '.join(task_type.optional_steps) or 'none'}"
        )
    return skipped


def _plain_input(task_input: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return dict(plugin.plain(dict(task_input), "input", _MAX_INPUT_BYTES))
    except exceptions.TaskError as error:
        raise exceptions.InvalidInput([("", str(error))]) from error
