# SPDX-License-Identifier: Apache-2.0
"""What may be known of an engine's tasks without asking the engine."""

import dataclasses
from typing import Any

import sqlalchemy as sa

import glance_tasks as gt
from glance_tasks import boards
from glance_tasks import task
from glance_tasks.persistence import models
from tests.support import task_types

#: Deaths in a row after which a task is given up.
MAX_ATTEMPTS = 2

#: The steps of the types of the tests, and those nothing ever tries again.
STEPS = {
    "line": task_types.STEPS,
    "tries": task_types.STEPS[:4],
    "handed": task_types.STEPS[:2],
}
ONCE = {**STEPS, "tries": ("step-0", "step-3")}

#: The steps that fail when they are told to.
FAILING = {
    "line": task_types.STEPS,
    "tries": ("step-0", "step-1", "step-3"),
    "handed": ("step-0",),
}

LOCKS = {"shares": False, "takes": True}

Contents = dict[str, tuple[Any, ...]]


@dataclasses.dataclass
class Known:
    """One task, as the rules of the board and of the machine say it is.

    :ivar seen: the task as it was last read
    :ivar state: of its job
    :ivar holder: who has claimed it, dead or alive
    :ivar lapsed: whether that one's lease has
    :ivar released: whether that one was declared dead
    :ivar overdue: whether the lease has lapsed an hour ago, not just now
    :ivar deaths: the most attempts that were ever counted; from the undoing
        on, which is a step forward, they begin anew
    :ivar contents: of its checkpoints at the last claim
    :ivar inherited: effects that its predecessor could not undo
    :ivar executed: how often each checkpointed step had run by then
    """

    seen: gt.Task
    world: task_types.World
    told: dict[str, Any]
    state: str = "ready"
    holder: str | None = None
    lapsed: bool = False
    released: bool = False
    overdue: bool = False
    deaths: int = 0
    contents: Contents | None = None
    executed: dict[str, int] = dataclasses.field(default_factory=dict)
    reaped: bool = False
    inherited: frozenset[str] = frozenset()

    @property
    def living(self) -> bool:
        """Whether it has not ended yet."""
        return not self.seen.ended

    def locks(self) -> set[tuple[str, bool]]:
        """Give the resources it holds now, and whether for itself."""
        if not self.living:
            return set()
        shared = {(name, False) for name in self.told.get("shares", ())}
        return shared | {(name, True) for name in self.told.get("takes", ())}

    def may_run(self) -> bool:
        """Tell whether it can be claimed."""
        return self.living and (self.state == "ready" or self.lapsed)

    def after_claim(
        self, holder: str, contents: Contents, moved: bool
    ) -> tuple[int, int]:
        """Claim it, and give the fence and the attempts it must have."""
        attempts = self.seen.attempts
        if moved:
            attempts = 0
        elif self.state == "held":
            attempts += 1
        self.deaths = max(self.deaths, attempts)
        self.state, self.holder, self.contents = "held", holder, contents
        self.lapsed = self.released = False
        return self.seen.fence + 1, attempts

    def moved(self, contents: Contents) -> bool:
        """Tell whether a checkpoint changed since the last claim.

        That the rows were made is no step forward.
        """
        if self.contents is None:
            return False
        return any(
            contents[name] != self.contents[name]
            if name in self.contents
            else contents[name][0] != "PENDING"
            for name in contents
        )

    def check_progress(self, now: gt.Task) -> None:
        """Check a newer reading against the one before, and keep it."""
        before, order = self.seen, list(task.Status)
        assert now.fence >= before.fence
        assert order.index(now.status) >= order.index(before.status)
        assert now.phase in _reachable(before.phase)
        if before.ended:
            assert now == before
        succeeded = now.status is task.Status.SUCCESS
        failed = now.status is task.Status.FAILURE
        assert (now.result is not None) == succeeded
        assert (now.message is not None) == failed
        assert (now.failure is not None) == failed
        self.seen = now

    def check_end(self) -> None:
        """Check that the task ended as it was told, and what it left."""
        end, told = self.seen, self.told
        if end.failure is None:
            assert not _must_fail(end.type, told)
            assert self.world.left() == set(STEPS[end.type])
            return
        if end.failure.code == "gave_up":
            assert max(self.deaths, end.attempts) >= MAX_ATTEMPTS
        else:
            assert _must_fail(end.type, told), end.failure
        if not end.failure.left_behind:
            assert self.world.left() <= self.inherited


def _must_fail(kind: str, told: dict[str, Any]) -> bool:
    if told.get("fail_at") in FAILING[kind]:
        return True
    # What fails at first is undone before it is tried again.
    stuck = told.get("fail_undo") in ("step-1", "step-2")
    return kind == "tries" and (told.get("fails", 2) > 2 or stuck)


def _reachable(phase: task.Phase) -> set[task.Phase]:
    found, frontier = {phase}, {phase}
    while frontier:
        frontier = {
            move.target for move in task.MOVES if move.source in frontier
        } - found
        found |= frontier
    return found


# --- asking the database -----------------------------------------------------


def contents(engine: gt.TaskEngine, task_id: str) -> Contents:
    """Give what the checkpoints of a task say, by the names of its atoms."""
    table = models.ATOMS.c
    columns = (table.name, table.state, table.intention, table.results)
    undone = (table.failure, table.revert_results, table.revert_failure)
    query = sa.select(*columns, *undone).where(table.task_id == task_id)
    with engine.database.read() as connection:
        return {row[0]: tuple(row[1:]) for row in connection.execute(query)}


def is_undone(engine: gt.TaskEngine, task_id: str) -> bool:
    """Tell whether the flow of a task has come to a bad end."""
    table = models.FLOWS.c
    query = sa.select(table.state).where(table.task_id == task_id)
    with engine.database.read() as connection:
        return connection.scalar(query) is not None


def jobs(engine: gt.TaskEngine) -> dict[str, tuple[Any, ...]]:
    """Give state, holder and fence of every job, by its task's id."""
    table = models.JOBS.c
    query = sa.select(table.task_id, table.state, table.holder, table.fence)
    with engine.database.read() as connection:
        rows = [tuple(row) for row in connection.execute(query)]
    assert len(rows) == len({row[0] for row in rows})
    return {row[0]: row[1:] for row in rows}


def is_stale(claim: boards.Claim, known: Known) -> bool:
    """Tell whether another claim came after this one."""
    return known.seen.fence != claim.task.fence or not known.living
