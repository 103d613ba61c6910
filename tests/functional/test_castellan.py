# SPDX-License-Identifier: Apache-2.0
"""Secrets in a key manager: there while the task lives, gone afterwards."""

import subprocess
import sys

import pytest
import sqlalchemy as sa

import glance_tasks as gt
from glance_tasks import reaper
from glance_tasks.adapters import castellan_secrets
from glance_tasks.persistence import models
from tests.support import engines
from tests.support import key_managers
from tests.support import secret_types

CREDENTIALS = secret_types.CREDENTIALS


@pytest.fixture
def manager():
    return key_managers.KeyManager()


@pytest.fixture
def engine(home, manager):
    engine = key_managers.make_engine(home, manager)
    yield engine
    engine.close()


def submit(engine, world, **told):
    return engine.submit(
        "secret", world.given(credentials=CREDENTIALS, **told)
    )


def rows(engine):
    return engines.dump(engine)["gt_secrets"]


def reap(engine):
    return reaper.reap(
        engine.database,
        (engine.area, engine.staging),
        engine.vault,
        engine.store,
    )


def test_the_value_is_in_the_key_manager_and_its_place_in_the_row(
    engine, manager, world
):
    task = submit(engine, world)

    [(reference, kept)] = manager.keys.items()
    assert secret_types.USER in kept.get_encoded().decode()
    assert rows(engine) == [
        (task.id, "credentials", "@castellan", reference.encode())
    ]


@pytest.mark.parametrize("fails", [{}, {"fail_at": "step-1"}])
def test_it_is_given_to_atoms_and_forgotten_at_the_end(
    engine, manager, world, fails
):
    task = submit(engine, world, **fails)

    engines.run_all(engine)

    assert engine.get(task.id).ended
    assert "revealed" in world.journal()
    assert (rows(engine), manager.keys) == ([], {})


def test_what_cannot_be_forgotten_at_the_end_is_swept(engine, manager, world):
    task = submit(engine, world)
    claim = engines.claim(engine)
    forget, manager.delete = manager.delete, _refuses
    engines.run(engine, claim)
    manager.delete = forget

    assert engine.get(task.id).ended
    assert len(manager.keys) == len(rows(engine)) == 1
    reap(engine)
    assert (rows(engine), manager.keys) == ([], {})


def _refuses(*args, **kwargs):
    raise key_managers.exception.KeyManagerError(reason="away")


def test_a_key_manager_that_is_away_is_asked_once_a_sweep(
    engine, manager, world
):
    asked = []
    for _ in range(3):
        submit(engine, world)
    manager.delete = _refuses
    engines.run_all(engine)

    def delete(context, reference):
        asked.append(reference)
        _refuses()

    manager.delete = delete
    reap(engine)

    assert len(asked) == 1
    assert len(rows(engine)) == 3


def test_expired_tasks_leave_the_note_of_what_is_not_forgotten(
    home, manager, world
):
    engine = key_managers.make_engine(home, manager)
    engine.conf.set_override("task_time_to_live", 0.0, "glance_tasks")
    submit(engine, world)
    claim = engines.claim(engine)
    forget, manager.delete = manager.delete, _refuses
    engines.run(engine, claim)

    engines.until(lambda: reap(engine).tasks == 1)

    assert (engine.find(), len(rows(engine))) == ([], 1)
    manager.delete = forget
    reap(engine)
    assert (rows(engine), manager.keys) == ([], {})
    engine.close()


def test_a_submit_that_fails_leaves_nothing_there(
    engine, manager, world, monkeypatch
):
    def fails(*args):
        raise RuntimeError("the transaction fails")

    monkeypatch.setattr(engine.board, "post", fails)

    with pytest.raises(RuntimeError):
        submit(engine, world)

    assert (rows(engine), manager.keys) == ([], {})


def test_a_submit_that_only_seemed_to_fail_keeps_its_secret(
    engine, manager, world, monkeypatch
):
    post = engine.board.post

    def committed(connection, *args):
        post(connection, *args)
        connection.commit()
        raise ConnectionResetError("after the commit")

    monkeypatch.setattr(engine.board, "post", committed)
    with pytest.raises(ConnectionResetError):
        submit(engine, world)

    engines.run_all(engine)

    assert [task.status for task in engine.find()] == [gt.Status.SUCCESS]
    assert (rows(engine), manager.keys) == ([], {})


