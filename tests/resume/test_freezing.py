# SPDX-License-Identifier: Apache-2.0
"""A conductor that is frozen past its lease writes nothing after it thaws.

Not a checkpoint, event, status or file: all tables and directories are
compared as they were before the thaw and after it.
"""

import contextlib
import os
import random
import signal
import sqlite3
import threading

import pytest
from taskflow.patterns import linear_flow

from glance_tasks import exceptions
from glance_tasks.testing.certification import processes
from tests.support import cutting
from tests.support import engines
from tests.support import task_types

# Seconds an atom takes, or its undoing.
PACE = 0.15


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def world(tmp_path):
    return task_types.World(tmp_path / "world")


def state_of(engine, home, world):
    """Give all that a conductor could have changed."""
    began = [
        line
        for line in world.journal()
        if line.startswith(("execute", "revert"))
    ]
    return (
        engines.dump(engine),
        engines.files(home),
        engines.files(world.effects),
        began,
    )


# --- processes ---------------------------------------------------------------


class Service:
    """Two conductors of one database, the first of which will be frozen."""

    def __init__(self, home, world, engine, start):
        """Use the engine to look at what the processes do."""
        self.home, self.world, self.engine = home, world, engine
        self.start = start

    def freeze_and_thaw(self, task, strike):
        """Freeze the first, let the second end the task, thaw the first.

        :param strike: returns when the first is to be frozen
        :returns: the states before and after the thaw
        """
        frozen = self.start()
        strike()
        self.freeze(frozen)
        fence = self.engine.get(task.id).fence
        second = self.start()
        # The first one lives, so only its lease's end frees the task.
        engines.until(
            lambda: self.engine.get(task.id).fence > fence, "the takeover"
        )
        self.world.open_gate()
        self.engine.wait(task.id, 60)
        second.terminate()
        second.wait(60)
        before = self.state()
        frozen.send_signal(signal.SIGCONT)
        engines.until(self.left, "the end of the thawed run")
        frozen.terminate()
        assert frozen.wait(60) == 0
        return before, self.state()

    def freeze(self, process):
        """Freeze a process that does not just hold SQLite's only lock.

        With that one frozen nobody can write, and nothing can be done.
        """
        while True:
            processes.freeze(process)
            if not self.engine.database.embedded or self.writable():
                return
            process.send_signal(signal.SIGCONT)

    def writable(self):
        """Tell whether somebody can write to the SQLite database."""
        database = sqlite3.connect(
            self.engine.database.url.database, timeout=0.2
        )
        with contextlib.closing(database):
            try:
                database.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
        return True

    def left(self):
        """Tell whether the first has noticed that it lost its claim."""
        log = (self.home.parent / "conductors.log").read_text()
        return any(
            words in log
            for words in (" left: ", "its lease was lost", "given back")
        )

    def state(self):
        """Give all that a conductor could have changed."""
        return state_of(self.engine, self.home, self.world)


@contextlib.contextmanager
def serving(home, world, **options):
    """Give a service with leases as short as a busy machine can keep."""
    options["claim_ttl"] = 2.0
    with (
        engines.opened(home, **options) as engine,
        engines.processes(home, **options) as start,
    ):
        yield Service(home, world, engine, start)


def freeze_at_random(service, told):
    """Freeze it after some lines of the journal and some time."""
    chooser = random.Random(cutting.seed())
    world = service.world
    # What is frozen between its last look at the clock and its note would make
    # the note when it thaws, if it did not ask: 2 of 120 on a busy machine.
    given = world.given(pace=PACE, fence_at="every step", **told)
    task = service.engine.submit("line", given)
    lines = chooser.randrange(1, 15 if told else 9)
    pause = chooser.uniform(0, PACE)

    def strike():
        engines.until(lambda: len(world.journal()) >= lines)
        threading.Event().wait(pause)

    return service.freeze_and_thaw(task, strike)


@pytest.mark.parametrize(
    "told", [{}, {"fail_at": "step-5"}], ids=["working", "failing"]
)
def test_a_conductor_frozen_at_any_moment_writes_nothing_more(
    home, world, told
):
    with serving(home, world) as service:
        before, after = freeze_at_random(service, told)

    assert after == before
    assert world.left() == (set() if told else set(task_types.STEPS))


@pytest.mark.soak
@pytest.mark.parametrize("time", range(20))
@pytest.mark.parametrize(
    "told", [{}, {"fail_at": "step-5"}], ids=["working", "failing"]
)
def test_a_conductor_frozen_at_many_moments_writes_nothing_more(
    clean_database_url, home, world, told, time
):
    with serving(home, world, connection=clean_database_url) as service:
        before, after = freeze_at_random(service, told)

    assert after == before


