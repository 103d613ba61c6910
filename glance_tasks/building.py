# SPDX-License-Identifier: Apache-2.0
"""From a stored task to its graph: at submit, in a run, in a picture."""

from collections.abc import Mapping
import dataclasses
import json
import pathlib
from typing import Any
from typing import cast

from taskflow import flow as taskflow_flow
from taskflow.patterns import linear_flow

from glance_tasks import context
from glance_tasks import exceptions
from glance_tasks import graph
from glance_tasks import location_speed
from glance_tasks import plugin
from glance_tasks import ports
from glance_tasks import registry
from glance_tasks import schema
from glance_tasks import task
from glance_tasks.persistence import flows

#: The name under which a task's result is checkpointed.
RESULT = "task_result"


@dataclasses.dataclass(frozen=True, slots=True)
class Surroundings:
    """The collaborators that every run of this engine shares."""

    catalogue: ports.ImageCatalog
    store: ports.ImageStore
    fetcher: ports.Fetcher
    sender: ports.Sender
    staging: ports.Staging
    limits: context.Limits
    stores: Mapping[str, ports.ImageStore] = dataclasses.field(
        default_factory=dict
    )
    scrubbing: context.Scrubbing = dataclasses.field(
        default_factory=context.Scrubbing
    )
    projects: ports.ProjectDirectory | None = None
    temp_urls: ports.TempUrls | None = None
    cache: ports.StagingCache | None = None
    speeds: location_speed.SpeedBook = dataclasses.field(
        default_factory=location_speed.SpeedBook
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Built:
    """A task's flow with its graph, ready to be loaded or drawn."""

    task_type: plugin.TaskType
    flow: taskflow_flow.Flow
    graph: graph.Graph

    @property
    def type_version(self) -> str:
        """The version of the task type, ``major.minor``."""
        return ".".join(str(part) for part in self.task_type.version)

    @property
    def stored(self) -> flows.StoredFlow:
        """What is kept of it, to be compared by later runs."""
        return flows.StoredFlow(
            self.graph.fingerprint,
            self.type_version,
            json.dumps(graph.shape(self.graph)),
        )


class CheckResult(plugin.Atom):
    """Make the task's result and check it, before success is recorded.

    The last atom of every flow: a result that its type's schema refuses fails
    the task while everything can still be undone.

    There is nothing to revert.
    """

    behaviour = "idempotent"
    default_provides = RESULT
    reads_artifacts = False

    def __init__(
        self,
        task_type: plugin.TaskType,
        ctx: context.BuildContext,
        **kwargs: Any,
    ) -> None:
        """Check the results of ``task_type``."""
        super().__init__(ctx, **kwargs)
        self._task_type = task_type

    def execute(self, **results: Any) -> Any:
        """Give the result the task will show."""
        result = self._task_type.result(results)
        if not isinstance(result, dict):
            raise exceptions.TaskError(
                f"the result is a {type(result).__name__}; expected a dict",
                code="result_invalid",
            )
        try:
            schema.validate(self._task_type.result_schema, result)
        except exceptions.InvalidInput as error:
            raise exceptions.TaskError(
                f"the result does not fit its schema: {error}",
                code="result_invalid",
            ) from error
        return result


def build(
    types: registry.Registry, shared: Surroundings, held: task.Task, **run: Any
) -> Built:
    """Build the flow of a task, with the result's check at its end.

    :param run: what only a run has: work_dir, progress, stop, fence, events;
        left out, the flow can be drawn and compared, not executed
    :raises TaskTypeNotFound: when its type or a check is not installed
    :raises BrokenPlugin: when its type, or its graph, breaks the contract
    """
    task_type = types.get(held.type)
    nothing: dict[str, Any] = {
        "work_dir": pathlib.Path(),
        "progress": None,
        "stop": None,
        "fence": None,
        "events": None,
    }
    ctx = context.BuildContext(
        task=held,
        catalogue=shared.catalogue,
        store=shared.store,
        stores=shared.stores,
        projects=shared.projects,
        temp_urls=shared.temp_urls,
        speeds=shared.speeds,
        fetcher=shared.fetcher,
        sender=shared.sender,
        staging=shared.staging,
        cache=shared.cache,
        limits=shared.limits,
        scrubbing=shared.scrubbing,
        check_types=types.checks(held.plan.get("checks", ())),
        **cast(Any, nothing | run),
    )
    inner = _flow_of(task_type, ctx)
    flow = linear_flow.Flow(held.type).add(
        inner, CheckResult(task_type, ctx, requires=inner.provides)
    )
    drawn = graph.of_flow(flow)
    missing = set(drawn.requires) - set(injected(held))
    if missing:
        raise exceptions.BrokenPlugin(
            f"the flow of {held.type!r} needs {', '.join(sorted(missing))};"
            " expected it in the input, the plan, or from an atom"
        )
    return Built(task_type, flow, drawn)


def injected(held: task.Task) -> dict[str, Any]:
    """Give what atoms may require by name besides each other's results.

    For a secret there is None, of which a run makes the secret.
    """
    secrets = dict.fromkeys(held.plan.get("secrets", ()))
    return {**held.input, **held.plan, **secrets}


def _flow_of(
    task_type: plugin.TaskType, ctx: context.BuildContext
) -> taskflow_flow.Flow:
    try:
        flow = task_type.build(ctx)
    except exceptions.GlanceTasksError:
        raise
    except (Exception, SystemExit) as error:  # a plugin raises anything
        raise exceptions.BrokenPlugin(
            f"build() of {ctx.task.type!r} raised {type(error).__name__}:"
            f" {error}"
        ) from error
    if not isinstance(flow, taskflow_flow.Flow):
        raise exceptions.BrokenPlugin(
            f"build() of {ctx.task.type!r} gave {type(flow).__name__};"
            " expected a flow"
        )
    _give_context(flow, ctx)
    return flow


def _give_context(flow: taskflow_flow.Flow, ctx: context.BuildContext) -> None:
    """Let atoms made without a context look at the stop signal too."""
    for node, _ in flow.iter_nodes():
        if isinstance(node, taskflow_flow.Flow):
            _give_context(node, ctx)
        elif isinstance(node, plugin.Atom) and node.ctx is None:
            node.ctx = ctx
