# SPDX-License-Identifier: Apache-2.0
"""What a run reports is written in batches, while it holds the task."""

import pytest
import sqlalchemy as sa

from glance_tasks import exceptions
from glance_tasks import reporting
from glance_tasks import task
from glance_tasks.persistence import models
from tests.support import engines
from tests.support import task_types


@pytest.fixture
def engine(tmp_path):
    with engines.opened(tmp_path) as engine:
        yield engine


@pytest.fixture
def held(engine, tmp_path):
    """Submit a task and claim it."""
    engine.submit("line", task_types.World(tmp_path).given())
    return engines.claim(engine)


@pytest.fixture
def report(engine, held):
    return reporting.Report(engine.tasks, held.task)


def test_nothing_is_written_before_a_flush(engine, held, report):
    report.step("FetchImage", task.Phase.TRANSFERRING)
    report.bytes(1, 4)

    assert engine.get(held.task.id).progress == {}


def test_progress_is_written_with_the_flush(engine, held, report):
    report.step("FetchImage", task.Phase.TRANSFERRING)
    report.bytes(1, 4)

    assert report.flush()

    found = engine.get(held.task.id)
    assert found.phase is task.Phase.TRANSFERRING
    assert found.progress == {
        "step": "FetchImage",
        "done_bytes": 1,
        "total_bytes": 4,
        "ratio": 0.25,
    }


@pytest.mark.parametrize("total", [None, 0])
def test_progress_towards_an_unknown_end_has_no_ratio(
    engine, held, report, total
):
    report.bytes(7, total)

    report.flush()

    assert engine.get(held.task.id).progress["ratio"] == 0.0


def test_an_event_is_written_with_the_flush(engine, held, report):
    report.append("seen", "one two", atom="FetchImage", detail={"a": 1})

    report.flush()

    event = engine.events(held.task.id)[-1]
    assert (event.kind, event.text, event.atom, event.detail) == (
        *("seen", "one two", "FetchImage"),
        {"a": 1},
    )


def test_an_event_is_written_once(engine, held, report):
    report.append("seen")

    report.flush()
    report.flush()

    kinds = [event.kind for event in engine.events(held.task.id)]
    assert kinds.count("seen") == 1


def test_an_unchanged_report_writes_nothing(engine, held, report):
    report.append("seen")
    report.flush()
    before = engines.dump(engine)

    assert report.flush()

    assert engines.dump(engine) == before


def test_a_credential_does_not_get_into_the_timeline(engine, held, report):
    secret = "http://u:CANARY@h/"
    report.append("seen", secret, detail={"uri": secret, "in": [secret]})

    report.flush()

    assert "CANARY" not in repr(engines.dump(engine)["gt_events"])


@pytest.mark.parametrize(
    "event",
    [
        {"kind": "k" * 300},
        {"kind": "seen", "atom": "a" * 300},
        {"kind": "seen", "text": "a\0b"},
        {"kind": "seen", "text": "a\ud800b"},
        {"kind": "seen", "text": "x" * 2_000_000},
        {"kind": "seen", "detail": {"a": object()}},
        {"kind": "seen", "detail": {"a": "b\ud800\0"}},
        {"kind": "seen", "detail": {"a": "x" * 2_000_000}},
    ],
    ids=[
        *("long kind", "long atom", "nul", "surrogate", "long text"),
        *("no json", "bad detail", "long detail"),
    ],
)
def test_an_event_of_any_plugin_is_taken(clean_database_url, tmp_path, event):
    with engines.opened(tmp_path, database_url=clean_database_url) as engine:
        engine.submit("line", task_types.World(tmp_path).given())
        held = engines.claim(engine)
        report = reporting.Report(engine.tasks, held.task)

        report.append(**event)
        report.flush()

        found = engine.events(held.task.id)[-1]
        assert found.kind == event["kind"][:64]
        assert len(repr(found)) < 64 * 1024


def test_a_run_that_lost_its_claim_writes_nothing(engine, held, report):
    engines.lapse(engine)
    engines.claim(engine, holder="successor")
    before = engines.dump(engine)
    report.append("seen")
    report.bytes(1, 2)

    assert not report.flush()

    assert engines.dump(engine) == before


def test_to_advance_is_written_at_once(engine, held, report):
    report.advanced()

    with engine.database.read() as connection:
        when = connection.scalar(sa.select(models.TASKS.c.advanced_at))
    assert when is not None


def lose_the_database(engine):
    with engine.database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE gt_tasks RENAME TO gone")


def find_the_database(engine):
    with engine.database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE gone RENAME TO gt_tasks")


def test_what_could_not_be_written_is_written_later(engine, held, report):
    report.append("seen")
    lose_the_database(engine)
    with pytest.raises(exceptions.DatabaseUnreachable):
        report.flush()
    find_the_database(engine)

    report.flush()

    assert engine.events(held.task.id)[-1].kind == "seen"


def test_to_advance_while_the_database_is_away_is_no_failure(engine, report):
    lose_the_database(engine)

    report.advanced()

    find_the_database(engine)
    assert report.flush()
    with engine.database.read() as connection:
        when = connection.scalar(sa.select(models.TASKS.c.advanced_at))
    assert when is not None


def test_a_phase_moves_only_as_declared(engine, held, report):
    report.step("Undo", task.Phase.REVERTING)
    report.step("Fetch", task.Phase.TRANSFERRING)
    report.flush()

    moved = engine.get(held.task.id).phase
    assert task.may_move(task.Phase.REVERTING, moved)


@pytest.mark.parametrize("phase", sorted(set(task.Phase) - task.AT_WORK))
def test_what_is_not_for_an_atom_to_say_is_not_shown(
    engine, held, report, phase
):
    for step in (task.Phase.PAUSING, task.Phase.PAUSED, phase):
        report.step("FetchImage", step)
    report.flush()

    assert engine.get(held.task.id).phase is task.Phase.PROCESSING


def test_what_is_drained_is_not_flushed_again(engine, held, report):
    report.append("seen")

    drained = report.drain()

    assert [event.kind for event in drained] == ["seen"]
    report.flush()
    assert "seen" not in [e.kind for e in engine.events(held.task.id)]
