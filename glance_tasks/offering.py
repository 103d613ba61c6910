# SPDX-License-Identifier: Apache-2.0
"""What tasks offer by temporary URLs, from its reading to its removal."""

from collections.abc import Iterable
import dataclasses
import datetime
from typing import BinaryIO

from glance_tasks import exceptions
from glance_tasks import ports
from glance_tasks import task
from glance_tasks import temp_urls
from glance_tasks.atoms import offer
from glance_tasks.persistence import repository

#: The key of a plan that says that its task offers something.
PLANNED = "offers"


@dataclasses.dataclass(frozen=True, slots=True)
class Offered:
    """An object to be read; whoever got it closes ``file``.

    :ivar size: in bytes
    :ivar os_hash_value: lower-case hexadecimal, of ``os_hash_algo``
    :ivar expires_at: UTC
    """

    file: BinaryIO
    size: int
    os_hash_algo: str
    os_hash_value: str
    expires_at: datetime.datetime


def opened(
    tasks: repository.TaskRepository,
    urls: temp_urls.TempUrls | None,
    store: ports.ImageStore,
    task_id: str,
    signature: str,
) -> Offered:
    """Open what a task offers; see :meth:`TaskEngine.offered`."""
    # First, so that its time says nothing of which tasks there are.
    fits = urls is not None and urls.fits(task_id, signature)
    missing = exceptions.TaskNotFound(f"there is no export {task_id[:36]!r}")
    try:
        found = tasks.get(task_id, None)
    except exceptions.TaskNotFound:
        raise missing from None
    if not (fits and _is_on_offer(found)):
        raise missing
    facts = found.result or {}
    return Offered(
        file=store.open(offer.object_key(task_id)),
        size=facts["size"],
        os_hash_algo=facts["os_hash_algo"],
        os_hash_value=facts["os_hash_value"],
        expires_at=found.expires_at or found.updated_at,
    )


def _is_on_offer(found: task.Task) -> bool:
    return (
        found.status is task.Status.SUCCESS
        and bool(found.plan.get(PLANNED))
        and found.expires_at is not None
        and datetime.datetime.now(datetime.UTC) < found.expires_at
    )


class _Last:
    """The fence of the reaper, which comes after every run."""

    number = (1 << 63) - 1

    def check(self) -> None:
        """Return: no run holds a task that has expired."""


def withdraw(store: ports.ImageStore, task_ids: Iterable[str]) -> None:
    """Delete what these tasks offered; again is harmless.

    :raises StoreError: when the store cannot do that
    """
    for task_id in task_ids:
        store.delete(offer.object_key(task_id), fence=_Last())
