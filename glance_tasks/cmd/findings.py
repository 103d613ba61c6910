# SPDX-License-Identifier: Apache-2.0
"""What the doctor finds in the queue: clocks, conductors, tasks that wait."""

from collections.abc import Iterator
import dataclasses
import time

from glance_tasks import engine as task_engine
from glance_tasks import presence
from glance_tasks import upgrades
from glance_tasks.persistence import queue

# A conductor looks every poll_interval, a second by default; after this long
# nobody does.
_UNSEEN_S = 60.0

# Events are dated by hosts, all else by the database.
_SKEW_S = 2.0


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """What one check found; ``state`` is ok, warning or error."""

    check: str
    state: str
    text: str


def of_queue(engine: task_engine.TaskEngine) -> Iterator[Finding]:
    """Give what is found.

    :raises DatabaseUnreachable: when the database is away
    """
    before = time.time()
    figures = queue.figures(engine.database)
    yield _clock(figures.clock - (before + time.time()) / 2)
    yield _conductors(engine, figures)
    yield from _tasks(engine)


def _clock(skew: float) -> Finding:
    if abs(skew) <= _SKEW_S:
        return Finding("clock", "ok", "this host's is the database's")
    ahead = "behind" if skew > 0 else "ahead of"
    return Finding(
        "clock",
        "warning",
        f"this host's is {abs(skew):.0f} s {ahead} the database's: timelines"
        " are dated wrongly, and signed addresses end too soon or too late",
    )


def _conductors(
    engine: task_engine.TaskEngine, figures: queue.Queue
) -> Finding:
    if presence.any_alive(engine.area.root) or figures.held:
        text = f"{figures.held} tasks are worked on"
        if figures.lost:
            text += f", {figures.lost} are being taken over"
        return Finding("conductors", "ok", text)
    late = figures.waiting_s > _UNSEEN_S
    if not (late or figures.lost):
        return Finding("conductors", "ok", "none is here, and nothing waits")
    return Finding(
        "conductors",
        "error",
        "no conductor gives a sign of life, and tasks wait for"
        f" {figures.waiting_s:.0f} s: start 'glance-tasks conductor run'",
    )


def _tasks(engine: task_engine.TaskEngine) -> Iterator[Finding]:
    installed = set(engine.registry.names())
    living = queue.living_types(engine.database)
    for name, count in sorted(living.items()):
        if name not in installed:
            yield Finding(
                "tasks",
                "error",
                f"{count} of type {name!r} wait, which is not installed here",
            )
    stranded = queue.set_aside(engine.database, upgrades.NEEDS_VERSION)
    if stranded:
        yield Finding(
            "tasks",
            "warning",
            "wait for another release ('glance-tasks upgrade check'):"
            f" {', '.join(stranded)}",
        )
    if not (stranded or set(living) - installed):
        count = sum(living.values())
        yield Finding("tasks", "ok", f"{count} have not ended; all can run")
