# SPDX-License-Identifier: Apache-2.0
"""Secrets of tasks: split off, kept apart, revealed to atoms, gone."""

import copy
import json
import sqlite3

import pytest
import sqlalchemy as sa

import glance_tasks as gt
from glance_tasks import keyring
from glance_tasks.persistence import models
from glance_tasks.secrets import rotation
from tests.support import engines
from tests.support import secret_types
from tests.support import task_types

CREDENTIALS = secret_types.CREDENTIALS


@pytest.fixture
def engine(home):
    with engines.opened(home, types=secret_types.TYPES) as engine:
        yield engine


def submit(engine, world, **told):
    return engine.submit(
        "secret", world.given(credentials=CREDENTIALS, **told), owner="demo"
    )


def rows(engine):
    return engines.dump(engine)["gt_secrets"]


def rekey(engine, *keys):
    """Have an engine's local store know other keys."""
    engine.secret_store._ring = keyring.Keyring(keys)


# --- submit ------------------------------------------------------------------


def test_a_secret_input_is_no_part_of_the_task(engine, world):
    task = submit(engine, world)

    assert task.input == world.given()
    assert task.plan["secrets"] == ["credentials"]
    assert [row[1] for row in rows(engine)] == ["credentials"]


def test_an_address_with_credentials_is_shown_without(engine, world):
    task = submit(engine, world, source=secret_types.address())

    shown = "http://***@source.example/a?sig=***&b=1"
    assert task.input["source"] == shown
    assert task.plan["secrets"] == ["credentials", "source"]


def test_an_address_without_credentials_is_no_secret(engine, world):
    plain = "http://source.example/a?b=1"

    task = engine.submit("secret", world.given(source=plain))

    assert task.input["source"] == plain
    assert (task.plan["secrets"], rows(engine)) == ([], [])


def test_a_path_is_no_password(engine, world):
    path = "file:///images//disk@2.raw?a=b//c@d"

    task = engine.submit("secret", world.given(source=path))

    assert (task.input["source"], task.plan["secrets"]) == (path, [])


def test_what_is_too_large_for_every_database_is_refused(engine, world):
    large = {"password": "x" * 60_000}

    with pytest.raises(gt.InvalidInput, match="/credentials: has 60016"):
        engine.submit("secret", world.given(credentials=large))


def test_a_secret_that_does_not_fit_is_not_quoted(engine, world):
    bad = {"credentials": {"password": [secret_types.CANARY]}, "fails": "x"}

    with pytest.raises(gt.InvalidInput) as caught:
        engine.submit("secret", world.given(**bad))

    assert [pointer for pointer, _ in caught.value.errors] == [
        "/credentials",
        "/fails",
    ]
    assert "c4n4ry" not in str(caught.value)
    assert not any(engines.dump(engine).values())


def test_a_rule_about_the_whole_input_does_not_quote_a_secret(home, world):
    class Ruled(secret_types.SecretTask):
        """Refuse every input."""

        input_schema = {
            **secret_types.SecretTask.input_schema,
            "not": {"required": ["world"]},
        }

    types = {"secret": Ruled}
    with (
        engines.opened(home, types=types) as engine,
        pytest.raises(gt.InvalidInput) as caught,
    ):
        submit(engine, world, source=secret_types.address())

    assert "c4n4ry" not in str(caught.value)


@pytest.mark.parametrize(
    ("names", "why"), [(("passwd",), "'passwd'"), ("source", "list")]
)
def test_a_type_that_misnames_its_secrets_does_not_load(names, why):
    broken = type(
        "Broken", (secret_types.SecretTask,), {"secret_inputs": names}
    )

    registry = gt.Registry(types={"broken": broken}, checks={})

    with pytest.raises(gt.BrokenPlugin, match=why):
        registry.get("broken")


# --- a run -------------------------------------------------------------------


