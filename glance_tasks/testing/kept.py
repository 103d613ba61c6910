# SPDX-License-Identifier: Apache-2.0
"""What lies in the staging cache: of use to a retry, or left behind."""

from collections.abc import Iterator
import os
import pathlib

from glance_tasks import engine as task_engine
from glance_tasks import exceptions
from glance_tasks import ledger
from glance_tasks import retention
from glance_tasks import task

#: What the names begin with of what a retry can use.
GOOD = "kept for a retry: "


def left(engine: task_engine.TaskEngine) -> dict[str, str]:
    """Give what is in the cache, names to what is said of it.

    That may be there of a task that failed, and that a retry may help, and
    nothing else; all that its ledger vouches for has to be true.
    """
    return dict(_entries(engine))


def _entries(engine: task_engine.TaskEngine) -> Iterator[tuple[str, str]]:
    for task_id in engine.cache.task_ids():
        path = engine.cache.path(task_id)
        if not retention.may_help(_failure(engine, task_id)):
            yield f"cache {task_id}", "of no task that a retry may help"
        elif not _is_true(path):
            yield f"cache {task_id}", "not what its ledger says"
        else:
            yield f"{GOOD}{task_id}", f"{path.stat().st_size} bytes"


def _failure(
    engine: task_engine.TaskEngine, task_id: str
) -> task.Failure | None:
    try:
        return engine.get(task_id).failure
    except exceptions.TaskNotFound:
        return None


def _is_true(path: pathlib.Path) -> bool:
    """Tell whether the file has all that its ledger vouches for."""
    record = ledger.read(path)
    if record is None or not record.marks:
        return False
    algorithms = tuple(record.marks[-1].digests)
    fd = os.open(path, os.O_RDONLY)
    try:
        good, _ = ledger.verified(fd, record, algorithms, lambda: None)
    finally:
        os.close(fd)
    return good.offset == record.offset
