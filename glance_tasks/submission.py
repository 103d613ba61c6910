# SPDX-License-Identifier: Apache-2.0
"""Taking tasks on: checked, planned, and written in one transaction."""

from oslo_config import cfg

from glance_tasks import boards
from glance_tasks import building
from glance_tasks import exceptions
from glance_tasks import planning
from glance_tasks import registry
from glance_tasks import task
from glance_tasks.persistence import database as db
from glance_tasks.persistence import events
from glance_tasks.persistence import locks
from glance_tasks.persistence import repository
from glance_tasks.secrets import vault


class Submitter:
    """Makes drafts durable tasks; safe to share between threads."""

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        types: registry.Registry,
        shared: building.Surroundings,
        database: db.Database,
        tasks: repository.TaskRepository,
        board: boards.Board,
        secrets: vault.Vault,
    ) -> None:
        """Use what an engine has."""
        self._conf = conf
        self._types = types
        self._shared = shared
        self._database = database
        self._tasks = tasks
        self._board = board
        self._secrets = secrets

    def submit(
        self, draft: task.Task, requester: task.Requester | None
    ) -> task.Task:
        """Give the durable task; see :meth:`TaskEngine.submit`."""
        known = self._submitted(draft)
        if known is not None:
            return known
        try:
            return self._post(draft, requester)
        except exceptions.TaskConflict:
            # The same may have been submitted at this very moment; what ours
            # conflicts with are the other's locks, or its key.
            known = self._submitted(draft)
            if known is None:
                raise
            return known

    def _submitted(self, draft: task.Task) -> task.Task | None:
        """Give what was submitted with the draft's key before.

        :raises TaskConflict: when that was something else
        """
        if draft.idempotency_key is None:
            return None
        known = self._tasks.of_key(draft.owner, draft.idempotency_key)
        if known is not None and not planning.is_same(
            self._types, draft, known
        ):
            raise exceptions.TaskConflict(
                f"the idempotency key {draft.idempotency_key!r} belongs to"
                f" task {known.id}, which has another type or input; use"
                " another key"
            )
        return known

    def _post(
        self, draft: task.Task, requester: task.Requester | None
    ) -> task.Task:
        planned = planning.plan(self._types, self._shared, self._conf, draft)
        new = planned.new
        happened = [events.submitted(new)]
        happened += [events.now("deprecated", t) for t in planned.deprecated]

        def write(connection: db.Connection) -> None:
            reason = locks.take(
                *(connection, new, planned.locks, requester),
                waits=planned.waits,
            )
            self._tasks.add(connection, new, reason)
            self._secrets.write(connection, new.id, kept)
            if reason is None:
                self._board.post(connection, new.id, new.priority)
            events.add(connection, new.id, happened)

        with self._secrets.keeping(new.id, planned.secrets) as kept:
            self._database.transact(write)
        return self._tasks.get(new.id)