def test_an_atom_is_given_what_the_secret_holds(engine, world):
    task = submit(engine, world, source=secret_types.address())

    engines.run_all(engine)

    assert engine.get(task.id).status is gt.Status.SUCCESS
    assert {"revealed", "source True"} <= set(world.journal())
    assert rows(engine) == []


def test_an_atom_may_do_without_a_secret_that_is_optional(engine, world):
    task = engine.submit("secret", world.given())

    engines.run_all(engine)

    assert engine.get(task.id).status is gt.Status.SUCCESS
    assert "no secret" in world.journal()


def test_what_is_undone_is_given_the_secret_too(engine, world):
    task = submit(engine, world, fail_at="step-1")

    engines.run_all(engine)

    assert engine.get(task.id).failure.code == "check_refused"
    assert "undone" in world.journal()
    assert rows(engine) == []


@pytest.mark.parametrize("told", ["secret", "value", "url"])
def test_a_secret_is_no_result(engine, world, told):
    task = submit(engine, world, source=secret_types.address(), kind=told)

    engines.run_all(engine)

    failure = engine.get(task.id).failure
    assert (failure.code, failure.step) == ("result_invalid", "UseSecret")


def test_what_the_schema_does_not_call_write_only_may_be_a_result(
    engine, world
):
    class Naming(secret_types.UseSecret):
        """Give the user's name, which is no secret by the schema."""

        def execute(self, credentials):
            """Give it."""
            return {"user": credentials.reveal()["user"]}

    class NamingTask(secret_types.SecretTask):
        """Name the user."""

        def build(self, ctx):
            """Build it."""
            return task_types.linear_flow.Flow("naming").add(Naming(ctx))

    home = world.directory.parent / "other"
    with engines.opened(home, types={"secret": NamingTask}) as other:
        task = submit(other, world)
        engines.run_all(other)

        assert other.get(task.id).status is gt.Status.SUCCESS


# --- keys --------------------------------------------------------------------


def test_a_task_waits_for_a_key_that_is_not_here(engine, world):
    task = submit(engine, world)
    right = engine.secret_store.ring()
    rekey(engine, keyring.new_key())

    gt.Conductor(engine, max_tasks=1).run_one(task.id)

    waiting = engine.get(task.id)
    assert not waiting.ended
    assert right.first in waiting.queue_reason
    engine.secret_store._ring = right
    engine.board.wake(0.0)
    assert engine.run(task.id).status is gt.Status.SUCCESS


def test_a_task_waits_for_the_key_of_its_address_before_any_atom_runs(
    engine, world
):
    task = engine.submit("secret", world.given(source=secret_types.address()))
    right = engine.secret_store.ring()
    rekey(engine, keyring.new_key())

    gt.Conductor(engine, max_tasks=1).run_one(task.id)

    assert right.first in engine.get(task.id).queue_reason
    assert world.journal() == []
    engine.secret_store._ring = right
    engine.board.wake(0.0)
    assert engine.run(task.id).status is gt.Status.SUCCESS


def test_a_row_moved_to_another_task_is_of_no_use(engine, world):
    rich, poor = submit(engine, world), submit(engine, world)
    table = models.SECRETS
    with engine.database.write() as connection:
        sealed = connection.scalar(
            sa.select(table.c.ciphertext).where(table.c.task_id == rich.id)
        )
        connection.execute(
            sa.update(table)
            .where(table.c.task_id == poor.id)
            .values(ciphertext=sealed)
        )

    gt.Conductor(engine, max_tasks=1).run_one(poor.id)

    assert "not sealed so" in engine.get(poor.id).queue_reason


def test_configured_keys_are_used_instead_of_a_file(home, world):
    key = keyring.new_key()
    conf = engines.configuration(home)
    conf.set_override("keys", [key.line()], "glance_tasks_secrets")
    nothing = engines.Nothing()
    engine = gt.TaskEngine(
        conf,
        types=gt.Registry(types=secret_types.TYPES, checks={}),
        catalogue=nothing,
        store=nothing,
    )

    submit(engine, world)

    assert [row[2] for row in rows(engine)] == [key.id]
    assert not (home / "secret-keys").exists()
    engine.close()


