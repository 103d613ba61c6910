# SPDX-License-Identifier: Apache-2.0
"""Following a task: a bar on a terminal, plain lines elsewhere."""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import threading
import time
from typing import Any
from typing import TextIO

from glance_tasks import conductor
from glance_tasks import engine as task_engine
from glance_tasks import presence
from glance_tasks import task

_POLL_S = 0.25

# Seconds after which a task that was set aside is tried again.
_AGAIN_S = 5.0
_MIB = 1 << 20
# In a log, a line for every tenth of a step is enough.
_TENTHS = 10


def in_words(found: task.Task) -> str:
    """Give a task's progress in a few words."""
    if found.ended:
        return "100%" if found.status is task.Status.SUCCESS else "-"
    if found.phase is task.Phase.PAUSED:
        return "paused"
    progress = found.progress
    if not progress.get("step"):
        return found.queue_reason or "-"
    total = progress.get("total_bytes")
    if not progress.get("done_bytes"):
        return str(progress["step"])
    done = progress["done_bytes"] / _MIB
    if not total:
        return f"{progress['step']} {done:.1f} MiB"
    ratio = progress.get("ratio", 0.0)
    return f"{progress['step']} {ratio:.0%} of {total / _MIB:.1f} MiB"


def until_ended(
    engine: task_engine.TaskEngine,
    task_id: str,
    stream: TextIO,
    *,
    may_run: bool = False,
) -> task.Task:
    """Draw a task's progress on ``stream`` until it has ended; give it.

    :param may_run: run it here if it is on the embedded database and no
        conductor is alive on this machine to do so
    """
    draw_on = _bars(stream) if stream.isatty() else _lines(stream)
    with draw_on as draw, _running_here(engine, task_id, stream, may_run):
        while True:
            found = engine.get(task_id)
            draw(found)
            if found.ended:
                break
            time.sleep(_POLL_S)
    stream.write(_end(found) + "\n")
    return found


def _end(found: task.Task) -> str:
    if found.status is task.Status.FAILURE:
        return f"{found.type} failed: {found.message}"
    return f"{found.type} succeeded: image {found.image_id}"


@contextlib.contextmanager
def _running_here(
    engine: task_engine.TaskEngine,
    task_id: str,
    stream: TextIO,
    may_run: bool,
) -> Iterator[None]:
    may_run = may_run and engine.database.embedded
    may_run = may_run and not presence.any_alive(engine.area.root)
    if not may_run or engine.get(task_id).ended:
        yield
        return
    stream.write("no conductor is running: this command runs the task\n")
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set() and not engine.get(task_id).ended:
            # What is set aside would wait for a conductor's sweep.
            engine.board.wake(_AGAIN_S, task_id)
            conductor.Conductor(engine, max_tasks=1).run_one(task_id)
            stop.wait(_POLL_S)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield
    finally:
        stop.set()
        worker.join()


@contextlib.contextmanager
def _lines(stream: TextIO) -> Iterator[Callable[[task.Task], None]]:
    last: list[Any] = [None]

    def draw(found: task.Task) -> None:
        ratio = found.progress.get("ratio") or 0.0
        key = (
            found.phase,
            found.progress.get("step"),
            int(ratio * _TENTHS),
            found.queue_reason,
        )
        if key != last[0] and not found.ended:
            last[0] = key
            stream.write(f"{found.phase}: {in_words(found)}\n")
            stream.flush()

    yield draw


@contextlib.contextmanager
def _bars(stream: TextIO) -> Iterator[Callable[[task.Task], None]]:
    try:
        from rich import console
        from rich import progress
    except ImportError:
        with _lines(stream) as line:
            yield line
        return
    bars = progress.Progress(
        progress.TextColumn("{task.fields[phase]:>12} {task.description:<14}"),
        progress.BarColumn(bar_width=24),
        progress.TaskProgressColumn(),
        progress.TransferSpeedColumn(),
        console=console.Console(file=stream),
    )
    shown: dict[str, Any] = {}

    def draw(found: task.Task) -> None:
        step = found.progress.get("step") or "waiting"
        if step not in shown:
            for other in shown.values():
                bars.update(other, total=1, completed=1)
            shown[step] = bars.add_task(step, phase=found.phase, total=None)
        bars.update(
            shown[step],
            phase=found.phase.value,
            total=found.progress.get("total_bytes"),
            completed=found.progress.get("done_bytes") or 0,
        )

    with bars:
        yield draw
