# SPDX-License-Identifier: Apache-2.0
"""The default board: rows beside the tasks, claimed by SKIP LOCKED.

The cost of a claim is that of two index look-ups however long the queue is.
Leases are judged by the database's clock alone.
"""

from collections.abc import Collection
from collections.abc import Iterable
import time
from typing import Any

import sqlalchemy as sa

from glance_tasks import boards
from glance_tasks import task
from glance_tasks.persistence import database as db
from glance_tasks.persistence import models
from glance_tasks.persistence import repository

_JOBS, _TASKS = models.JOBS, models.TASKS

# Seconds before a task is claimed again that killed its conductor so often in
# a row.
_BACK_OFF = {1: 1.0, 2: 2.0, 3: 4.0, 4: 8.0}
_LONGEST_S = 16.0

_DIED: dict[str, Any] = {"lease_until": models.now(), "holder_died": True}

# Before every priority there is.
_FIRST = -(1 << 31)


class SqlBoard:
    """The jobs of one database; implements :class:`glance_tasks.boards.Board`.

    Every method raises ``DatabaseUnreachable`` when the database is away.
    """

    def __init__(self, database: db.Database) -> None:
        """Use the tables of ``database``."""
        self._database = database

    def post(
        self,
        connection: sa.Connection,
        task_id: str,
        priority: int,
        *,
        again: bool = False,
    ) -> None:
        """Queue a task in the transaction that writes it."""
        now = models.now()
        connection.execute(
            sa.insert(_JOBS).values(
                task_id=task_id,
                state="ready",
                rank=-priority,
                sequence=now,
                not_before=now,
                # So that its checkpoints are fenced by the next claim.
                claimed_at=now if again else None,
            )
        )

    def withdraw(
        self,
        connection: sa.Connection,
        task_id: str,
        claim: boards.Claim | None = None,
    ) -> bool:
        """Take a task off the board; False when somebody else holds it."""
        own = _JOBS.c.task_id == task_id
        free = _JOBS.c.state != "held"
        if claim is not None:
            free = sa.or_(free, _JOBS.c.fence == claim.task.fence)
        connection.execute(sa.delete(_JOBS).where(own, free))
        left = connection.scalar(sa.select(_JOBS.c.task_id).where(own))
        return left is None

    def call(
        self, connection: sa.Connection, task_id: str, *, urgent: bool = False
    ) -> None:
        """Have a task looked at: end its lease soon, unless it is renewed."""
        soon = models.now() + boards.CALL_S
        far = sa.and_(_JOBS.c.state == "held", _JOBS.c.lease_until > soon)
        values: dict[str, Any] = {
            "state": sa.case(
                (_JOBS.c.state == "waiting", "ready"), else_=_JOBS.c.state
            ),
            "not_before": models.now(),
            "lease_until": sa.case((far, soon), else_=_JOBS.c.lease_until),
        }
        if urgent:
            values["rank"] = _FIRST
        connection.execute(
            sa.update(_JOBS).where(_JOBS.c.task_id == task_id).values(**values)
        )

    def claim(
        self,
        holder: str,
        ttl: float,
        task_id: str | None = None,
        but: Collection[str] = (),
    ) -> boards.Claim | None:
        """Take a task whose lease lapsed, else the next that is ready."""
        since = time.monotonic()
        now = models.now()
        lapsed = (
            sa.select(_JOBS)
            .where(_JOBS.c.state == "held", _JOBS.c.lease_until <= now)
            .where(_JOBS.c.lease_until + _back_off() <= now)
            .order_by(_JOBS.c.lease_until)
        )
        ready = (
            sa.select(_JOBS)
            .where(_JOBS.c.state == "ready", _JOBS.c.not_before <= now)
            .order_by(_JOBS.c.rank, _JOBS.c.sequence)
        )
        lapsed, ready = _without(lapsed, but), _without(ready, but)
        if not self._any_claimable(lapsed, ready):
            return None

        def take(connection: sa.Connection) -> boards.Claim | None:
            for query in (lapsed, ready):
                if task_id is not None:
                    query = query.where(_JOBS.c.task_id == task_id)
                job = (
                    connection.execute(
                        query.limit(1).with_for_update(skip_locked=True)
                    )
                    .mappings()
                    .first()
                )
                if job is not None:
                    return self._take(connection, job, holder, ttl, since)
            return None

        # Whoever cancels or pauses it just now locks its row first.
        return self._database.transact(take)

    def _any_claimable(self, *queries: sa.Select[Any]) -> bool:
        # An idle conductor must not take SQLite's only write lock to look.
        if not self._database.embedded:
            return True
        with self._database.read() as connection:
            return any(
                connection.execute(query.limit(1)).first() for query in queries
            )

    def _take(
        self,
        connection: sa.Connection,
        job: Any,
        holder: str,
        ttl: float,
        since: float,
    ) -> boards.Claim:
        task_id, now = job["task_id"], models.now()
        lapsed = job["holder"] if job["state"] == "held" else None
        attempts: Any = _TASKS.c.attempts
        if self._moved(connection, task_id, job["claimed_at"]):
            attempts = 0
        elif lapsed is not None:
            attempts = _TASKS.c.attempts + 1
        self._raise_fence(connection, task_id, attempts)
        rows = connection.execute(
            sa.select(_TASKS).where(_TASKS.c.id == task_id)
        ).mappings()
        claim = boards.Claim(
            repository.snapshot(dict(rows.one())),
            holder,
            since,
            lapsed,
            contested=lapsed is not None and not job["holder_died"],
        )
        connection.execute(
            sa.update(_JOBS)
            .where(_JOBS.c.task_id == task_id)
            .values(
                state="held",
                holder=holder,
                holder_died=False,
                lease_until=now + ttl,
                claimed_at=now,
                fence=claim.task.fence,
            )
        )
        if job["claimed_at"] is not None:
            _fence_checkpoints(connection, claim.task)
        return claim

    @staticmethod
    def _moved(
        connection: sa.Connection, task_id: str, since: float | None
    ) -> bool:
        """Tell whether a checkpoint or a ledger moved under the last claim."""
        if since is None:
            return False
        advanced = sa.select(_TASKS.c.id).where(
            _TASKS.c.id == task_id, _TASKS.c.advanced_at > since
        )
        saved = sa.select(models.ATOMS.c.id).where(
            models.ATOMS.c.task_id == task_id, models.ATOMS.c.saved_at > since
        )
        return any(
            connection.execute(query.limit(1)).first() is not None
            for query in (advanced, saved)
        )

    @staticmethod
    def _raise_fence(
        connection: sa.Connection, task_id: str, attempts: Any
    ) -> None:
        """Make whoever held the task before a stranger to it."""
        now = models.now()
        queued = task.Phase.QUEUED.value
        connection.execute(
            sa.update(_TASKS)
            .where(_TASKS.c.id == task_id)
            .values(
                fence=_TASKS.c.fence + 1,
                attempts=attempts,
                status=task.Status.PROCESSING.value,
                # Taken over in the midst of something, it still is there.
                phase=sa.case(
                    (_TASKS.c.phase == queued, task.Phase.PROCESSING.value),
                    else_=_TASKS.c.phase,
                ),
                started_at=sa.func.coalesce(_TASKS.c.started_at, now),
                deadline_at=sa.func.coalesce(
                    _TASKS.c.deadline_at, now + _TASKS.c.time_limit
                ),
                stalled_since=None,
                stall_reason=None,
                updated_at=now,
            )
        )

    def renew(
        self, claims: Iterable[boards.Claim], ttl: float
    ) -> list[boards.Claim]:
        """Prolong leases, each by one statement; give those lost."""
        lost = []
        for claim in claims:
            with self._database.single() as connection:
                kept = connection.execute(
                    # Whoever renews lives, whatever was thought.
                    _of(claim).values(
                        lease_until=models.now() + ttl, holder_died=False
                    )
                ).rowcount
            if not kept:
                lost.append(claim)
        return lost

    def give_back(self, claim: boards.Claim, delay: float = 0.0) -> bool:
        """Let anybody take the task; False when the claim had been lost."""
        now = models.now()
        with self._database.single() as connection:
            given = connection.execute(
                _of(claim).values(
                    state="ready",
                    holder=None,
                    lease_until=None,
                    not_before=now + delay,
                )
            ).rowcount
        return bool(given)

    def set_aside(
        self, connection: sa.Connection, claim: boards.Claim
    ) -> None:
        """Keep the task from being taken until :meth:`wake`."""
        connection.execute(
            _of(claim).values(
                state="waiting",
                holder=None,
                lease_until=None,
                not_before=models.now(),
            )
        )

    def wake(self, older_than: float, task_id: str | None = None) -> None:
        """Let tasks be taken that were set aside that many seconds ago."""
        waiting = (
            sa.update(_JOBS)
            .where(_JOBS.c.state == "waiting")
            .where(_JOBS.c.not_before <= models.now() - older_than)
        )
        if task_id is not None:
            waiting = waiting.where(_JOBS.c.task_id == task_id)
        with self._database.single() as connection:
            connection.execute(waiting.values(state="ready"))

    def release(self, holder: str) -> int:
        """Let the leases of a dead conductor lapse."""
        theirs = sa.update(_JOBS).where(
            _JOBS.c.state == "held",
            _JOBS.c.holder == holder,
        )
        with self._database.single() as connection:
            return int(connection.execute(theirs.values(_DIED)).rowcount)

    def lapse(self, claim: boards.Claim) -> None:
        """Let go of a task as if its holder had died."""
        with self._database.single() as connection:
            connection.execute(_of(claim).values(_DIED))

    def pending(self, but: Collection[str] = ()) -> int:
        """Count the tasks that wait or are held, without those set aside."""
        query = sa.select(sa.func.count()).where(_JOBS.c.state != "waiting")
        with self._database.read() as connection:
            return int(connection.scalar(_without(query, but)) or 0)


