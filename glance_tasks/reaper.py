# SPDX-License-Identifier: Apache-2.0
"""What is swept up: expired tasks, and work directories nobody needs."""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import json
import logging
from typing import Protocol

from glance_tasks import exceptions
from glance_tasks import offering
from glance_tasks import ports
from glance_tasks.persistence import database as db
from glance_tasks.persistence import expiry
from glance_tasks.secrets import vault
from glance_tasks.transfer import cache as staging_cache

LOG = logging.getLogger(__name__)

# One batch is one transaction; SQLite has a single writer, and 500 tasks
# keep it for some 20 ms.
_BATCH = 500


@dataclasses.dataclass(frozen=True, slots=True)
class Reaped:
    """How much was (or, in a dry run, would be) removed."""

    tasks: int
    work_dirs: int


class Area(Protocol):
    """A directory with a directory for each of some tasks."""

    def task_ids(self) -> Iterator[str]:
        """Give their ids."""

    def is_ours(self, task_id: str) -> bool:
        """Tell whether that of a task was made for our database."""

    def sweep(self, task_id: str) -> None:
        """Remove that of a task; absence is no error."""


def reap(
    database: db.Database,
    areas: Sequence[Area],
    secrets: vault.Vault,
    store: ports.ImageStore,
    *,
    cache: staging_cache.StagingCache | None = None,
    dry_run: bool = False,
) -> Reaped:
    """Delete what has expired, and the directories of tasks that ended.

    Their secrets too, where a store outside the database still has them.

    What tasks have made, images and their data, stays; what they offered by
    temporary URLs goes. Cut anywhere, the next call goes on.

    :param areas: where tasks have directories
    :param store: the default one
    :param cache: keeps what is there of failed tasks until they expire
    :raises DatabaseUnreachable: when the database is away
    """
    swept = sum(_sweep(database, area, dry_run) for area in areas)
    if not dry_run:
        # Before the tasks, whose end says that the secrets must go.
        secrets.sweep()
    deleted = expiry.count_expired(database) if dry_run else 0
    while not dry_run:
        batch = expiry.expired(database, limit=_BATCH)
        gone = _delete(database, store, batch)
        deleted += gone
        # Those that stay would come again and again.
        if gone < _BATCH:
            break
    if cache is not None:
        swept += _sweep_cache(database, cache, dry_run)
    if deleted or swept:
        LOG.info("Reaped %d tasks and %d work directories", deleted, swept)
    return Reaped(deleted, swept)


def _delete(
    database: db.Database, store: ports.ImageStore, batch: Mapping[str, str]
) -> int:
    """Delete tasks; one whose object the store keeps stays for the next time.

    :param batch: ids to plans, as JSON
    :returns: how many were deleted
    """
    kept = set()
    for task_id, plan in batch.items():
        if json.loads(plan or "{}").get(offering.PLANNED):
            try:
                offering.withdraw(store, [task_id])
            except exceptions.StoreError as error:
                LOG.warning("Task %s is kept: %s", task_id, error)
                kept.add(task_id)
    if gone := batch.keys() - kept:
        expiry.delete(database, gone)
    return len(gone)


def _sweep_cache(
    database: db.Database, cache: staging_cache.StagingCache, dry_run: bool
) -> int:
    """Remove what is kept of tasks that were reaped, and what is too much."""
    there = [i for i in cache.task_ids() if cache.is_ours(i)]
    known = expiry.known(database, there)
    dead = [i for i in there if i not in known]
    if not dry_run:
        for task_id in dead:
            cache.sweep(task_id)
        cache.trim()
    return len(dead)


def _sweep(database: db.Database, area: Area, dry_run: bool) -> int:
    """Remove directories of tasks of this database that do not live.

    One of a task that the database does not know was reaped long ago, by
    another host, or is another deployment's: its mark tells.
    """
    there = list(area.task_ids())
    known = expiry.known(database, there)
    dead = [i for i in there if known.get(i, i not in known)]
    dead = [i for i in dead if i in known or area.is_ours(i)]
    if not dry_run:
        for task_id in dead:
            area.sweep(task_id)
    return len(dead)
