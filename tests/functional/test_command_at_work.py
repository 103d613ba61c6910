# SPDX-License-Identifier: Apache-2.0
"""The command at work: watching, conducting, plugins, reaping."""

import os
import pty
import signal
import subprocess
import time

import pytest

from glance_tasks.testing import http_source
from tests.support import engines
from tests.support import importing
from tests.support import installation

MIB = 1 << 20
NOISE = importing.noise(MIB)


@pytest.fixture(scope="module")
def server():
    with http_source.HttpSource() as running:
        running.put("/disk", http_source.Resource(body=NOISE))
        yield running


@pytest.fixture
def here(tmp_path):
    return installation.Installation(tmp_path)


# --- watching ----------------------------------------------------------------


def slow_import(here, server):
    server.put("/slow", http_source.Resource(body=NOISE, rate=MIB // 2))
    return here.submit(importing.given(server.url("/slow")))


def test_watching_into_a_pipe_gives_plain_lines(here, server):
    task_id = slow_import(here, server)
    with here.conductor("--until-idle"):
        done = here.run("task", "watch", task_id)

    lines = done.out.splitlines()
    assert done.code == 0
    assert any("transferring: FetchImage" in line for line in lines)
    assert lines[-1].startswith("import succeeded: image ")
    assert "\x1b" not in done.out
    assert "Traceback" not in done.out + done.err


def test_watching_on_a_terminal_draws_bars(here, server):
    task_id = slow_import(here, server)
    with here.conductor("--until-idle"):
        drawn = on_a_terminal(here, "task", "watch", task_id)

    assert "FetchImage" in drawn
    assert "━" in drawn
    assert "\x1b[" in drawn
    assert "import succeeded" in drawn


def on_a_terminal(here, *words):
    """Run a command on a terminal; give all it wrote there."""
    ours, theirs = pty.openpty()
    env = {**here.env, "TERM": "xterm", "LC_ALL": "C.UTF-8"}
    process = subprocess.Popen(
        here.words(*words), stdin=theirs, stdout=theirs, stderr=theirs, env=env
    )
    os.close(theirs)
    drawn = b""
    try:
        while piece := os.read(ours, 1 << 16):
            drawn += piece
    except OSError:
        pass  # how a terminal ends
    finally:
        os.close(ours)
    assert process.wait(60) == 0
    return drawn.decode()


# --- the conductor -----------------------------------------------------------


def test_a_conductor_drains_on_the_first_signal(here, server):
    task_id = slow_import(here, server)
    with here.conductor() as conductor:
        before = server.sent
        engines.until(lambda: server.sent > before + MIB // 8, "a fetch")
        conductor.terminate()
        assert conductor.wait(10) == 0

    task = here.ask("task", "show", task_id)
    assert (task["status"], task["attempts"]) == ("processing", 0)
    assert "given back" in here.log.read_text()
    server.put("/slow", http_source.Resource(body=NOISE))
    here.conduct()
    assert here.ask("task", "show", task_id)["status"] == "success"


DEAF = '''
import time
import glance_tasks as gt


class Plugin(gt.Atom):
    """A check that hears no signal."""

    behaviour = "idempotent"

    def execute(self, image_file):
        print("deaf now", flush=True)
        time.sleep(60)
'''


def test_a_second_signal_makes_it_leave_at_once(tmp_path, server):
    here = installation.Installation(tmp_path, checks="import:deaf")
    here.add_plugin("deaf", DEAF, "glance_tasks.checks")
    here.submit(importing.given(server.url("/disk")))
    with here.conductor() as conductor:
        engines.until(lambda: "deaf now" in here.log.read_text(), "deafness")
        conductor.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            conductor.wait(1)
        conductor.send_signal(signal.SIGTERM)

        assert conductor.wait(5) == 128 + signal.SIGTERM
    assert "Traceback" not in here.log.read_text()


def test_a_conductor_runs_as_many_tasks_as_it_is_told(here, server):
    stalled = http_source.Resource(body=NOISE, stall_after=1000)
    for path in ("/one", "/two", "/three"):
        here.submit(importing.given(server.put(path, stalled)))

    def asked():
        paths = ("/one", "/two", "/three")
        return [r.path for r in server.requests if r.path in paths]

    with here.conductor("--max-tasks", "2"):
        engines.until(lambda: len(asked()) == 2, "two requests")
        until = time.monotonic() + 1
        engines.until(lambda: time.monotonic() > until, "a second")

    assert len(asked()) == 2
    statuses = [t["status"] for t in here.ask("task", "list")]
    assert sorted(statuses) == ["pending", "processing", "processing"]


def test_an_idle_conductor_returns_when_told_so(here):
    here.conduct()

    assert "Traceback" not in here.log.read_text()


# --- plugins -----------------------------------------------------------------


def test_a_broken_plugin_is_named_by_doctor_and_conductor(here):
    group = "glance_tasks.task_types"
    here.add_plugin("broken", "import a_module_there_is_not\n", group)

    ill = here.run("doctor", "-f", "json")
    here.conduct()
    listed = here.run("type", "list", "-f", "json")

    findings = [f for f in ill.json() if f["state"] == "error"]
    assert ill.code == 1
    assert [f["check"] for f in findings] == ["plugins"]
    for text in (findings[0]["text"], here.log.read_text(), listed.err):
        assert "broken" in text
        assert "a_module_there_is_not" in text
    names = [t["name"] for t in listed.json()]
    assert "import" in names and "broken" not in names
    assert "Traceback" not in ill.err + here.log.read_text() + listed.err


def test_a_plugin_with_an_http_client_of_its_own_is_named_by_doctor(here):
    source = (
        "from glance_tasks import Atom\n"
        "def later():\n"
        "    from urllib import parse, request\n"
        "class Plugin(Atom):\n"
        "    behaviour = 'idempotent'\n"
    )
    here.add_plugin("sly", source, "glance_tasks.checks")

    done = here.run("doctor", "-f", "json")

    warned = [f["text"] for f in done.json() if f["check"] == "plugins"][1:]
    assert done.code == 0
    assert len(warned) == 1
    assert warned[0].startswith("sly imports urllib.request: ")


def test_a_directory_that_cannot_be_used_is_named_by_doctor(tmp_path):
    (tmp_path / "file").write_text("in the way")
    here = installation.Installation(
        tmp_path / "here", store_dir=str(tmp_path / "file" / "store")
    )

    done = here.run("doctor", "-f", "json")

    wrong = [f["check"] for f in done.json() if f["state"] == "error"]
    assert done.code == 1
    assert "store_dir" in wrong
    assert "Traceback" not in done.out + done.err


def test_reaping_says_first_what_it_would_do(tmp_path, server):
    here = installation.Installation(tmp_path, task_time_to_live=0)
    here.submit(importing.given(server.url("/disk")))
    here.conduct()

    dry = here.ask("reap", "--dry-run")
    wet = here.ask("reap")

    assert dry == wet == {"tasks": 1, "work_dirs": 0}
    assert here.ask("task", "list") == []
    assert len(here.ask("image", "list")) == 1
