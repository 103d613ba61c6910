# SPDX-License-Identifier: Apache-2.0
"""The ``glance-tasks`` command as a user meets it."""

import csv
import io
import json
import threading

import pytest
import yaml

from glance_tasks.testing import http_source
from glance_tasks.testing import servers
from tests.support import databases
from tests.support import engines
from tests.support import importing
from tests.support import installation

MIB = 1 << 20
NOISE = importing.noise(MIB)
ABSENT = "5b1f0b0e-6f7c-4a57-8d0e-1f5d0b1c2a3b"


@pytest.fixture(scope="module")
def server():
    with http_source.HttpSource() as running:
        running.put("/disk", http_source.Resource(body=NOISE))
        yield running


@pytest.fixture(scope="module")
def used(tmp_path_factory, server):
    """Give an installation with an image, and an import that failed."""
    here = installation.Installation(tmp_path_factory.mktemp("used"))
    here.image_task = here.submit(importing.given(server.url("/disk")))
    here.failed_task = here.submit(importing.given(server.url("/gone")))
    here.conduct()
    image_id = here.ask("task", "show", here.image_task)["image_id"]
    here.ids = {
        "task show": here.image_task,
        "task events": here.image_task,
        "image show": image_id,
    }
    return here


@pytest.fixture
def here(tmp_path):
    return installation.Installation(tmp_path)


def check_manners(done):
    """Check what no command may ever do."""
    assert "Traceback" not in done.out + done.err
    assert "this is a fault of" not in done.err


# --- reading -----------------------------------------------------------------

LISTS = ("type list", "task list", "image list", "task events", "doctor")
SHOWS = (
    *("type show import", "task show", "image show"),
    *("db version", "db check", "db sync", "reap"),
)


def whole(used, command):
    """Complete a command by the id it needs."""
    found = used.ids.get(command)
    return [*command.split(), *([found] if found else [])]


READ = {
    "json": json.loads,
    "yaml": yaml.safe_load,
    "csv": lambda text: list(csv.DictReader(io.StringIO(text))),
    "value": str.splitlines,
    "table": lambda text: text.splitlines()[3:-1],
}


@pytest.mark.parametrize("formatter", READ)
def test_a_list_comes_in_every_format(used, formatter):
    done = used.run("task", "list", "-f", formatter)

    assert (done.code, done.err) == (0, "")
    assert len(READ[formatter](done.out)) == 2


@pytest.mark.parametrize(
    "formatter", ["table", "json", "yaml", "shell", "value"]
)
def test_a_task_is_shown_in_every_format(used, formatter):
    done = used.run("task", "show", used.image_task, "-f", formatter)

    assert (done.code, done.err) == (0, "")
    assert used.image_task in done.out
    if formatter in ("json", "yaml"):
        shown = yaml.safe_load(done.out)
        assert shown["input"]["import_from_format"] == "raw"
        assert shown["result"]["size"] == MIB
        assert shown["progress"]["ratio"] == 1.0
        assert shown["failure"] is None


@pytest.mark.parametrize("command", [*LISTS, *SHOWS])
def test_what_answers_answers_in_json(used, command):
    done = used.run(*whole(used, command), "-f", "json")

    assert done.code == 0, done.err
    assert done.json()
    check_manners(done)


@pytest.mark.parametrize("command", ["", "--help", "task submit --help"])
def test_help_tells_the_commands_and_the_exit_codes(here, command):
    done = here.run(*command.split())

    assert done.code == (0 if command else 2)
    told = " ".join((done.out + done.err).split())
    words = {
        "": "usage: glance-tasks [",
        "--help": "3 the database cannot be reached",
        "task submit --help": "usage: glance-tasks task submit",
    }
    assert words[command] in told
    if command == "--help":
        assert "conductor run" in told
    check_manners(done)


@pytest.mark.parametrize("drawn", ["text", "mermaid"])
def test_a_graph_is_drawn(here, drawn):
    given = json.dumps(
        importing.given("https://images.example/x", "qcow2", "raw")
    )

    done = here.run("flow", "graph", "import", "-f", drawn, "--input", given)

    assert (done.code, done.err) == (0, "")
    atoms = ["FetchImage", "UnpackImage", "InspectImage", "ConvertImage"]
    places = [done.out.index(name) for name in atoms]
    assert places == sorted(places)


