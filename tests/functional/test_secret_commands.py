# SPDX-License-Identifier: Apache-2.0
"""Secrets on the command: where they come from, and their keys."""

import base64
import json
import logging

import pytest

import glance_tasks as gt
from glance_tasks.cmd import main
from glance_tasks.persistence import database as db
from glance_tasks.persistence import secrets
from tests.support import engines
from tests.support import installation
from tests.support import secret_types

PLUGIN = "from tests.support.secret_types import SecretTask as Plugin\n"


@pytest.fixture
def here(tmp_path):
    here = installation.Installation(tmp_path / "here")
    here.add_plugin("secret", PLUGIN, "glance_tasks.task_types")
    return here


@pytest.fixture
def command(here, monkeypatch, capsys):
    """Give a way to run commands in this process: a second less for each."""
    for name, value in here.env.items():
        monkeypatch.setenv(name, value)
    # stevedore looks for entry points once in a process.
    types = gt.Registry(types=secret_types.TYPES, checks={})
    monkeypatch.setattr(
        main.GlanceTasks,
        "engine",
        lambda app: gt.TaskEngine(app.conf, types=types),
    )

    def run(*words):
        try:
            code = main.main(["--config-file", str(here.config), *words])
        except SystemExit as left:
            code = left.code
        return installation.Done(code, *capsys.readouterr())

    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield run
    root.handlers[:] = before
    root.setLevel(level)


@pytest.fixture
def submit(command, world):
    """Give a way to submit a task whose first atom reveals its secret."""
    given = json.dumps(world.given())
    return lambda *words: command(
        "task", "submit", "secret", given, "-f", "json", *words
    )


def sealed_by(here):
    database = db.Database(f"sqlite:///{here.data_dir}/glance-tasks.sqlite")
    rows = secrets.sealed_otherwise(database, "", after=None, limit=9)
    database.close()
    return [row.kept.key_id for row in rows]


CREDENTIALS = json.dumps(secret_types.CREDENTIALS)


@pytest.mark.parametrize("where", ["file", "environment", "input"])
def test_a_secret_is_read_from_where_nobody_looks(
    command, submit, tmp_path, monkeypatch, world, where
):
    if where == "file":
        (tmp_path / "secret").write_text(CREDENTIALS)
        words = ["--secret", f"credentials=@{tmp_path}/secret"]
    elif where == "environment":
        monkeypatch.setenv("CREDENTIALS", CREDENTIALS)
        words = ["--secret", "credentials=env:CREDENTIALS"]
    else:
        whole = world.given(credentials=secret_types.CREDENTIALS)
        words = []
        (tmp_path / "input").write_text(json.dumps(whole))

        def submit(*words):
            given = f"@{tmp_path}/input"
            return command("task", "submit", "secret", given, *words)

    done = submit("--wait", *words)

    assert done.code == 0, done.err
    assert "revealed" in world.journal()
    assert "c4n4ry" not in done.out + done.err


def test_a_secret_is_read_from_standard_input(here, world):
    done = here.run(
        *("task", "submit", "secret", json.dumps(world.given()), "--wait"),
        *("--secret", "credentials=-"),
        given=CREDENTIALS,
    )

    assert done.code == 0, done.err
    assert "revealed" in world.journal()


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("credentials=c4n4ry", "does not stand on a command line"),
        ("credentials", "does not stand on a command line"),
        ("credentials=@/nowhere/c", "cannot be read from '@/nowhere/c'"),
        ("credentials=env:NO_SUCH", "cannot be read from 'env:NO_SUCH'"),
        ("credentials=env:TEXT", "is no JSON"),
    ],
)
def test_a_secret_that_cannot_be_read_is_named_and_not_shown(
    submit, monkeypatch, given, why
):
    monkeypatch.setenv("TEXT", "c4n4ry")

    done = submit("--secret", given)

    assert done.code == 2
    assert why in done.err
    assert "c4n4ry" not in done.err


def test_a_retry_takes_its_secret_too(command, submit, monkeypatch, world):
    monkeypatch.setenv("CREDENTIALS", CREDENTIALS)
    secret = ("--secret", "credentials=env:CREDENTIALS")
    given = json.dumps(world.given(fail_at="step-1"))
    first = command(
        *("task", "submit", "secret", given, "--wait", "-f", "json", *secret)
    )

    without = command("task", "retry", first.json()["id"])
    again = command("task", "retry", first.json()["id"], *secret)

    assert (without.code, again.code) == (2, 0)
    assert "/credentials" in without.err
    assert world.counts()["revealed"] == 1


def test_a_new_key_has_32_bytes_and_is_another_each_time(command):
    lines = {command("secret", "key").out for _ in range(3)}

    keys = [base64.b64decode(line.partition(":")[2]) for line in lines]
    assert [len(key) for key in keys] == [32, 32, 32]


def test_keys_are_rotated_as_the_guide_says(
    here, command, submit, monkeypatch, world
):
    monkeypatch.setenv("CREDENTIALS", CREDENTIALS)
    task = submit("--secret", "credentials=env:CREDENTIALS").json()["id"]
    old = (here.data_dir / "secret-keys").read_text()
    new = command("secret", "key").out

    (here.data_dir / "secret-keys").write_text(new + old)
    rotated = command("secret", "rotate", "-f", "json").json()
    (here.data_dir / "secret-keys").write_text(new)
    rest = command("secret", "rotate", "-f", "json").json()

    name = new.partition(":")[0]
    assert rotated == {"key": name, "sealed": 1, "left": 0}
    assert rest == {"key": name, "sealed": 0, "left": 0}
    assert sealed_by(here) == [name]
    types = secret_types.TYPES
    with engines.opened(here.data_dir, types=types) as engine:
        assert engine.run(task).status is gt.Status.SUCCESS


def test_what_no_key_opens_is_counted(here, command, submit, monkeypatch):
    monkeypatch.setenv("CREDENTIALS", CREDENTIALS)
    submit("--secret", "credentials=env:CREDENTIALS")

    (here.data_dir / "secret-keys").write_text(command("secret", "key").out)
    done = command("secret", "rotate", "-f", "json")

    assert (done.code, done.json()["left"]) == (1, 1)
