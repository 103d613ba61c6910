# SPDX-License-Identifier: Apache-2.0
"""From what was asked for to a task: checked, planned, nothing written yet.

The plan holds what a later change of configuration must not change: ids, the
steps that are left out, the checks that are added, and what the type decides.
"""

from collections.abc import Iterable
from collections.abc import Mapping
import dataclasses
import datetime
from typing import Any
import uuid

from oslo_config import cfg

from glance_tasks import building
from glance_tasks import exceptions
from glance_tasks import plugin
from glance_tasks import ports
from glance_tasks import registry
from glance_tasks import schema
from glance_tasks import task
from glance_tasks.secrets import inputs

_MAX_INPUT_BYTES = 256 * 1024


class AnySource:
    """A fetcher for drawings: an example's address need not be allowed."""

    def preflight(self, uri: str) -> None:
        """Allow it."""

    def fetch(self, uri: str, *args: Any, **kwargs: Any) -> ports.Fetched:
        """Refuse: a drawing fetches nothing."""
        raise exceptions.FetchError(f"{uri} is only drawn")


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


def plan(
    types: registry.Registry,
    shared: building.Surroundings,
    conf: cfg.ConfigOpts,
    drafted: task.Task,
) -> tuple[task.Task, dict[str, Any]]:
    """Give the task with its plan, once its graph could be built.

    Its secrets come apart from it, by name.

    :raises InvalidInput: with a pointer to each field that does not fit
    :raises TaskTypeNotFound: when its type, or a check, is not installed
    :raises BrokenPlugin: when its type cannot be used
    :raises ConfigurationError: when ``skip_steps`` names what must not be
    """
    task_type = types.get(drafted.type)
    drafted, secrets = _checked(task_type, drafted)
    skipped = _skipped(conf, drafted.type, task_type)
    image_id = drafted.image_id or str(uuid.uuid4())
    own = _own_plan(
        task_type,
        drafted.type,
        plugin.PlanContext(
            input=drafted.input,
            image_id=image_id,
            skip_steps=frozenset(skipped),
            fetcher=shared.fetcher,
            limits=shared.limits,
            secrets=frozenset(secrets),
        ),
    )
    checks = _checks(conf, drafted.type, types)
    decided = {
        **own,
        "image_id": image_id,
        "checks": checks,
        "skip_steps": sorted(skipped),
        "secrets": sorted(secrets),
    }
    planned = dataclasses.replace(drafted, plan=decided, image_id=image_id)
    # A graph that cannot be built must not become a task.
    building.build(types, shared, planned)
    return planned, secrets


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


def _own_plan(
    task_type: plugin.TaskType, type_name: str, ctx: plugin.PlanContext
) -> dict[str, Any]:
    whose = f"plan() of {type_name!r}"
    try:
        own = dict(task_type.plan(ctx))
    except exceptions.InvalidInput:
        raise
    except exceptions.TaskError as error:
        raise exceptions.InvalidInput([("", str(error))]) from error
    except (Exception, SystemExit) as error:  # a plugin raises anything
        raise exceptions.BrokenPlugin(
            f"{whose} raised {type(error).__name__}: {error}"
        ) from error
    try:
        return dict(plugin.plain(own, whose))
    except exceptions.TaskError as error:
        raise exceptions.BrokenPlugin(str(error)) from error


def _checks(
    conf: cfg.ConfigOpts, type_name: str, types: registry.Registry
) -> list[str]:
    names = sorted(chosen(conf.glance_tasks.checks, type_name))
    try:
        types.checks(names)
    except (exceptions.TaskTypeNotFound, exceptions.BrokenPlugin) as error:
        raise exceptions.ConfigurationError(f"checks: {error}") from error
    return names


def _skipped(
    conf: cfg.ConfigOpts, type_name: str, task_type: plugin.TaskType
) -> set[str]:
    skipped = chosen(conf.glance_tasks.skip_steps, type_name)
    unknown = skipped - set(task_type.optional_steps)
    if unknown:
        raise exceptions.ConfigurationError(
            f"skip_steps names {', '.join(sorted(unknown))}, which"
            f" {type_name!r} cannot leave out; optional are:"
            f" {', '.join(task_type.optional_steps) or 'none'}"
        )
    return skipped


def chosen(pairs: Iterable[str], type_name: str) -> set[str]:
    """Give what options of the form ``TYPE:NAME`` name for one type.

    :raises ConfigurationError: when one is not of that form
    """
    names = set()
    for pair in pairs:
        kind, _, name = pair.partition(":")
        if not (kind and name):
            raise exceptions.ConfigurationError(
                f"{pair!r} is not of the form TYPE:NAME"
            )
        if kind == type_name:
            names.add(name)
    return names


def _plain_input(task_input: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return dict(plugin.plain(dict(task_input), "input", _MAX_INPUT_BYTES))
    except exceptions.TaskError as error:
        raise exceptions.InvalidInput([("", str(error))]) from error