def test_a_failed_task_is_explained(used):
    shown = used.ask("task", "show", used.failed_task)

    assert shown["status"] == "failure"
    assert shown["failure"]["code"] == "source_not_found"
    assert shown["message"].startswith("FetchImage: ")
    assert shown["result"] is None


def test_a_timeline_has_its_details_for_the_operator(used):
    events = used.ask("task", "events", used.failed_task, "--long")

    failed = next(e for e in events if e["event"] == "atom_failed")
    assert failed["detail"]["code"] == "source_not_found"


def test_a_list_can_be_narrowed_and_paged(used):
    def ids(*words):
        return [t["id"] for t in used.ask("task", "list", *words)]

    both = [used.failed_task, used.image_task]
    assert ids() == both
    assert ids("--sort-dir", "asc") == both[::-1]
    assert ids("--limit", "1") == both[:1]
    assert ids("--marker", both[0]) == both[1:]
    assert ids("--status", "failure") == both[:1]
    assert ids("--owner", "nobody") == []


# --- submitting --------------------------------------------------------------


@pytest.mark.parametrize("way", ["words", "@file", "-"])
def test_an_input_is_taken_as_words_from_a_file_or_piped_in(
    here, server, way, tmp_path
):
    text = json.dumps(importing.given(server.url("/disk")))
    (tmp_path / "input.json").write_text(text)
    word = {"words": text, "@file": f"@{tmp_path}/input.json", "-": "-"}[way]

    done = here.run(
        *("task", "submit", "import", word, "-f", "value", "-c", "id"),
        given=text if way == "-" else None,
    )

    assert (done.code, done.err) == (0, "")
    task = here.ask("task", "show", done.out.strip())
    assert (task["status"], task["phase"]) == ("pending", "queued")
    assert task["owner"] == "admin"


@pytest.mark.parametrize("path", ["/disk", "/gone"])
def test_waiting_runs_the_task_where_no_conductor_does(here, server, path):
    given = json.dumps(importing.given(server.url(path)))

    done = here.run(
        *("task", "submit", "import", given, "--wait", "-f", "json"),
        *("--owner", "me"),
    )

    good = path == "/disk"
    assert done.code == (0 if good else 1)
    assert done.json()["status"] == ("success" if good else "failure")
    assert done.json()["owner"] == "me"
    assert "no conductor is running" in done.err
    assert ("import succeeded" if good else "import failed: Fetch") in done.err
    check_manners(done)


def test_waiting_leaves_the_task_to_a_conductor_that_runs(here, server):
    given = json.dumps(importing.given(server.url("/disk")))
    with here.conductor() as conductor:
        engines.until(lambda: "Conductor" in here.log.read_text(), "its start")

        done = here.run("task", "submit", "import", given, "--wait")

        assert conductor.poll() is None
    assert done.code == 0
    assert "no conductor is running" not in done.err
    assert ": claimed" in here.log.read_text()


def test_a_failed_task_can_be_tried_again(here, server):
    task_id = here.submit(importing.given(server.url("/later")))
    here.conduct()
    server.put("/later", http_source.Resource(body=NOISE))

    done = here.run("task", "retry", task_id, "--wait", "-f", "json")

    assert done.code == 0
    assert done.json()["retry_of"] == task_id
    assert done.json()["status"] == "success"


# --- wrong use ---------------------------------------------------------------

