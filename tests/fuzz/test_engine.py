# SPDX-License-Identifier: Apache-2.0
"""Services, conductors, cuts and clocks in any order keep every promise."""

import contextlib
import dataclasses
import functools
import pathlib
import shutil
import sys
import tempfile

from hypothesis import stateful
from hypothesis import strategies as st
import pytest
import sqlalchemy as sa

import glance_tasks as gt
from glance_tasks import exceptions
from glance_tasks import reaper
from glance_tasks import runner
from glance_tasks import task
from glance_tasks.persistence import models
from glance_tasks.testing import cuts
from tests.support import engines
from tests.support import knowledge
from tests.support import task_types

PROJECTS = ("alpha", "beta")
MONTH_H = 24 * 30
# More would seldom meet the same fate twice.
MOST_TASKS = 4
steps = st.sampled_from(task_types.STEPS[:4])
tellings = st.one_of(
    st.just({}),
    st.builds(lambda step: {"fail_at": step}, steps),
    st.builds(lambda step: {"die_at": step}, steps),
    st.builds(lambda a, b: {"die_at": a, "fail_at": b}, steps, steps),
    st.builds(lambda a, b: {"fail_undo": a, "fail_at": b}, steps, steps),
    st.builds(lambda number: {"fails": number}, st.integers(0, 4)),
)
requesters = st.sampled_from(
    [None, *(gt.Requester(project) for project in PROJECTS)]
)


@functools.cache
def empty_home():
    """Give a home whose database is there already, which takes a while."""
    home = pathlib.Path(tempfile.mkdtemp(prefix="glance-tasks-fuzz-"))
    opened(home).close()
    return home


@pytest.fixture(scope="module", autouse=True)
def no_home_left():
    yield
    shutil.rmtree(empty_home())


def opened(home):
    return engines.make_engine(
        home,
        max_attempts=knowledge.MAX_ATTEMPTS,
        task_time_to_live=MONTH_H,
        failure_time_to_live=MONTH_H,
    )


