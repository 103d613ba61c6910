# SPDX-License-Identifier: Apache-2.0
"""An engine, and beside it what must be true of every task it was given."""

import contextlib
import dataclasses
import pathlib
from typing import Any

import sqlalchemy as sa

import glance_tasks as gt
from glance_tasks import boards
from glance_tasks import exceptions
from glance_tasks import runner
from glance_tasks.persistence import models
from glance_tasks.testing import cuts
from tests.support import engines
from tests.support import knowledge
from tests.support import task_types

_MONTH_H = 24 * 30


def opened(home: pathlib.Path) -> gt.TaskEngine:
    """Give an engine whose tasks are soon given up and late reaped."""
    return engines.make_engine(
        home,
        max_attempts=knowledge.MAX_ATTEMPTS,
        task_time_to_live=_MONTH_H,
        failure_time_to_live=_MONTH_H,
    )


class Service:
    """One engine after another on the same home; checks whatever it does.

    :ivar known: the tasks in the order of their submission
    """

    def __init__(self, home: pathlib.Path) -> None:
        """Open the engine of ``home``."""
        self._home = home
        self.engine = opened(home)
        self.known: list[knowledge.Known] = []

    def restart(self) -> None:
        """Begin anew with what is on disk."""
        self.engine.close()
        self.engine = opened(self._home)

    def of(self, claim: boards.Claim) -> knowledge.Known:
        """Give what is known of a claimed task."""
        (known,) = (k for k in self.known if k.seen.id == claim.task.id)
        return known

    def add(
        self, made: gt.Task, world: task_types.World, told: dict[str, Any]
    ) -> knowledge.Known:
        """Take in a task that was submitted just now."""
        left = frozenset(world.left())
        known = knowledge.Known(made, world, told, inherited=left)
        self.known.append(known)
        return known

    def check(self) -> None:
        """Check all that is always true."""
        for known in self.known:
            if not known.reaped:
                was_living = known.living
                known.check_progress(self.engine.get(known.seen.id))
                if was_living and not known.living:
                    known.check_end()
                self.check_steps(known)
        self.check_jobs()
        self.check_locks()
        self.check_reaped()

    def taken(self, holder: str) -> boards.Claim | None:
        """Claim the task whose turn it is, if there is one."""
        held = self.engine.board.claim(holder, 600.0)
        if held is None:
            assert not any(known.may_run() for known in self.known)
            return None
        known = self.of(held)
        self.check_turn(known)
        self.check_claim(known, held)
        return held

    def check_turn(self, known: knowledge.Known) -> None:
        """Check that it is this one's turn."""
        assert known.may_run()
        runnable = [other for other in self.known if other.may_run()]
        lapsed = [other for other in runnable if other.lapsed]
        if lapsed:
            assert known.lapsed
            assert known.overdue or not any(k.overdue for k in lapsed)
            return
        first = max(other.seen.priority for other in runnable)
        assert known is next(k for k in runnable if k.seen.priority == first)

    def check_claim(self, known: knowledge.Known, held: boards.Claim) -> None:
        """Check the fence, the attempts and who held it before."""
        before = known.holder if known.state == "held" else None
        contested = before is not None and not known.released
        contents = knowledge.contents(self.engine, known.seen.id)
        expected = known.after_claim(
            held.holder, contents, known.moved(contents)
        )
        assert (held.task.fence, held.task.attempts) == expected
        assert (held.lapsed, held.contested) == (before, contested)
        known.check_progress(self.engine.get(known.seen.id))

    def begun(self, held: boards.Claim) -> runner.Run:
        """Give a run of a claimed task."""
        # A lease of no length: the fence is asked at every check, as it is
        # after a freeze.
        services = dataclasses.replace(self.engine.services(), claim_ttl=0.0)
        return runner.Run(services, held)

    def follow(self, held: boards.Claim, run: runner.Run) -> None:
        """Run to the end, to a death, or to where a stale one is stopped."""
        known = self.of(held)
        stale = knowledge.is_stale(held, known)
        before = self.traces(known)
        try:
            run.execute()
        except exceptions.LeaseLost:
            assert stale
        except task_types.Died:
            assert not stale and "die_at" in known.told
        else:
            assert not stale
            assert self.engine.get(held.task.id).ended
        if stale:
            assert self.traces(known) == before

    def traces(self, known: knowledge.Known) -> tuple[Any, ...]:
        """Give all that a run can change but files of its own."""
        world = known.world
        return engines.dump(self.engine), world.journal(), world.left()

    def cut_off(self, held: boards.Claim, cut: cuts.Cut) -> None:
        """Run until the power is cut, if it comes to that write."""
        cutter = cuts.Cutter(cut)
        with (
            cutter.watching(self.engine.database.engine),
            contextlib.suppress(cuts.PowerCut),
        ):
            self.follow(held, self.begun(held))
        if cutter.fired:
            self.restart()

    def needs_no_atom(self, known: knowledge.Known) -> bool:
        """Tell whether only the outcome of a task is left to be written."""
        found = knowledge.contents(self.engine, known.seen.id).values()
        states = {row[0] for row in found}
        hopeless = known.seen.attempts >= 2 * knowledge.MAX_ATTEMPTS
        undone = knowledge.is_undone(self.engine, known.seen.id)
        return hopeless or undone or states == {"SUCCESS"}

    def let_lapse(self) -> None:
        """Let all leases lapse, as time would."""
        engines.lapse(self.engine)
        for known in self.known:
            if known.living and known.state == "held":
                known.lapsed = known.overdue = True

    def pass_back_off(self, holder: str) -> None:
        """Let the time pass for which tasks of a dead one are left alone."""
        with self.engine.database.write() as connection:
            connection.execute(
                sa.update(models.JOBS)
                .where(models.JOBS.c.state == "held")
                .where(models.JOBS.c.holder == holder)
                .values(lease_until=models.now() - 60)
            )

    def check_steps(self, known: knowledge.Known) -> None:
        """Check that no step runs again whose checkpoint is written."""
        latest = [k for k in self.known if k.world is known.world][-1]
        if latest is not known:
            return
        counts = known.world.counts()
        found = knowledge.contents(self.engine, known.seen.id)
        for name in knowledge.ONCE[known.seen.type]:
            if name in found and found[name][0] == "SUCCESS":
                ran = counts[f"execute {name}"]
                assert known.executed.setdefault(name, ran) == ran

    def check_jobs(self) -> None:
        """Check that each living task has one job, and nobody else has."""
        found = knowledge.jobs(self.engine)

        assert found.keys() == {k.seen.id for k in self.known if k.living}
        for known in self.known:
            if known.living:
                state, holder, fence = found[known.seen.id]
                assert (state, holder) == (known.state, known.holder)
                assert state == "ready" or fence == known.seen.fence

    def conflicts(self, told: dict[str, Any]) -> bool:
        """Tell whether a task told this would meet another one's lock."""
        held = {lock for known in self.known for lock in known.locks()}
        return any(
            (name, True) in held or (alone and (name, False) in held)
            for key, alone in knowledge.LOCKS.items()
            for name in told.get(key, ())
        )

    def check_locks(self) -> None:
        """Check that living tasks have their locks, and nobody else any."""
        with self.engine.database.read() as connection:
            found = connection.execute(sa.select(models.LOCKS)).all()

        assert sorted((row[1], row[0], row[2]) for row in found) == sorted(
            (k.seen.id, *lock) for k in self.known for lock in k.locks()
        )

    def check_reaped(self) -> None:
        """Check that nothing mentions a task that was reaped."""
        reaped = {known.seen.id for known in self.known if known.reaped}
        if reaped:
            rows = engines.dump(self.engine)
            mentioned = {
                value
                for name, table in rows.items()
                if name != "gt_tasks"
                for row in table
                for value in row
            }
            assert not reaped & mentioned

    def come_to_an_end(self) -> None:
        """Run everything that is left: no task may be stuck."""
        for known in self.known:
            known.world.open_gate()
        engines.lapse(self.engine)
        engines.run_all(self.engine)
        self.check()
        assert not any(known.living for known in self.known)