def test_a_key_that_cannot_be_one_is_refused_when_the_engine_is_made(home):
    conf = engines.configuration(home)
    conf.set_override("keys", ["short:AAAA"], "glance_tasks_secrets")

    with pytest.raises(gt.ConfigurationError, match="key 1"):
        gt.TaskEngine(conf)


def test_a_file_of_keys_that_cannot_be_used_names_no_path(engine, home, world):
    (home / "secret-keys").mkdir()

    with pytest.raises(gt.SecretsUnavailable) as caught:
        submit(engine, world)

    assert str(home) not in str(caught.value)
    assert engine.find() == []


def test_rotating_seals_all_with_the_first_key(engine, world):
    tasks = [submit(engine, world) for _ in range(3)]
    old = keyring.read_file(engine.area.root.parent / "secret-keys")[0]
    new = keyring.new_key()
    rekey(engine, new, old)

    done = rotation.rotate(engine.database, engine.secret_store, new.id)
    again = rotation.rotate(engine.database, engine.secret_store, new.id)

    assert (done, again) == (rotation.Rotated(3, 0), rotation.Rotated(0, 0))
    assert {row[2] for row in rows(engine)} == {new.id}
    rekey(engine, new)
    assert engine.run(tasks[0].id).status is gt.Status.SUCCESS


def test_rotating_leaves_what_no_key_opens(engine, world, monkeypatch):
    monkeypatch.setattr(rotation, "_BATCH", 2)
    for _ in range(5):
        submit(engine, world)
    before = rows(engine)
    new = keyring.new_key()
    rekey(engine, new)

    done = rotation.rotate(engine.database, engine.secret_store, new.id)

    assert done == rotation.Rotated(0, 5)
    assert rows(engine) == before


# --- retry -------------------------------------------------------------------


def failed(engine, world):
    task = submit(
        engine, world, fail_at="step-1", source=secret_types.address()
    )
    engines.run_all(engine)
    return engine.get(task.id)


def test_a_retry_takes_the_secrets_anew(engine, world):
    old = failed(engine, world)
    secrets = {"credentials": CREDENTIALS, "source": secret_types.address()}

    again = engine.retry(old.id, secrets=secrets)
    engines.run_all(engine)

    assert again.input == old.input
    assert world.counts()["revealed"] == 2
    assert world.counts()["source True"] == 2


@pytest.mark.parametrize(
    ("given", "pointer", "word"),
    [
        ({}, "/credentials", "again"),
        ({"credentials": CREDENTIALS}, "/source", "again"),
        ({"fails": 1}, "/fails", "no secret"),
    ],
)
def test_a_retry_names_the_secret_that_it_lacks(
    engine, world, given, pointer, word
):
    old = failed(engine, world)

    with pytest.raises(gt.InvalidInput) as caught:
        engine.retry(old.id, secrets=given)

    assert word in dict(caught.value.errors)[pointer]
    assert len(engine.find()) == 1


# --- the value itself --------------------------------------------------------


def test_a_secret_shows_copies_and_pickles_nothing():
    secret = gt.Secret(lambda: "c4n4ry")

    assert (str(secret), repr(secret), f"{secret}") == ("***",) * 3
    assert "c4n4ry" not in repr([secret, vars(type(secret))])
    with pytest.raises(TypeError):
        json.dumps(secret)
    with pytest.raises(TypeError):
        copy.deepcopy(secret)
    assert secret.reveal() == "c4n4ry"


def test_a_deleted_secret_lingers_in_no_page_of_the_database(
    engine, home, world
):
    submit(engine, world)
    sealed = rows(engine)[0][3]
    file = home / "glance-tasks.sqlite"

    engines.run_all(engine)
    engine.close()
    sqlite3.connect(file).execute("PRAGMA wal_checkpoint(TRUNCATE)").close()

    assert sealed not in file.read_bytes()
