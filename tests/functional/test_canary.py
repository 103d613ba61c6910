# SPDX-License-Identifier: Apache-2.0
"""A secret is found nowhere, while its task lives and after its end.

Looked at are the files of the database with its log of writes, a dump of all
tables, everything that was logged, work directories, names of files, and the
representations of all public objects.
"""

import json

import pytest

import glance_tasks as gt
from glance_tasks.testing import http_source
from tests.support import canary
from tests.support import engines
from tests.support import importing
from tests.support import installation
from tests.support import secret_types

ENDS = {
    "": "success",
    "kill": "success",
    "raise": "internal",
    "tell": "internal",
    "secret": "result_invalid",
    "value": "result_invalid",
    "url": "result_invalid",
}


@pytest.fixture
def engine(home, database_url):
    with engines.opened(
        home, types=secret_types.TYPES, database_url=database_url
    ) as engine:
        yield engine


@pytest.fixture
def conduct(home, database_url):
    """Give a way to conduct in a process of its own, one task at a time."""
    chosen = {"connection": database_url, "max_tasks": 1}
    return lambda: canary.conduct(home, **chosen)


def submit(engine, world, **told):
    return engine.submit(
        "secret",
        world.given(
            credentials=secret_types.CREDENTIALS,
            source=secret_types.address(),
            **told,
        ),
    )


def ended_as(task):
    return task.failure.code if task.failure else task.status.value


def logged(tmp_path):
    return (tmp_path / canary.LOG).read_text()


def test_it_is_seen_nowhere_however_its_task_ends(
    engine, conduct, tmp_path, world
):
    tasks = {told: submit(engine, world, kind=told) for told in ENDS}
    seen = canary.sightings(tmp_path, engine)

    killed = conduct()
    seen += canary.sightings(tmp_path, engine)
    world.open_gate()
    conducted = conduct()

    ends = {told: ended_as(engine.get(t.id)) for told, t in tasks.items()}
    assert (killed, conducted, ends) == (-9, 0, ENDS)
    assert world.counts()["revealed"] == len(ENDS) + 1
    assert seen + canary.sightings(tmp_path, engine) == []
    assert "login as *** failed" in logged(tmp_path)
    assert "*** was refused" in engine.get(tasks["tell"].id).message


def test_it_is_seen_nowhere_while_its_task_waits(
    engine, tmp_path, world, caplog
):
    task = submit(engine, world, kind="later")

    with caplog.at_level("DEBUG"):
        gt.Conductor(engine, max_tasks=1).run_one(task.id)

    assert engine.get(task.id).queue_reason == "*** does not do now"
    assert "c4n4ry" not in caplog.text
    assert canary.sightings(tmp_path, engine) == []


class Looking(secret_types.UseSecret):
    """Look at what is given to an atom at work."""

    seen: list[str] = []

    def execute(self, credentials, source):
        """Look, with the secret in hand."""
        password = credentials.reveal()["password"]
        assert password == secret_types.CANARY
        for each in (
            self.run,
            self.run.task,
            credentials,
            self,
            self.run.stop,
        ):
            self.seen.extend(canary.shown(each))
        self.seen.extend(canary.shown(self.run.hidden))


class LookingTask(secret_types.SecretTask):
    """Look at what plan and build are given, too."""

    def plan(self, ctx):
        """Look; only which there are is known."""
        Looking.seen.extend(canary.shown(ctx))
        assert set(ctx.secrets) == {"credentials", "source"}
        return {}

    def build(self, ctx):
        """Look."""
        Looking.seen.extend(canary.shown(ctx))
        flow = super().build(ctx)
        return type(flow)("looking").add(Looking(ctx))


def test_no_object_in_reach_of_a_plugin_shows_it(home, world):
    with engines.opened(home, types={"secret": LookingTask}) as engine:
        task = submit(engine, world)
        claim = engines.claim(engine)
        engines.run(engine, claim)

        assert ended_as(engine.get(task.id)) == "success"
        assert (Looking.seen, canary.shown(claim)) == ([], [])


# --- the command -------------------------------------------------------------


def test_the_address_of_an_import_is_seen_nowhere(tmp_path):
    here = installation.Installation(tmp_path / "here")
    path, login = "/disk?sig=51g-c4n4ry", "user:pa55-c4n4ry"
    image = http_source.Resource(importing.noise(1 << 20), login=login)
    words = ("--debug", "task", "submit", "import", "-", "--wait")
    with http_source.HttpSource() as source:
        whole = source.put(path, image).replace("//", f"//{login}@")
        done = [
            here.run(*words, given=json.dumps(importing.given(uri)))
            for uri in (whole, whole.replace("/disk", "/gone"))
        ]

    said = "".join(each.out + each.err for each in done)
    assert [each.code for each in done] == [0, 1]
    assert "//***@127.0.0.1" in done[0].out and "//***@" in done[1].out
    assert "c4n4ry" not in said
    assert canary.sightings(tmp_path) == []
