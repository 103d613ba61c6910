# SPDX-License-Identifier: Apache-2.0
"""How long a task that has ended is kept: by its type and its outcome."""

from collections.abc import Iterable
import dataclasses

from oslo_config import cfg

from glance_tasks import choices
from glance_tasks import context
from glance_tasks import ports
from glance_tasks import task
from glance_tasks import verdicts
from glance_tasks import workdir
from glance_tasks.transfer import cache as staging_cache

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


def may_help(failure: task.Failure | None) -> bool:
    """Tell whether a retry may help, for which what was brought is kept."""
    return (
        failure is not None
        and failure.retryable
        and failure.code != verdicts.CANCELLED
    )


def settle_cache(
    cache: ports.StagingCache | None,
    area: workdir.WorkArea,
    ended: task.Task,
    failure: task.Failure | None,
) -> bool:
    """Leave in the cache only what a retry of a task could use.

    :param area: with the directory of what was put by for one
    :returns: whether something was kept just now
    """
    if cache is None:
        return False
    home = area.path(ended.id, ended.fence) / staging_cache.KEPT
    hopeful = may_help(failure)
    kept = hopeful and cache.keep(ended.id, home)
    if hopeful and not kept:
        return False
    # What this one took is with it, or of no use any more.
    earlier = [*ended.plan.get(context.REUSES, ()), ended.retry_of]
    for task_id in (*earlier, None if kept else ended.id):
        if task_id is not None:
            cache.sweep(task_id)
    return kept
