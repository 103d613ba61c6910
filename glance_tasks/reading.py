# SPDX-License-Identifier: Apache-2.0
"""What an engine gives to be read: tasks, pages of them, and timelines."""

from collections.abc import Mapping
import dataclasses
import functools

from glance_tasks import offering
from glance_tasks import ports
from glance_tasks import presence
from glance_tasks import task
from glance_tasks import temp_urls
from glance_tasks import waiting
from glance_tasks import workdir
from glance_tasks.persistence import database as db
from glance_tasks.persistence import events
from glance_tasks.persistence import listing
from glance_tasks.persistence import queue
from glance_tasks.persistence import repository


class TaskReader:
    """Reads the tasks of one database; safe to share between threads.

    Calls that take a ``requester`` show it only the tasks of its project;
    None means the operator, who sees all.
    """

    database: db.Database
    tasks: repository.TaskRepository
    area: workdir.WorkArea
    store: ports.ImageStore
    temp_urls: temp_urls.TempUrls | None

    def get(
        self, task_id: str, requester: task.Requester | None = None
    ) -> task.Task:
        """Give a task.

        :raises TaskNotFound: when there is none the requester may see
        """
        found = self.tasks.get(task_id, requester)
        if found.stall_reason is not task.StallReason.CONDUCTOR_LOST:
            return found
        holder = queue.holder(self.database, task_id)
        if holder is None:
            return found
        fate = presence.fate(self.area.root, holder)
        return dataclasses.replace(found, stall_reason=fate)

    def find(
        self,
        requester: task.Requester | None = None,
        *,
        filters: Mapping[str, str] | None = None,
        limit: int = 25,
        marker: str | None = None,
        sort_key: str = "created_at",
        descending: bool = True,
    ) -> list[task.Task]:
        """List tasks, newest first, without input, plan, result and message.

        :param filters: exact values of type, status, image_id, owner,
            request_id, retry_of or parent_id
        :param limit: at most 1000
        :param marker: the id of the last task of the page before
        :raises InvalidInput: for a filter, limit or sort key there is not
        :raises TaskNotFound: when the marker is none the requester may see
        """
        return listing.find(
            self.database,
            requester,
            filters=filters,
            limit=limit,
            marker=marker,
            sort_key=sort_key,
            descending=descending,
        )

    def holders(
        self, resource: str, requester: task.Requester | None = None
    ) -> list[task.Task]:
        """Give the living tasks that have, or wait for, locks on a resource.

        :param resource: kind and id, such as ``image:UUID``
        """
        return listing.holders(self.database, resource, requester)

    def events(
        self, task_id: str, requester: task.Requester | None = None
    ) -> list[events.Event]:
        """Give a task's timeline, oldest first; details for the operator.

        :raises TaskNotFound: when there is none the requester may see
        """
        self.tasks.get(task_id, requester)
        found = events.of_task(self.database, task_id)
        if requester is None:
            return found
        return [dataclasses.replace(event, detail=None) for event in found]

    def offered(self, task_id: str, signature: str) -> offering.Offered:
        """Give what a task offers by a temporary URL, ready to be read.

        :param signature: of the address
        :raises TaskNotFound: when there is none, it has expired, or the
            signature is another; nobody can tell which
        :raises StoreError: when the store does not give it
        """
        return offering.opened(
            self.tasks, self.temp_urls, self.store, task_id, signature
        )

    def wait(
        self,
        task_id: str,
        timeout: float | None = None,
        requester: task.Requester | None = None,
    ) -> task.Task:
        """Give the task once it has ended.

        :param timeout: seconds; None waits for ever
        :raises TimeoutError: when it has not ended by then
        :raises TaskNotFound: when there is none the requester may see
        """
        return waiting.until_ended(
            functools.partial(self.tasks.get, task_id, requester), timeout
        )