class EngineMachine(stateful.RuleBasedStateMachine):
    """One engine, two conductors A and B, and what is known beside them."""

    tasks = stateful.Bundle("tasks")
    claims = stateful.Bundle("claims")

    def __init__(self):
        super().__init__()
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="glance-tasks-fuzz-"))
        shutil.copytree(empty_home(), self.home, dirs_exist_ok=True)
        self.engine = opened(self.home)
        self.known: list[knowledge.Known] = []

    def of(self, claim):
        (known,) = (k for k in self.known if k.seen.id == claim.task.id)
        return known

    # --- owners --------------------------------------------------------------

    @stateful.precondition(lambda self: len(self.known) < MOST_TASKS)
    @stateful.rule(
        target=tasks,
        kind=st.sampled_from(sorted(knowledge.STEPS)),
        told=tellings,
        project=st.sampled_from(["", *PROJECTS]),
        asks=st.booleans(),
        priority=st.integers(-1, 1),
    )
    def submit(self, kind, told, project, asks, priority):
        world = task_types.World(self.home / f"world-{len(self.known)}")
        who = gt.Requester(project) if project and asks else None

        made = self.engine.submit(
            kind,
            world.given(**told),
            owner=None if who else project,
            requester=who,
            priority=priority,
        )

        assert (made.status, made.phase) == ("pending", "queued")
        assert (made.owner, made.priority) == (project, priority)
        return self.add(made, world, told)

    def add(self, made, world, told):
        known = knowledge.Known(made, world, told)
        self.known.append(known)
        return known

    @stateful.precondition(lambda self: any(not k.living for k in self.known))
    @stateful.rule(target=tasks, old=tasks, who=requesters)
    def retry(self, old, who):
        again = any(
            k.seen.retry_of == old.seen.id and not k.reaped for k in self.known
        )
        try:
            made = self.engine.retry(old.seen.id, who)
        except exceptions.TaskNotFound:
            assert not self.sees(who, old)
            return stateful.multiple()
        except exceptions.TaskConflict:
            assert again or old.seen.status is not task.Status.FAILURE
            return stateful.multiple()
        assert self.sees(who, old) and not again
        assert (made.retry_of, made.owner) == (old.seen.id, old.seen.owner)
        assert (made.fence, made.image_id) == (
            *(old.seen.fence, old.seen.image_id),
        )
        return self.add(made, old.world, old.told)

    @staticmethod
    def sees(who, known):
        owned = who is None or who.project_id == known.seen.owner
        return owned and not known.reaped

    @stateful.rule(known=tasks, who=requesters)
    def look(self, known, who):
        shown = {k.seen.id for k in self.known if self.sees(who, k)}

        found = {t.id for t in self.engine.find(who, limit=1000)}

        assert found == shown
        for ask in (self.engine.get, self.engine.events):
            if self.sees(who, known):
                ask(known.seen.id, who)
            else:
                with pytest.raises(exceptions.TaskNotFound):
                    ask(known.seen.id, who)

    @stateful.rule(known=tasks)
    def open_gate(self, known):
        known.world.open_gate()

    # --- conductors ----------------------------------------------------------

    @stateful.rule(target=claims, holder=st.sampled_from("AB"))
    def claim(self, holder):
        held = self.taken(holder)
        return stateful.multiple() if held is None else held

    def taken(self, holder):
        """Claim the task whose turn it is, if there is one."""
        held = self.engine.board.claim(holder, 600.0)
        if held is None:
            assert not any(known.may_run() for known in self.known)
            return None
        known = self.of(held)
        self.check_turn(known)
        self.check_claim(known, held)
        return held

    def check_turn(self, known):
        """Check that it is this one's turn."""
        assert known.may_run()
        runnable = [other for other in self.known if other.may_run()]
        lapsed = [other for other in runnable if other.lapsed]
        if lapsed:
            assert known.lapsed
            assert known.released or not any(k.released for k in lapsed)
            return
        first = max(other.seen.priority for other in runnable)
        assert known is next(k for k in runnable if k.seen.priority == first)

    def check_claim(self, known, held):
        before = known.holder if known.state == "held" else None
        contested = before is not None and not known.released
        contents = knowledge.contents(self.engine, known.seen.id)
        expected = known.after_claim(
            held.holder, contents, known.moved(contents)
        )
        assert (held.task.fence, held.task.attempts) == expected
        assert (held.lapsed, held.contested) == (before, contested)
        known.check_progress(self.engine.get(known.seen.id))

    @stateful.rule(held=stateful.consumes(claims))
    def run(self, held):
        self.follow(held, self.begun(held))

    def begun(self, held):
        # A lease of no length: the fence is asked at every check, as it is
        # after a freeze.
        services = dataclasses.replace(self.engine.services(), claim_ttl=0.0)
        return runner.Run(services, held)

    def follow(self, held, run):
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

    def traces(self, known):
        """Give all that a run can change but files of its own."""
        world = known.world
        return engines.dump(self.engine), world.journal(), world.left()

    @stateful.rule(
        held=stateful.consumes(claims),
        write=st.integers(1, 24),
        side=st.sampled_from(["before", "after"]),
    )
    def run_and_be_cut(self, held, write, side):
        self.cut_off(held, cuts.Cut(write, side))

    def cut_off(self, held, cut):
        """Run until the power is cut, if it comes to that write."""
        cutter = cuts.Cutter(cut)
        with (
            cutter.watching(self.engine.database.engine),
            contextlib.suppress(cuts.PowerCut),
        ):
            self.follow(held, self.begun(held))
        if cutter.fired:
            self.restart()

    @stateful.rule(holder=st.sampled_from("AB"), write=st.integers(1, 8))
    def live_and_die(self, holder, write):
        held = self.taken(holder)
        if held is not None:
            self.cut_off(held, cuts.Cut(write, "before"))
            self.let_lapse()

    @stateful.rule(held=stateful.consumes(claims))
    def be_interrupted(self, held):
        known, run = self.of(held), self.begun(held)
        before = self.traces(known)[1:]
        run.interrupt()
        ends = self.needs_no_atom(known)

        try:
            run.execute()
        except exceptions.RunInterrupted:
            assert self.traces(known)[1:] == before
        else:
            assert ends

    def needs_no_atom(self, known):
        """Tell whether only the outcome of a task is left to be written."""
        found = knowledge.contents(self.engine, known.seen.id).values()
        states = {row[0] for row in found}
        hopeless = known.seen.attempts >= 2 * knowledge.MAX_ATTEMPTS
        undone = knowledge.is_undone(self.engine, known.seen.id)
        return hopeless or undone or states == {"SUCCESS"}

    @stateful.rule(held=stateful.consumes(claims))
    def give_back(self, held):
        known = self.of(held)

        given = self.engine.board.give_back(held)

        assert given != knowledge.is_stale(held, known)
        if given:
            known.state, known.holder = "ready", None
            known.lapsed = known.released = False

    @stateful.rule(held=claims)
    def renew(self, held):
        known = self.of(held)

        lost = self.engine.board.renew([held], 600.0)

        kept = not lost
        assert kept == (
            known.state == "held" and not knowledge.is_stale(held, known)
        )
        if kept:
            known.lapsed = known.released = False

    # --- time, and the end of processes --------------------------------------

    @stateful.rule()
    def lapse(self):
        self.let_lapse()

    def let_lapse(self):
        """Let all leases lapse, as time would."""
        engines.lapse(self.engine)
        for known in self.known:
            if known.living and known.state == "held":
                known.lapsed, known.released = True, False

    @stateful.rule(holder=st.sampled_from("AB"))
    def bury(self, holder):
        number = self.engine.board.release(holder)

        held = [
            k for k in self.known
            if k.living and k.state == "held" and k.holder == holder
        ]
        assert number == len(held)
        for known in held:
            known.lapsed = known.released = True

    @stateful.rule()
    def restart(self):
        self.engine.close()
        self.engine = opened(self.home)

    @stateful.precondition(lambda self: any(not k.living for k in self.known))
    @stateful.rule(known=tasks, expired=st.booleans())
    def reap(self, known, expired):
        gone = expired and not known.living and not known.reaped
        if gone:
            with self.engine.database.write() as connection:
                connection.execute(
                    sa.update(models.TASKS)
                    .where(models.TASKS.c.id == known.seen.id)
                    .values(expires_at=models.now() - 1)
                )

        done = reaper.reap(self.engine.database, self.engine.area)

        assert done.tasks == gone
        known.reaped = known.reaped or gone
        living = {k.seen.id for k in self.known if k.living}
        assert set(self.engine.area.task_ids()) <= living | {
            k.seen.id for k in self.known if k.reaped
        }

    # --- what is always true -------------------------------------------------

    @stateful.invariant()
    def holds(self):
        for known in self.known:
            if not known.reaped:
                was_living = known.living
                known.check_progress(self.engine.get(known.seen.id))
                if was_living and not known.living:
                    known.check_end()
                self.check_steps(known)
        self.check_jobs()
        self.check_reaped()

    def check_steps(self, known):
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

    def check_jobs(self):
        """Check that each living task has one job, and nobody else has."""
        found = knowledge.jobs(self.engine)

        assert found.keys() == {k.seen.id for k in self.known if k.living}
        for known in self.known:
            if known.living:
                state, holder, fence = found[known.seen.id]
                assert (state, holder) == (known.state, known.holder)
                assert state == "ready" or fence == known.seen.fence

    def check_reaped(self):
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

    def teardown(self):
        try:
            # Hypothesis tears down in a "finally".
            if sys.exc_info()[0] is None:
                self.come_to_an_end()
        finally:
            self.engine.close()
            shutil.rmtree(self.home)

    def come_to_an_end(self):
        """Run everything that is left: no task may be stuck."""
        for known in self.known:
            known.world.open_gate()
        engines.lapse(self.engine)
        engines.run_all(self.engine)
        self.holds()
        assert not any(known.living for known in self.known)


@pytest.mark.fuzz(weight=6.0)
def test_the_engine_keeps_its_promises(machine):
    machine(EngineMachine)
