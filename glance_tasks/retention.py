# SPDX-License-Identifier: Apache-2.0
"""How long a task that has ended is kept: by its type and its outcome."""

from collections.abc import Iterable
import dataclasses

from oslo_config import cfg

from glance_tasks import choices
from glance_tasks import context
from glance_tasks import ports
from glance_tasks import task

_HOUR = 3600.0
# A hundred years, as of the options for all types.
_MOST_HOURS = 876000.0


@dataclasses.dataclass(frozen=True, slots=True)
class Retention:
    """Seconds until tasks that have ended may be reaped, by their types.

    A failure is there to be read: it is never gone before a success.
    """

    success: float
    failure: float
    success_of: dict[str, float]
    failure_of: dict[str, float]

    def seconds(self, type_name: str, *, failed: bool) -> float:
        """Give how long a task is kept that ends now."""
        success = self.success_of.get(type_name, self.success)
        if not failed:
            return success
        return max(success, self.failure_of.get(type_name, self.failure))


def configured(conf: cfg.ConfigOpts) -> Retention:
    """Give what the configuration says.

    :raises ConfigurationError: when an option is malformed
    """
    group = conf.glance_tasks
    return Retention(
        success=group.task_time_to_live * _HOUR,
        failure=(group.failure_time_to_live or 0.0) * _HOUR,
        success_of=_seconds("time_to_live_of", group.time_to_live_of),
        failure_of=_seconds(
            "failure_time_to_live_of", group.failure_time_to_live_of
        ),
    )


def _seconds(option: str, pairs: Iterable[str]) -> dict[str, float]:
    hours = choices.numbers(option, pairs, most=_MOST_HOURS)
    return {name: number * _HOUR for name, number in hours.items()}


def sweep_cache(
    cache: ports.StagingCache | None,
    ended: task.Task,
    failure: task.Failure | None,
) -> None:
    """Leave in the cache only what a retry of a task could still use."""
    hopeful = failure and failure.retryable and failure.code != "cancelled"
    if cache is None or hopeful:
        return
    for task_id in (ended.id, *ended.plan.get(context.REUSES, ())):
        cache.sweep(task_id)