LOCAL = json.dumps(importing.given("http://127.0.0.1:9/disk"))
WRONG = {
    "an unknown command": ("tsk list", "task list"),
    "a command that is nearly right": ("task sumbit", "task submit"),
    "an unknown option": ("task list --colour", "--colour"),
    "an unknown type": ("task submit imprt {}", "did you mean 'import'"),
    "no JSON": ("task submit import {", "is no JSON"),
    "an empty object": ("task submit import {}", "/import_from: is required"),
    "no such file": ("task submit import @/nowhere", "No such file"),
    "no such task": (f"task show {ABSENT}", f"no task {ABSENT}"),
    "no such image": (f"image show {ABSENT}", f"no image {ABSENT}"),
    "no such marker": (f"task list --marker {ABSENT}", "no task"),
    "no number of tasks": ("conductor run --max-tasks 0", "less than 1"),
    "no such column": ("task list -c colour", "colour"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_use_is_told_in_a_line_and_ends_with_2(used, name):
    command, words = WRONG[name]

    done = used.run(*command.split())

    assert done.code == 2
    assert done.out == ""
    assert words in done.err
    check_manners(done)


def test_a_task_that_has_not_failed_is_not_tried_again(used):
    done = used.run("task", "retry", used.image_task)

    assert done.code == 2
    assert "only a failed task" in done.err


def test_a_place_that_may_not_be_fetched_from_is_pointed_at(here):
    here.config.write_text("")

    done = here.run("task", "submit", "import", LOCAL)

    assert done.code == 2
    assert "/import_from: http://127.0.0.1:9/disk" in done.err
    assert here.ask("task", "list") == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[glance_tasks]\nmax_tasks = 0\n", "max_tasks"),
        ("[glance_tasks]\nconnection = nonsense\n", "database URL"),
        ("[glance_tasks]\nstore = nowhere\n", "nowhere"),
        ("[glance_tasks_fetch]\nallowed_schemes = ftp\n", "ftp"),
        ("[glance_tasks_fetch]\nallowed_networks = here\n", "here"),
        ("[glance_tasks\n", "tasks.conf"),
    ],
)
def test_a_wrong_configuration_is_told_and_ends_with_2(here, text, words):
    here.config.write_text(text)

    done = here.run("task", "list")

    assert done.code == 2
    assert words in done.err
    check_manners(done)


def test_a_configuration_that_is_not_there_is_told(here):
    here.config.unlink()

    done = here.run("task", "list")

    assert done.code == 2
    assert str(here.config) in done.err
    check_manners(done)


# --- the database ------------------------------------------------------------


def test_a_database_that_is_away_ends_with_3(tmp_path):
    with databases.running(servers.PostgreSQL) as server:
        url = server.url("postgres")
        server.stop()
        here = installation.Installation(tmp_path, connection=url)

        for command in ("task list", "db version", "db check"):
            done = here.run(*command.split())
            assert done.code == 3
            assert "cannot be used" in done.err
            check_manners(done)


def test_a_database_without_its_schema_ends_with_4(tmp_path, postgresql_url):
    here = installation.Installation(tmp_path, connection=postgresql_url)

    behind = [
        here.run(*command.split())
        for command in ("task list", "db check", "conductor run")
    ]
    synced = here.run("db", "sync", "-f", "value", "-c", "version")
    after = here.run("task", "list")

    assert [done.code for done in behind] == [4, 4, 4]
    for done in behind:
        assert "db sync" in done.err
        check_manners(done)
    assert synced.code == after.code == 0


def test_two_commands_make_the_embedded_database_at_once(here):
    done = []

    def ask():
        done.append(here.run("task", "list", "-f", "json"))

    both = [threading.Thread(target=ask) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()

    assert [(one.code, one.out.strip(), one.err) for one in done] == [
        (0, "[]", ""),
        (0, "[]", ""),
    ]


def test_the_data_directory_is_chosen_by_option_or_environment(here, tmp_path):
    chosen = tmp_path / "chosen"

    here.run("task", "list")
    here.run("--data-dir", str(chosen), "task", "list")

    assert (here.data_dir / "glance-tasks.sqlite").exists()
    assert (chosen / "glance-tasks.sqlite").exists()


def test_watching_a_task_that_failed_ends_with_1(used):
    done = used.run("task", "watch", used.failed_task)

    assert done.code == 1
    assert "import failed: FetchImage" in done.out


def test_a_healthy_installation_is_told_so(used):
    done = used.run("doctor", "-f", "json")

    assert done.code == 0
    # Whether there are namespaces is up to the kernel.
    others = [f for f in done.json() if f["check"] != "network"]
    assert {finding["state"] for finding in others} == {"ok"}