def _back_off() -> sa.ColumnElement[float]:
    """Give how long a task is left alone whose holder died.

    None the first time, or where it had moved since the time before.
    """
    attempts = (
        sa.select(_TASKS.c.attempts)
        .where(_TASKS.c.id == _JOBS.c.task_id)
        .scalar_subquery()
    )
    steps = {0: 0.0, **_BACK_OFF}
    return sa.case(steps, value=attempts, else_=_LONGEST_S)


def _without(query: sa.Select[Any], types: Collection[str]) -> sa.Select[Any]:
    """Leave out the jobs of tasks of these types."""
    if not types:
        return query
    # By key, for each job that is looked at: the first is taken.
    theirs = sa.exists().where(
        _TASKS.c.id == _JOBS.c.task_id, _TASKS.c.type.in_(sorted(types))
    )
    return query.where(~theirs)


def _of(claim: boards.Claim) -> sa.Update:
    # By fence, not by holder: one that was frozen may have claimed it anew.
    return (
        sa.update(_JOBS)
        .where(_JOBS.c.task_id == claim.task.id)
        .where(_JOBS.c.state == "held", _JOBS.c.fence == claim.task.fence)
    )


def _fence_checkpoints(connection: sa.Connection, held: task.Task) -> None:
    """Raise the fence in every row in which a checkpoint compares it."""
    for table in (models.FLOWS, models.ATOMS):
        connection.execute(
            sa.update(table)
            .where(table.c.task_id == held.id)
            .values(fence=held.fence)
        )
