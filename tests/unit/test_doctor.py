# SPDX-License-Identifier: Apache-2.0
import time

import pytest

from glance_tasks import keyring
from glance_tasks import presence
from glance_tasks.cmd import doctor
from glance_tasks.cmd import findings
from glance_tasks.imagefile import starter
from glance_tasks.testing import clock
from tests.support import engines
from tests.support import task_types


@pytest.mark.parametrize(
    ("words", "state", "text"),
    [
        (("unshare", "--net", "--"), "ok", "runs without one"),
        ((), "warning", "shares it with us"),
    ],
)
def test_the_doctor_says_whether_qemu_has_a_network(
    tmp_path, monkeypatch, words, state, text
):
    monkeypatch.setattr(starter, "confinement", lambda: words)

    found = examined(engines.configuration(tmp_path))["network"]
    assert found.state == state
    assert text in found.text


def examined(conf):
    """Give the findings by their checks."""
    return {finding.check: finding for finding in doctor.examine(conf)}


def test_the_doctor_makes_no_key_and_says_so(tmp_path):
    found = examined(engines.configuration(tmp_path))["secrets"]

    assert (found.state, found.text) == (
        *("ok", "local: a key is made with the first secret"),
    )
    assert not (tmp_path / "secret-keys").exists()


def test_the_doctor_names_the_key_that_seals(tmp_path):
    conf = engines.configuration(tmp_path)
    keys = [keyring.new_key(), keyring.new_key()]
    lines = [key.line() for key in keys]
    conf.set_override("keys", lines, "glance_tasks_secrets")

    found = examined(conf)["secrets"]

    assert found.text == f"local: {keys[0].id} seals them, 2 in all open them"


def test_the_doctor_warns_of_keys_that_other_hosts_lack(
    tmp_path, synced_database_url
):
    conf = engines.configuration(tmp_path, connection=synced_database_url)

    found = examined(conf)["secrets"]

    embedded = synced_database_url.startswith("sqlite")
    assert found.state == ("ok" if embedded else "warning")


# --- the queue ---------------------------------------------------------------


@pytest.fixture
def waiting(tmp_path):
    """Give an engine with a task that waits."""
    with engines.opened(tmp_path / "home") as engine:
        world = task_types.World(tmp_path / "world")
        engine.submit("line", world.given())
        yield engine


def found_in(engine):
    return {one.check: one for one in findings.of_queue(engine)}


def test_the_doctor_waits_a_minute_for_a_conductor(waiting):
    at_once = found_in(waiting)["conductors"]
    clock.FakeClock(waiting).advance(120)

    found = found_in(waiting)["conductors"]

    assert at_once.state == "ok"
    assert found.state == "error"
    assert "tasks wait for 12" in found.text


def test_the_doctor_sees_a_conductor_that_holds_a_task(waiting):
    engines.claim(waiting)

    found = found_in(waiting)["conductors"]

    assert (found.state, found.text) == ("ok", "1 tasks are worked on")


def test_the_doctor_sees_that_one_was_lost(waiting):
    engines.claim(waiting)
    engines.lapse(waiting)

    assert found_in(waiting)["conductors"].state == "error"


def test_the_doctor_sees_a_conductor_of_this_machine(waiting):
    clock.FakeClock(waiting).advance(120)
    alive = presence.Presence(waiting.area.root, "me")

    found = found_in(waiting)["conductors"]
    alive.leave()

    assert found.state == "ok"


def test_the_doctor_counts_tasks_of_types_that_are_missing(waiting, tmp_path):
    types = {"arms": task_types.ArmsTask}
    with engines.opened(tmp_path / "home", types=types) as other:
        found = found_in(other)["tasks"]

    assert (found.state, found.text) == (
        "error",
        "1 of type 'line' wait, which is not installed here",
    )


def test_the_doctor_names_tasks_that_wait_for_a_release(waiting):
    (task,) = waiting.find()
    with waiting.database.write() as connection:
        connection.exec_driver_sql(
            "UPDATE gt_tasks SET queue_reason = 'needs_version: it changed'"
        )

    found = found_in(waiting)["tasks"]

    assert found.state == "warning"
    assert task.id in found.text


@pytest.mark.parametrize(
    ("skew", "state", "words"),
    [
        (0.5, "ok", "is the database's"),
        (-60, "warning", "60 s ahead of"),
        (60, "warning", "60 s behind"),
    ],
)
def test_the_doctor_compares_clocks(waiting, monkeypatch, skew, state, words):
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - skew)

    found = found_in(waiting)["clock"]

    assert found.state == state
    assert words in found.text
