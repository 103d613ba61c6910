# SPDX-License-Identifier: Apache-2.0
"""Services, conductors, cuts and clocks in any order keep every promise."""

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
from glance_tasks import task
from glance_tasks.persistence import models
from glance_tasks.testing import cuts
from tests.support import fuzzing
from tests.support import knowledge
from tests.support import service
from tests.support import task_types

PROJECTS = ("alpha", "beta")
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
locks = st.sampled_from(
    [
        {},
        {"shares": ["a"]},
        {"takes": ["a"]},
        {"shares": ["a"], "takes": ["b"]},
    ]
)
requesters = st.sampled_from(
    [None, *(gt.Requester(project) for project in PROJECTS)]
)


@functools.cache
def empty_home():
    """Give a home whose database is there already, which takes a while."""
    home = pathlib.Path(tempfile.mkdtemp(prefix="glance-tasks-fuzz-"))
    service.opened(home).close()
    return home


@pytest.fixture(scope="module", autouse=True)
def no_home_left():
    yield
    shutil.rmtree(empty_home())


class EngineMachine(stateful.RuleBasedStateMachine):
    """One engine, two conductors A and B, and what is known beside them."""

    tasks = stateful.Bundle("tasks")
    claims = stateful.Bundle("claims")

    def __init__(self):
        super().__init__()
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="glance-tasks-fuzz-"))
        shutil.copytree(empty_home(), self.home, dirs_exist_ok=True)
        self.service = service.Service(self.home)

    @property
    def engine(self):
        return self.service.engine

    @property
    def known(self):
        return self.service.known

    # --- owners --------------------------------------------------------------

    @stateful.precondition(lambda self: len(self.known) < MOST_TASKS)
    @stateful.rule(
        target=tasks,
        kind=st.sampled_from(sorted(knowledge.STEPS)),
        told=tellings,
        project=st.sampled_from(["", *PROJECTS]),
        asks=st.booleans(),
        priority=st.integers(-1, 1),
        lock=locks,
    )
    def submit(self, kind, told, project, asks, priority, lock):
        world = task_types.World(self.home / f"world-{len(self.known)}")
        who = gt.Requester(project) if project and asks else None
        told = {**told, **lock}
        refused = self.service.conflicts(told)

        try:
            made = self.engine.submit(
                kind,
                world.given(**told),
                owner=None if who else project,
                requester=who,
                priority=priority,
            )
        except exceptions.TaskConflict:
            assert refused
            return stateful.multiple()
        assert not refused
        assert (made.status, made.phase) == ("pending", "queued")
        assert (made.owner, made.priority) == (project, priority)
        return self.service.add(made, world, told)

    @stateful.precondition(lambda self: any(not k.living for k in self.known))
    @stateful.rule(target=tasks, old=tasks, who=requesters)
    def retry(self, old, who):
        again = any(
            k.seen.retry_of == old.seen.id and not k.reaped for k in self.known
        )
        refused = self.service.conflicts(old.told)
        try:
            made = self.engine.retry(old.seen.id, who)
        except exceptions.TaskNotFound:
            assert not self.sees(who, old)
            return stateful.multiple()
        except exceptions.TaskConflict:
            unfit = again or old.seen.status is not task.Status.FAILURE
            assert unfit or refused
            return stateful.multiple()
        assert self.sees(who, old) and not (again or refused)
        assert (made.retry_of, made.owner) == (old.seen.id, old.seen.owner)
        assert (made.fence, made.image_id) == (
            *(old.seen.fence, old.seen.image_id),
        )
        return self.service.add(made, old.world, old.told)

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
        held = self.service.taken(holder)
        return stateful.multiple() if held is None else held

    @stateful.rule(held=stateful.consumes(claims))
    def run(self, held):
        self.service.follow(held, self.service.begun(held))

    @stateful.rule(
        held=stateful.consumes(claims),
        write=st.integers(1, 24),
        side=st.sampled_from(["before", "after"]),
    )
    def run_and_be_cut(self, held, write, side):
        self.service.cut_off(held, cuts.Cut(write, side))

    @stateful.rule(holder=st.sampled_from("AB"), write=st.integers(1, 8))
    def live_and_die(self, holder, write):
        held = self.service.taken(holder)
        if held is not None:
            self.service.cut_off(held, cuts.Cut(write, "before"))
            self.service.let_lapse()

    @stateful.rule(held=stateful.consumes(claims))
    def be_interrupted(self, held):
        known, run = self.service.of(held), self.service.begun(held)
        before = self.service.traces(known)[1:]
        run.interrupt()
        ends = self.service.needs_no_atom(known)

        try:
            run.execute()
        except exceptions.RunInterrupted:
            assert self.service.traces(known)[1:] == before
        else:
            assert ends

    @stateful.rule(held=stateful.consumes(claims))
    def give_back(self, held):
        known = self.service.of(held)

        given = self.engine.board.give_back(held)

        assert given != knowledge.is_stale(held, known)
        if given:
            known.state, known.holder = "ready", None
            known.lapsed = known.released = False

    @stateful.rule(held=claims)
    def renew(self, held):
        known = self.service.of(held)

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
        self.service.let_lapse()

    @stateful.rule(holder=st.sampled_from("AB"))
    def bury(self, holder):
        number = self.engine.board.release(holder)

        held = [
            k
            for k in self.known
            if k.living and k.state == "held" and k.holder == holder
        ]
        assert number == len(held)
        self.service.pass_back_off(holder)
        for known in held:
            known.lapsed, known.released = True, True
            known.overdue = False

    @stateful.rule()
    def restart(self):
        self.service.restart()

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

        done = reaper.reap(
            self.engine.database,
            (self.engine.area, self.engine.staging),
            self.engine.vault,
            self.engine.store,
        )

        assert done.tasks == gone
        known.reaped = known.reaped or gone
        living = {k.seen.id for k in self.known if k.living}
        assert set(self.engine.area.task_ids()) <= living | {
            k.seen.id for k in self.known if k.reaped
        }

    # --- what is always true -------------------------------------------------

    @stateful.invariant()
    def holds(self):
        self.service.check()

    def teardown(self):
        try:
            # Hypothesis tears down in a "finally".
            if sys.exc_info()[0] is None:
                self.service.come_to_an_end()
        finally:
            self.engine.close()
            shutil.rmtree(self.home)


@pytest.mark.fuzz(weight=6.0)
def test_the_engine_keeps_its_promises(machine):
    machine(EngineMachine, fuzzing.examples(30))
