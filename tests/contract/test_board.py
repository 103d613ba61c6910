# SPDX-License-Identifier: Apache-2.0
"""The board: order, claims, leases and attempts, on every database."""

import collections
import threading
import time

import pytest
import sqlalchemy as sa

from glance_tasks.persistence import models
from tests.support import engines
from tests.support import holding
from tests.support import task_types


@pytest.fixture
def engine(tmp_path, clean_database_url):
    with engines.opened(tmp_path, database_url=clean_database_url) as engine:
        yield engine


@pytest.fixture
def world(tmp_path):
    return task_types.World(tmp_path / "world")


@pytest.fixture
def submit(engine, world):
    return lambda **how: engine.submit("line", world.given(), **how).id


@pytest.fixture
def board(engine):
    return engine.board


def age(engine, task_id, seconds):
    with engine.database.write() as connection:
        connection.execute(
            sa.update(models.JOBS)
            .where(models.JOBS.c.task_id == task_id)
            .values(sequence=models.JOBS.c.sequence - seconds)
        )


def together(*jobs):
    """Run each in a thread of its own, all at once; give what failed."""
    start, failed = threading.Barrier(len(jobs)), []

    def work(job):
        start.wait()
        try:
            job()
        except Exception as error:  # noqa: BLE001 - shown by the assertion
            failed.append(error)

    threads = [threading.Thread(target=work, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failed


# --- order -------------------------------------------------------------------


def test_tasks_are_claimed_by_priority_then_by_age(engine, board, submit):
    late, early = submit(), submit()
    urgent, never = submit(priority=5), submit(priority=-5)
    age(engine, early, 10)
    age(engine, never, 1000)

    order = [board.claim("me", 60).task.id for _ in range(4)]

    assert order == [urgent, early, late, never]


def test_an_empty_board_gives_nothing(board):
    assert board.claim("me", 60) is None
    assert board.pending() == 0


def test_a_lapsed_lease_comes_before_what_waits(engine, board, submit):
    first = submit(priority=-1)
    board.claim("dead", 60)
    submit(priority=9)
    engines.lapse(engine)

    assert board.claim("me", 60).task.id == first


# --- claims ------------------------------------------------------------------


def test_a_claim_says_who_holds_what(engine, board, submit):
    task_id = submit()

    claim = board.claim("me", 60)

    assert (claim.task.id, claim.holder, claim.lapsed) == (task_id, "me", None)
    assert (claim.task.status, claim.task.phase) == (
        "processing",
        "processing",
    )
    assert (claim.task.fence, claim.task.attempts) == (1, 0)
    assert claim.task == engine.get(task_id)
    assert claim.task.started_at is not None


def test_a_task_that_is_held_is_nobody_elses(board, submit):
    submit()
    board.claim("me", 60)

    assert board.claim("other", 60) is None
    assert board.pending() == 1


def test_a_task_can_be_claimed_by_name(board, submit):
    first, second = submit(), submit()

    assert board.claim("me", 60, second).task.id == second
    assert board.claim("me", 60, second) is None
    assert board.claim("me", 60, first).task.id == first


def test_types_that_are_left_to_others_are_not_claimed(board, submit):
    first, second = submit(priority=10), submit()

    assert board.claim("me", 60.0, but=["line", "other"]) is None
    assert board.claim("me", 60.0, first, but=["line"]) is None
    assert board.pending(["line"]) == 0
    assert board.claim("me", 60.0, but=["other"]).task.id == first
    assert board.claim("me", 60.0, second, but=["other"]) is not None


def test_each_of_many_tasks_is_claimed_once(engine, board, submit):
    tasks = [submit() for _ in range(40)]
    claimed = collections.Counter()

    def claim():
        while found := board.claim(threading.current_thread().name, 60):
            claimed[found.task.id] += 1

    failed = together(*[claim] * 8)
    # A claimer that found every row locked has left; nothing may be left over.
    claim()

    assert failed == []
    assert claimed == dict.fromkeys(tasks, 1)


def test_tasks_are_posted_and_claimed_at_once(board, submit):
    claimed, ended = collections.Counter(), threading.Event()

    def claim():
        while not ended.is_set() or board.pending() > sum(claimed.values()):
            if found := board.claim(threading.current_thread().name, 60):
                claimed[found.task.id] += 1

    def post():
        for _ in range(15):
            submit()

    def post_all():
        assert together(post, post, post) == []
        ended.set()

    failed = together(*[claim] * 5, post_all)

    assert failed == []
    assert set(claimed.values()) == {1}
    assert len(claimed) == 45


def test_a_claim_does_not_wait_for_another(
    engine, board, submit, tmp_path, clean_database_url
):
    if engine.database.embedded:
        pytest.skip("SQLite has one writer at a time")
    tasks = {submit(), submit()}
    with engines.opened(tmp_path, database_url=clean_database_url) as other:
        with holding.Held(other, "do_commit") as hold:
            thread, first = holding.in_thread(lambda: engines.claim(other))
            assert hold.reached.wait(60)

            second = board.claim("me", 60)

        thread.join(60)
    assert {first[0].task.id, second.task.id} == tasks


def test_a_lapsed_lease_is_taken_over_once(engine, board, submit):
    submit()
    board.claim("dead", 60)
    engines.lapse(engine)
    taken = []

    failed = together(*[lambda: taken.append(board.claim("me", 60))] * 8)

    assert failed == []
    assert len([claim for claim in taken if claim]) == 1


# --- leases ------------------------------------------------------------------


def test_a_lease_lapses_by_itself(board, submit):
    submit()
    board.claim("dead", 0.2)

    taken = engines.until(lambda: board.claim("me", 60))

    assert (taken.lapsed, taken.task.fence) == ("dead", 2)


def test_a_lease_that_is_renewed_does_not_lapse(engine, board, submit):
    submit()
    claim = board.claim("me", 0.2)

    assert board.renew([claim], 600) == []

    # Wait for the first lease's end by the database's clock.
    with engine.database.read() as connection:
        until = connection.scalar(sa.select(models.now() + 0.3))
    engines.until(lambda: now(engine) > until)
    assert board.claim("other", 60) is None


def now(engine):
    with engine.database.read() as connection:
        return connection.scalar(sa.select(models.now()))


def test_the_databases_clock_is_the_time(engine):
    assert abs(now(engine) - time.time()) < 60


def test_the_databases_clock_moves_on_within_a_transaction(engine):
    with engine.database.write() as connection:
        first = connection.scalar(sa.select(models.now()))
        engines.until(
            lambda: connection.scalar(sa.select(models.now())) > first
        )


def test_an_old_claim_cannot_be_renewed(engine, board, submit):
    submit()
    old = board.claim("me", 60)
    engines.lapse(engine)
    new = board.claim("me", 60)
    before = engines.dump(engine)["gt_jobs"]

    # The same conductor holds it, but by another claim.
    assert board.renew([old], 600) == [old]

    assert engines.dump(engine)["gt_jobs"] == before
    assert board.renew([old, new], 600) == [old]


def give_back(board, claim):
    board.give_back(claim)


def set_aside(board, claim):
    with board._database.write() as connection:
        board.set_aside(connection, claim)


@pytest.mark.parametrize("give_away", [give_back, set_aside])
def test_an_old_claim_cannot_give_the_task_away(
    engine, board, submit, give_away
):
    submit()
    old = board.claim("me", 60)
    engines.lapse(engine)
    board.claim("me", 60)
    before = engines.dump(engine)

    give_away(board, old)

    assert engines.dump(engine) == before


def test_a_claim_of_a_task_that_has_ended_cannot_be_renewed(
    engine, board, submit
):
    submit()
    claim = board.claim("me", 60)
    engines.run(engine, claim)

    assert board.renew([claim], 60) == [claim]


# --- giving back -------------------------------------------------------------


def test_a_task_that_is_given_back_can_be_claimed_at_once(board, submit):
    task_id = submit()
    board.give_back(board.claim("me", 60))

    taken = board.claim("other", 60)

    assert (taken.task.id, taken.lapsed) == (task_id, None)
    assert (taken.task.fence, taken.task.attempts) == (2, 0)


def test_a_task_can_be_given_back_for_later(engine, board, submit):
    submit()
    board.give_back(board.claim("me", 60), delay=0.3)

    assert board.claim("other", 60) is None
    assert board.pending() == 1
    assert engines.until(lambda: board.claim("other", 60))


def test_a_task_that_is_set_aside_waits_until_it_is_woken(board, submit):
    submit()
    set_aside(board, board.claim("me", 60))

    assert board.claim("other", 60) is None
    assert board.pending() == 0
    board.wake(3600)
    assert board.claim("other", 60) is None
    board.wake(0)
    taken = board.claim("other", 60)
    assert (taken.lapsed, taken.task.attempts) == (None, 0)


def test_the_leases_of_a_dead_conductor_lapse_and_no_others(board, submit):
    first, second = submit(), submit()
    held = {
        board.claim("dead", 600, first).task.id,
        board.claim("alive", 600, second).task.id,
    }

    assert board.release("dead") == 1

    taken = board.claim("me", 60)
    assert (taken.task.id, taken.lapsed) == (first, "dead")
    assert board.claim("me", 60) is None
    assert held == {first, second}


# --- attempts ----------------------------------------------------------------


def attempts_after(engine, *lives):
    """Claim, live and die for each; give the attempts at the next claim."""
    for live in lives:
        claim = engine.board.claim("mortal", 600)
        live(claim)
        engines.lapse(engine)
    return engine.board.claim("last", 600).task.attempts


def idle(_claim):
    """Do nothing before dying."""


def test_each_lapse_without_a_move_counts(engine, submit):
    submit()

    assert attempts_after(engine, idle, idle, idle) == 3


def lapse_ago(engine, seconds):
    with engine.database.write() as connection:
        connection.execute(
            sa.update(models.JOBS).values(lease_until=models.now() - seconds)
        )


def test_what_kills_again_and_again_is_left_alone_for_longer(
    engine, board, submit
):
    submit()
    board.claim("mortal", 600)
    waits = []
    for _ in range(7):
        waits.append(
            next(
                seconds
                for seconds in (0.0, 0.9, 1.9, 3.9, 7.9, 15.9, 31.9)
                if lapse_ago(engine, seconds)
                or board.claim("next", 600) is not None
            )
        )

    assert waits == [0.0, 1.9, 3.9, 7.9, 15.9, 31.9, 31.9]


def test_a_checkpoint_begins_the_count_anew(engine, board, world):
    engine.submit("line", world.given(die_at="step-2"))

    def run(claim):
        with pytest.raises(task_types.Died):
            engines.run(engine, claim)

    # Two atoms are checkpointed under the third claim, none after it.
    assert attempts_after(engine, idle, idle, run) == 0
    engines.lapse(engine)
    assert attempts_after(engine, run, run) == 3


def test_an_advance_begins_the_count_anew(engine, submit):
    submit()

    def advance(claim):
        engine.tasks.note(
            claim.task.id,
            claim.task.fence,
            phase=claim.task.phase,
            progress={},
            advanced=True,
        )

    assert attempts_after(engine, idle, idle, advance) == 0


def test_a_mere_report_does_not_begin_the_count_anew(engine, submit):
    submit()

    def report(claim):
        engine.tasks.note(
            claim.task.id,
            claim.task.fence,
            phase=claim.task.phase,
            progress={"done_bytes": 7},
            advanced=False,
        )

    assert attempts_after(engine, idle, report) == 2


def test_to_give_back_never_counts(engine, board, submit):
    submit()
    for _ in range(5):
        board.give_back(board.claim("me", 60))

    assert attempts_after(engine, idle) == 1


def test_a_move_before_a_giving_back_begins_the_count_anew(
    engine, board, submit
):
    submit()
    for live in (idle, idle):
        live(board.claim("mortal", 600))
        engines.lapse(engine)
    claim = board.claim("drained", 600)
    engine.tasks.note(
        claim.task.id,
        claim.task.fence,
        phase=claim.task.phase,
        progress={},
        advanced=True,
    )
    board.give_back(claim)

    assert attempts_after(engine, idle) == 1
