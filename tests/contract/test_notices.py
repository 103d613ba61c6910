# SPDX-License-Identifier: Apache-2.0
"""A calling service is told of every outcome, after it was recorded."""

import threading

import pytest

import glance_tasks as gt
from glance_tasks import announcing
from glance_tasks.persistence import notices
from glance_tasks.testing import clock
from glance_tasks.testing import cuts
from tests.support import engines
from tests.support import task_types
from tests.support.conducting import conducting
from tests.support.conducting import ended


class Listener:
    """Notes what it is told, and fails as often as it should."""

    def __init__(self, fails=0):
        """Fail the first times."""
        self.told, self.fails = [], fails
        self.lock = threading.Lock()

    def notify(self, event_type, payload):
        """Note it, or fail."""
        with self.lock:
            if self.fails:
                self.fails -= 1
                raise OSError("nobody listens")
            self.told.append((event_type, dict(payload)))

    def kinds(self, task):
        """Give what was told of a task, in order."""
        return [kind for kind, told in self.told if told["id"] == task.id]


@pytest.fixture
def listener():
    return Listener()


@pytest.fixture
def engine(tmp_path, clean_database_url, listener):
    with engines.opened(
        tmp_path, database_url=clean_database_url, notifier=listener
    ) as engine:
        yield engine


@pytest.fixture
def world(tmp_path):
    return task_types.World(tmp_path / "world")


def announce(engine, listener):
    announcer = announcing.Announcer(engine.database, engine.tasks, listener)
    while announcer.announce():
        pass


@pytest.mark.parametrize(
    ("told", "outcome"), [({}, "success"), ({"fail_at": "step-2"}, "failure")]
)
def test_creation_and_outcome_are_told_in_order(
    engine, listener, world, told, outcome
):
    who = gt.Requester("alpha", user_id="ann", request_id="req-1")
    task = engine.submit("line", world.given(**told), requester=who)
    with conducting(engine):
        found = ended(engine, task)

    assert listener.kinds(task) == ["task.create", f"task.{outcome}"]
    last = listener.told[-1][1]
    assert last["status"] == outcome
    assert (last["request_id"], last["image_id"]) == ("req-1", found.image_id)
    assert (last["message"], last["result"]) == (found.message, found.result)
    assert bool(last["failure"]) is (outcome == "failure")
    assert "input" not in last
    assert engines.dump(engine)["gt_notices"] == []


def test_a_cancelled_task_is_told_of_too(engine, listener, world):
    task = engine.submit("line", world.given())
    engine.cancel(task.id)

    announce(engine, listener)

    assert listener.kinds(task) == ["task.create", "task.failure"]
    assert listener.told[-1][1]["failure"]["code"] == "cancelled"


def test_what_could_not_be_told_is_told_later(engine, listener, world):
    listener.fails = 2
    tasks = [engine.submit("line", world.given()) for _ in range(3)]
    announce(engine, listener)
    before = [told["id"] for _, told in listener.told]

    clock.FakeClock(engine).advance(60)
    announce(engine, listener)

    assert before == [tasks[2].id]
    assert {told["id"] for _, told in listener.told} == {t.id for t in tasks}
    assert engines.dump(engine)["gt_notices"] == []


def test_an_outcome_is_not_told_before_the_creation(engine, listener, world):
    listener.fails = 1
    task = engine.submit("line", world.given())
    engines.run_all(engine)
    announce(engine, listener)
    early = listener.kinds(task)

    clock.FakeClock(engine).advance(60)
    announce(engine, listener)

    assert early == []
    assert listener.kinds(task) == ["task.create", "task.success"]


def test_who_dies_over_it_leaves_it_to_others(engine, listener, world):
    task = engine.submit("line", world.given())
    notices.take(engine.database, 50, 30.0)
    announce(engine, listener)
    early = listener.kinds(task)

    clock.FakeClock(engine).advance(60)
    announce(engine, listener)

    assert early == []
    assert listener.kinds(task) == ["task.create"]


def test_what_was_told_late_does_not_forget_another(engine, listener, world):
    engine.submit("line", world.given())
    (late,) = notices.take(engine.database, 50, 30.0)
    notices.done(engine.database, late)
    # SQLite gives the number again.
    engine.submit("line", world.given())

    notices.done(engine.database, late)

    assert len(engines.dump(engine)["gt_notices"]) == 1


def test_several_tell_each_once(engine, listener, world):
    for _ in range(20):
        engine.submit("line", world.given())
    start = threading.Barrier(4)

    def tell():
        start.wait()
        announce(engine, listener)

    threads = [threading.Thread(target=tell) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    ids = [told["id"] for _, told in listener.told]
    assert len(ids) == len(set(ids))
    announce(engine, listener)
    assert len(listener.told) == 20


def test_what_did_not_happen_is_not_told(engine, listener, world):
    counted = cuts.Cutter(None)
    with counted.watching(engine.database.engine):
        engine.submit("line", world.given())
    told = len(engines.dump(engine)["gt_tasks"])
    for number in range(1, counted.writes + 1):
        cutter = cuts.Cutter(cuts.Cut(number, "before"))
        with (
            cutter.watching(engine.database.engine),
            pytest.raises(cuts.PowerCut),
        ):
            engine.submit("line", world.given())

    rows = engines.dump(engine)
    assert len(rows["gt_notices"]) == len(rows["gt_tasks"]) == told


def test_where_nobody_listens_nothing_is_kept(
    tmp_path, clean_database_url, world
):
    with engines.opened(tmp_path, database_url=clean_database_url) as engine:
        engine.submit("line", world.given())
        engines.run_all(engine)

        assert engines.dump(engine)["gt_notices"] == []


def test_a_listener_that_is_not_installed_is_named(tmp_path):
    conf = engines.configuration(tmp_path, notifier="absent")

    with pytest.raises(gt.ConfigurationError, match="notifier = 'absent'"):
        gt.TaskEngine(conf)