@pytest.mark.parametrize("kind", ["line", "arms"])
def test_a_conductor_frozen_on_any_database_writes_nothing_more(
    clean_database_url, home, world, kind
):
    with serving(home, world, connection=clean_database_url) as service:
        task = service.engine.submit(kind, world.given(wait_at="every step"))

        before, after = service.freeze_and_thaw(
            task, lambda: engines.until(world.journal)
        )

        assert service.engine.get(task.id).status == "success"
    # Thawed, it finds the gate open; nor may it begin what it had queued.
    assert after == before
    assert world.left() == set(task_types.STEPS)


# --- at every statement, in one process --------------------------------------


class Write(task_types.Mark):
    """Write into a file of the work directory.

    Reverting removes it.
    """

    def execute(self):
        """Add a line of this claim to the file."""
        self.world.note(f"execute {self.name}")
        with (self.run.work_dir / "image").open("a") as image:
            image.write(f"{self.run.fence.number}\n")
        self.run.progress.advanced()
        return {"name": "image"}

    def revert(self, **kwargs):
        """Remove the file."""
        self.world.note(f"revert {self.name}")
        (self.run.work_dir / "image").unlink(missing_ok=True)


class Publish(task_types.Mark):
    """Link the file to where everybody sees it, if the claim still holds.

    Reverting removes it from there.
    """

    def execute(self):
        """Ask the fence, then link."""
        self.world.note(f"execute {self.name}")
        image = self.world.effects / "image"
        self.run.fence.check()
        image.unlink(missing_ok=True)
        os.link(self.run.work_dir / "image", image)

    def revert(self, **kwargs):
        """Ask the fence, then unlink."""
        self.world.note(f"revert {self.name}")
        self.run.fence.check()
        (self.world.effects / "image").unlink(missing_ok=True)


class PublishTask(task_types.LineTask):
    """Write a file and publish it."""

    optional_steps = ()

    def build(self, ctx):
        """Build the two, and a third that may fail."""
        return linear_flow.Flow("publish").add(
            Write(ctx, name="write"),
            Publish(ctx, name="publish"),
            task_types.Mark(ctx, name="step-0"),
        )


TYPES = {**task_types.TYPES, "publish": PublishTask}


class Frozen:
    """Stops an engine's thread before one of the statements that begin."""

    def __init__(self, engine, number):
        """Stop before the ``number``-th transaction."""
        self.reached, self.thaw = threading.Event(), threading.Event()
        self.seen, self._number = 0, number
        self._dialect = engine.database.engine.dialect

    def __enter__(self):
        inner = self._dialect.do_execute

        def execute(cursor, statement, *args):
            if statement.startswith("BEGIN"):
                self.seen += 1
                if self.seen == self._number:
                    self.reached.set()
                    assert self.thaw.wait(60)
            inner(cursor, statement, *args)

        self._dialect.do_execute = execute
        return self

    def __exit__(self, *_):
        self.thaw.set()
        del self._dialect.do_execute


def late_run(engine, claim):
    """Run a claim that will be lost; give what it raised."""
    try:
        engines.run(engine, claim)
    except exceptions.RunInterrupted as error:
        return error
    except Exception as error:  # noqa: BLE001 - the conductor's place for it
        return error
    return None


def freeze_before(number, home, world, kind, told):
    """Freeze a run before its ``number``-th transaction, as above.

    :returns: whether there was one of that number
    """
    raised = []
    with (
        engines.opened(home, types=TYPES) as first,
        engines.opened(home, types=TYPES) as second,
    ):
        task = first.submit(kind, world.given(**told))
        claim = engines.claim(first)
        with Frozen(first, number) as frozen:
            thread = threading.Thread(
                target=lambda: raised.append(late_run(first, claim))
            )
            thread.start()
            engines.until(
                lambda: frozen.reached.is_set() or not thread.is_alive()
            )
            reached = frozen.reached.is_set()
            if reached:
                engines.lapse(second)
                engines.run_all(second)
                ended = second.get(task.id)
                before = state_of(second, home, world)
            frozen.thaw.set()
            thread.join(60)
        if reached:
            what = f"frozen before transaction {number}"
            assert ended.status == ("failure" if told else "success"), what
            assert state_of(second, home, world) == before, what
            assert isinstance(raised[0], exceptions.LeaseLost), what
    return reached


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("line", {}),
        ("line", {"fail_at": "step-3"}),
        ("publish", {}),
        ("publish", {"fail_at": "step-0"}),
    ],
    ids=["line", "line fails", "publish", "publish fails"],
)
def test_a_run_frozen_before_any_transaction_writes_nothing_more(
    tmp_path, kind, told
):
    number = 1
    while freeze_before(
        number,
        tmp_path / f"home-{number}",
        task_types.World(tmp_path / f"world-{number}"),
        kind,
        told,
    ):
        number += 1

    # Rows, checkpoints, the end, and what is read between them.
    assert number > 8
