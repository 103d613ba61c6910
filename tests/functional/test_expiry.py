# SPDX-License-Identifier: Apache-2.0
"""Tasks are kept for their time to live, and swept up after it."""

import uuid

import pytest

import glance_tasks as gt
from glance_tasks import belonging
from glance_tasks import reaper
from glance_tasks import workdir
from glance_tasks.persistence import identity
from glance_tasks.transfer import cache
from tests.support import engines
from tests.support import task_types
from tests.support.conducting import conducting
from tests.support.conducting import ended


def alive_for(task):
    return (task.expires_at - task.finished_at).total_seconds() / 3600


@pytest.mark.parametrize(
    ("options", "success", "failure"),
    [
        ({}, 48, 48),
        ({"task_time_to_live": 1.0}, 1, 1),
        ({"task_time_to_live": 1.0, "failure_time_to_live": 5.0}, 1, 5),
        ({"task_time_to_live": 4.0, "failure_time_to_live": 2.0}, 4, 4),
        ({"task_time_to_live": 0.0}, 0, 0),
        ({"time_to_live_of": ["line:7"]}, 7, 7),
        ({"time_to_live_of": ["arms:7"]}, 48, 48),
        ({"failure_time_to_live_of": ["line:90"]}, 48, 90),
        (
            {
                "time_to_live_of": ["line:7"],
                "failure_time_to_live_of": ["line:3"],
            },
            *(7, 7),
        ),
    ],
    ids=str,
)
def test_a_failure_is_kept_no_shorter_than_a_success(
    home, world, options, success, failure
):
    with engines.opened(home, **options) as engine:
        good = engine.submit("line", world.given())
        bad = engine.submit("line", world.given(fail_at="step-0"))
        engines.run_all(engine)

        assert abs(alive_for(engine.get(good.id)) - success) < 0.01
        assert abs(alive_for(engine.get(bad.id)) - failure) < 0.01


def test_a_changed_time_to_live_is_for_tasks_that_end_later(home, world):
    with engines.opened(home, task_time_to_live=1.0) as engine:
        first = engine.submit("line", world.given())
        engines.run_all(engine)
        begun = engine.submit("line", world.given())

    with engines.opened(home, task_time_to_live=9.0) as engine:
        engines.run_all(engine)

        assert abs(alive_for(engine.get(first.id)) - 1) < 0.01
        assert abs(alive_for(engine.get(begun.id)) - 9) < 0.01


@pytest.fixture
def expired(home, world):
    """Give an engine with five tasks that expired and two that did not."""
    with engines.opened(home, task_time_to_live=0.0) as engine:
        for _ in range(5):
            engine.submit("line", world.given())
        engines.run_all(engine)
        engines.until(lambda: reap(engine, dry_run=True).tasks == 5)
        engine.submit("line", world.given())
        claim = engines.claim(engine)
        engine.area.take(claim.task.id, claim.task.fence)
        engine.submit("line", world.given())
        yield engine


def reap(engine, **how):
    return reaper.reap(
        engine.database,
        (engine.area, engine.staging),
        engine.vault,
        engine.store,
        **how,
    )


def test_the_reaper_takes_what_expired_and_leaves_the_rest(expired, world):
    assert reap(expired).tasks == 5

    rows = engines.dump(expired)
    assert len(expired.find()) == 2
    assert {row[1] for row in rows["gt_atoms"]} == set()
    assert len(rows["gt_jobs"]) == 2
    # What the tasks made stays.
    assert world.left() == set(task_types.STEPS)


def test_the_reaper_goes_through_every_batch(expired, monkeypatch):
    monkeypatch.setattr(reaper, "_BATCH", 2)

    assert reap(expired).tasks == 5
    assert reap(expired).tasks == 0


@pytest.mark.parametrize("pair", ["line", "line:", ":5", "line:-1", "line:x"])
def test_a_time_to_live_that_is_none_is_refused(home, pair):
    with pytest.raises(gt.ConfigurationError, match="expected TYPE:NUMBER"):
        engines.make_engine(home, time_to_live_of=[pair])


def test_a_changed_time_to_live_affects_later_ends_only(home, world):
    with engines.opened(home) as engine:
        before = engine.submit("line", world.given())
        engines.run_all(engine)
    with engines.opened(home, time_to_live_of=["line:7"]) as engine:
        after = engine.submit("line", world.given())
        engines.run_all(engine)

        found = [alive_for(engine.get(task.id)) for task in (before, after)]

    assert found == pytest.approx([48, 7])


def test_a_dry_run_of_the_reaper_changes_nothing(expired):
    before = engines.dump(expired)

    reap(expired, dry_run=True)

    assert engines.dump(expired) == before


def test_the_reaper_sweeps_directories_of_tasks_that_ended_only(engine, world):
    engine.submit("line", world.given())
    engines.run_all(engine)
    (ended,) = engine.find()
    engine.submit("line", world.given())
    living = engines.claim(engine).task
    reaped, unmarked = str(uuid.uuid4()), str(uuid.uuid4())
    for task_id in (ended.id, living.id, reaped):
        (engine.area.take(task_id, 1) / "image").write_text("x")
    other = workdir.WorkArea(engine.area.root, belonging.Mark("another's"))
    foreign = str(uuid.uuid4())
    other.take(foreign, 1)
    workdir.WorkArea(engine.area.root).take(unmarked, 1)

    seen = reap(engine, dry_run=True)
    done = reap(engine)

    assert seen.work_dirs == done.work_dirs == 2
    assert set(engine.area.task_ids()) == {living.id, foreign, unmarked}


def test_the_mark_of_a_database_stays_what_it_is(engine, home):
    first = identity.of(engine.database)

    with engines.opened(home) as again:
        assert identity.of(again.database) == first
    with engines.opened(home.parent / "other") as other:
        assert identity.of(other.database) != first


def test_a_directory_that_is_empty_goes_with_its_mark(engine):
    task_id = str(uuid.uuid4())
    engine.area.take(task_id, 1)

    engine.area.remove(task_id, 1)

    assert not (engine.area.root / task_id).exists()


def test_a_directory_that_cannot_be_swept_stops_no_conductor(
    engine, world, monkeypatch, caplog
):
    def fails(*words):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(cache.StagingCache, "trim", fails)
    task = engine.submit("line", world.given())

    with conducting(engine):
        assert ended(engine, task).status == "success"

    assert "Nothing could be swept" in caplog.text
