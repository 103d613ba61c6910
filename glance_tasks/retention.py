# SPDX-License-Identifier: Apache-2.0
"""How long a task that has ended is kept: by its type and its outcome."""

from collections.abc import Iterable
import dataclasses

from oslo_config import cfg

from glance_tasks import exceptions

_HOUR = 3600.0


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
        success_of=_by_type("time_to_live_of", group.time_to_live_of),
        failure_of=_by_type(
            "failure_time_to_live_of", group.failure_time_to_live_of
        ),
    )


def _by_type(option: str, pairs: Iterable[str]) -> dict[str, float]:
    """Give seconds by the types' names, from ``TYPE:HOURS``."""
    found = {}
    for pair in pairs:
        name, _, hours = pair.rpartition(":")
        try:
            seconds = float(hours) * _HOUR
        except ValueError:
            seconds = -1.0
        if not (name and 0 <= seconds <= _LONGEST):
            raise exceptions.ConfigurationError(
                f"{option} has {pair!r}; expected TYPE:HOURS, such as"
                " import:24"
            )
        found[name] = seconds
    return found


_LONGEST = 876000 * _HOUR