class Killed(BaseException):
    """Stands for a kill: nothing of ours runs after it."""


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_submit_that_was_killed_is_swept_an_hour_later(
    engine, manager, world, monkeypatch, when
):
    def dies(*args, **kwargs):
        if when == "after":
            type(manager).store(manager, *args, **kwargs)
        raise Killed

    monkeypatch.setattr(manager, "store", dies, raising=False)
    monkeypatch.setattr(engine.vault, "forget", lambda task_id: None)
    with pytest.raises(Killed):
        submit(engine, world)

    reap(engine)
    early = len(rows(engine)), len(manager.keys)
    _make_older(engine, 3700)
    reap(engine)

    assert early == (1, int(when == "after"))
    assert (rows(engine), manager.keys) == ([], {})


def _make_older(engine, seconds):
    table = models.SECRETS
    with engine.database.write() as connection:
        key_id = connection.scalar(sa.select(table.c.key_id))
        began = int(key_id.removeprefix("@?")) - seconds
        connection.execute(sa.update(table).values(key_id=f"@?{began}"))


def test_a_submit_is_refused_while_the_key_manager_is_away(
    engine, manager, world
):
    manager.away = True

    with pytest.raises(gt.SecretsUnavailable, match="KeyManagerError"):
        submit(engine, world)

    assert engine.find() == []


@pytest.mark.parametrize(
    "error",
    [
        key_managers.exception.KeyManagerError(reason="no answer"),
        ConnectionResetError("as a driver may let through"),
    ],
    ids=["of castellan", "of a driver"],
)
def test_a_task_waits_for_a_key_manager_that_is_away(
    engine, manager, world, error
):
    task = submit(engine, world)
    manager.away, manager.error = True, error

    gt.Conductor(engine, max_tasks=1).run_one(task.id)

    assert "refused to get it" in engine.get(task.id).queue_reason
    manager.away = False
    engine.board.wake(0.0)
    assert engine.run(task.id).status is gt.Status.SUCCESS


def test_a_reference_to_anothers_secret_is_of_no_use(engine, manager, world):
    mine, other = submit(engine, world), submit(engine, world)
    table = models.SECRETS
    with engine.database.write() as connection:
        reference = connection.scalar(
            sa.select(table.c.ciphertext).where(table.c.task_id == other.id)
        )
        connection.execute(
            sa.update(table)
            .where(table.c.task_id == mine.id)
            .values(ciphertext=reference)
        )

    gt.Conductor(engine, max_tasks=1).run_one(mine.id)

    assert "another secret" in engine.get(mine.id).queue_reason


def test_a_task_of_the_local_store_waits_where_castellan_is_chosen(
    home, manager, world
):
    with engines.opened(home, types=secret_types.TYPES) as local:
        task = submit(local, world)
    engine = key_managers.make_engine(home, manager)

    gt.Conductor(engine, max_tasks=1).run_one(task.id)

    assert "another secret_store" in engine.get(task.id).queue_reason
    engine.close()


def test_it_is_chosen_by_an_option(home):
    conf = engines.configuration(home, secret_store="castellan")

    engine = gt.TaskEngine(conf)

    store = castellan_secrets.CastellanSecrets
    assert isinstance(engine.secret_store, store)
    engine.close()


def test_castellan_brings_no_eventlet_and_is_not_loaded_unasked():
    program = (
        "import sys, castellan.key_manager;"
        " from castellan.key_manager import barbican_key_manager;"
        " sys.exit('eventlet' in sys.modules)"
    )
    unasked = (
        "import sys, glance_tasks.engine;"
        " import glance_tasks.adapters.local_secrets;"
        " sys.exit('castellan' in sys.modules)"
    )

    for each in (program, unasked):
        done = subprocess.run([sys.executable, "-W", "ignore", "-c", each])

        assert done.returncode == 0
