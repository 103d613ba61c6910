# SPDX-License-Identifier: Apache-2.0
"""A retry takes what the failed task had brought, verified by its digest."""

import io
import os
import pathlib
import subprocess
import sys

import pytest

import glance_tasks as gt
from glance_tasks import exceptions
from glance_tasks import reaper
from glance_tasks import testing
from glance_tasks.testing import failing_store
from glance_tasks.testing import http_source
from glance_tasks.transfer import staging
from tests.support import importing
from tests.support import task_types

ROOT = pathlib.Path(__file__).parents[2]
MIB = 1 << 20
NOISE = importing.noise(6 * MIB + 512)


OTHER = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def server():
    with http_source.HttpSource() as server:
        yield server


def failing_once(inner):
    """Give a store that refuses the first image."""
    return failing_store.FailingStore(inner, of=("put",))


def opened(**options):
    return testing.EngineFixture(wrap_store=failing_once, **options)


@pytest.fixture
def kit():
    with opened() as kit:
        yield kit


def failed(kit, server, **resource):
    url = server.put("/disk", http_source.Resource(body=NOISE, **resource))
    task = kit.engine.submit("import", importing.given(url), owner="project")
    task = kit.run(task.id)
    assert task.status == "failure"
    return task


def stored(kit, task):
    assert task.status == "success", task.message
    image = kit.engine.catalogue.get(task.image_id)
    with kit.engine.store.open(image.location) as file:
        return file.read()


def kept(kit):
    return list(kit.engine.cache.task_ids())


def file_of(kit, task):
    return kit.engine.cache.path(task.id)


def reap(kit):
    engine = kit.engine
    return reaper.reap(
        *(engine.database, (engine.area, engine.staging)),
        *(engine.vault, engine.store),
        cache=engine.cache,
    )


def kinds(kit, task):
    return [event.kind for event in kit.engine.events(task.id)]


def test_what_was_fetched_is_not_fetched_again(kit, server):
    old = failed(kit, server)
    assert kept(kit) == [old.id]
    assert testing.find_leftovers(kit.engine) == []

    new = kit.run(kit.engine.retry(old.id).id)

    assert stored(kit, new) == NOISE
    assert len([r for r in server.requests if r.path == "/disk"]) == 1
    (told,) = [e for e in kit.engine.events(new.id) if e.kind == "reused"]
    assert told.text == f"{len(NOISE)} bytes that task {old.id} had"
    assert kept(kit) == []
    assert testing.find_leftovers(kit.engine) == []


def test_the_retry_of_a_retry_takes_it_too(server):
    def twice(inner):
        return failing_store.FailingStore(inner, of=("put",), times=2)

    with testing.EngineFixture(wrap_store=twice) as kit:
        old = failed(kit, server)
        again = kit.run(kit.engine.retry(old.id).id)
        assert again.failure.code == "store_unavailable"
        last = kit.run(kit.engine.retry(again.id).id)

        assert stored(kit, last) == NOISE
        assert server.sent == len(NOISE)
        assert kept(kit) == []


def test_a_retry_that_never_fetched_hands_it_on(kit, server):
    old = failed(kit, server)
    lost = kit.engine.retry(old.id)
    kit.engine.cancel(lost.id)

    last = kit.run(kit.engine.retry(lost.id).id)

    assert stored(kit, last) == NOISE
    assert server.sent == len(NOISE)


def test_from_the_beginning_fetches_anew(kit, server):
    old = failed(kit, server)

    new = kit.run(kit.engine.retry(old.id, reuse=False).id)

    assert stored(kit, new) == NOISE
    assert server.sent == 2 * len(NOISE)
    assert "reused" not in kinds(kit, new)
    assert kept(kit) == []


def test_a_transfer_that_was_cut_goes_on_where_it_was(server):
    chunk = {"glance_tasks_fetch": {"chunk_size": MIB}}
    with testing.EngineFixture(settings=chunk) as kit:
        gone = http_source.Resource(status=503)
        old = failed(kit, server, cut_after=4 * MIB, then=gone)
        assert old.failure.code == "source_unavailable"
        before = server.sent
        server.put("/disk", http_source.Resource(body=NOISE))

        new = kit.run(kit.engine.retry(old.id).id)

        assert stored(kit, new) == NOISE
        assert server.sent - before <= len(NOISE) - 3 * MIB


def test_what_is_kept_wrongly_is_named(kit, server):
    old = failed(kit, server)
    os.truncate(file_of(kit, old), MIB)
    (kit.engine.cache.root / OTHER).mkdir()

    assert testing.find_leftovers(kit.engine) == [
        f"cache {OTHER}: of no task that a retry may help",
        f"cache {old.id}: not what its ledger says",
    ]


@pytest.mark.parametrize("damage", ["flipped", "short", "gone"])
def test_what_is_damaged_is_fetched_anew(kit, server, damage):
    old = failed(kit, server)
    path = file_of(kit, old)
    if damage == "flipped":
        with path.open("r+b") as file:
            file.seek(MIB)
            file.write(bytes([NOISE[MIB] ^ 1]))
    elif damage == "short":
        os.truncate(path, MIB)
    else:
        path.unlink()

    new = kit.run(kit.engine.retry(old.id).id)

    assert stored(kit, new) == NOISE


def hopeless(kit, server, size):
    """Fail an import behind its fetch, so that no retry can help."""
    url = server.put("/odd", http_source.Resource(body=NOISE[:size]))
    wrong = importing.given(url, "qcow2")
    task = kit.run(kit.engine.submit("import", wrong, owner="project").id)
    assert task.failure.code == "format_mismatch"


def test_nothing_is_kept_of_what_no_retry_can_use(kit, server):
    hopeless(kit, server, MIB)

    assert kept(kit) == []


def test_what_no_retry_can_use_takes_nobodys_place(server):
    with opened(cache_max_bytes=len(NOISE) + MIB) as kit:
        old = failed(kit, server)
        hopeless(kit, server, 2 * MIB)

        assert kept(kit) == [old.id]


def test_nothing_is_kept_of_what_was_cancelled(kit, server):
    url = server.put("/disk", http_source.Resource(body=NOISE))
    task = kit.engine.submit("import", importing.given(url), owner="project")

    def cancelling(inner):
        class Cancelling(failing_store.FailingStore):
            def put(self, *words, stop, **rest):
                kit.engine.cancel(task.id)
                for _ in range(600):
                    stop.wait(0.1)

        return Cancelling(inner)

    with testing.EngineFixture(
        home=kit.home, wrap_store=cancelling
    ) as cancelled:
        task = cancelled.run(task.id)
        found = list(cancelled.engine.cache.task_ids())

    assert task.failure.code == "cancelled"
    assert found == []


def test_an_expired_task_leaves_nothing(kit, server):
    old = failed(kit, server)
    kit.clock.advance(47 * 3600)
    reap(kit)
    assert kept(kit) == [old.id]

    kit.clock.advance(2 * 3600)
    reap(kit)
    assert kept(kit) == []


def test_zero_bytes_switch_it_off(server):
    with opened(cache_max_bytes=0) as kit:
        old = failed(kit, server)
        assert kept(kit) == []
        assert stored(kit, kit.run(kit.engine.retry(old.id).id)) == NOISE


def test_an_upload_need_not_be_handed_in_again(kit):
    task = kit.engine.submit("upload", {"upload_format": "raw"}, owner="p")
    kit.engine.receive(task.id, io.BytesIO(NOISE))
    old = kit.run(task.id)
    assert old.failure.code == "store_unavailable"

    new = kit.run(kit.engine.retry(old.id).id)

    assert stored(kit, new) == NOISE
    assert testing.find_leftovers(kit.engine) == []


def test_an_upload_in_pieces_need_not_be_handed_in_again(kit):
    task = kit.engine.submit("upload", {"upload_format": "raw"}, owner="p")
    cut = io.BytesIO(NOISE[:MIB])
    with pytest.raises(gt.UploadTruncated):
        kit.engine.receive(task.id, cut, length=len(NOISE))
    kit.engine.receive(task.id, io.BytesIO(NOISE[MIB:]), offset=MIB)
    old = kit.run(task.id)

    new = kit.run(kit.engine.retry(old.id).id)

    assert stored(kit, new) == NOISE


def test_a_damaged_upload_is_asked_for_again(kit):
    task = kit.engine.submit("upload", {"upload_format": "raw"}, owner="p")
    kit.engine.receive(task.id, io.BytesIO(NOISE))
    old = kit.run(task.id)
    with file_of(kit, old).open("r+b") as file:
        file.write(b"other")

    new = kit.engine.retry(old.id)
    with pytest.raises(AssertionError, match="being handed in"):
        kit.run(new.id)
    kit.engine.receive(new.id, io.BytesIO(NOISE))

    assert stored(kit, kit.run(new.id)) == NOISE


def test_the_retry_of_an_uploads_retry_takes_it_too():
    def twice(inner):
        return failing_store.FailingStore(inner, of=("put",), times=2)

    with testing.EngineFixture(wrap_store=twice) as kit:
        old = kit.engine.submit("upload", {"upload_format": "raw"})
        kit.engine.receive(old.id, io.BytesIO(NOISE))
        kit.run(old.id)
        again = kit.run(kit.engine.retry(old.id).id)
        assert again.failure.code == "store_unavailable"

        last = kit.run(kit.engine.retry(again.id).id)

        assert stored(kit, last) == NOISE


def test_an_uploads_retry_that_is_cut_while_it_looks_takes_it_later(
    kit, monkeypatch
):
    task = kit.engine.submit("upload", {"upload_format": "raw"}, owner="p")
    kit.engine.receive(task.id, io.BytesIO(NOISE))
    old = kit.run(task.id)
    new = kit.engine.retry(old.id)

    def cut(*words, **rest):
        raise exceptions.TryLater("cut")

    with monkeypatch.context() as patch:
        patch.setattr(staging.StagingArea, "verified", cut)
        with pytest.raises(AssertionError, match="cut"):
            kit.run(new.id)
    kit.clock.advance(2 * 3600)
    kit.engine.board.wake(0)

    assert stored(kit, kit.run(new.id)) == NOISE


def test_a_full_disk_has_it_emptied_first(kit, server):
    old = failed(kit, server)
    inner = kit.engine._shared.fetcher

    class Full:
        """Finds no room while anything is kept."""

        def probe(self, *words, **rest):
            return inner.probe(*words, **rest)

        def __getattr__(self, name):
            return getattr(inner, name)

        def fetch(self, *words, **rest):
            if kept(kit):
                raise exceptions.DiskFull("no space is left")
            return inner.fetch(*words, **rest)

    url = server.put("/other", http_source.Resource(body=NOISE[:MIB]))
    with testing.EngineFixture(home=kit.home, fetcher=Full()) as other:
        task = other.engine.submit("import", importing.given(url))
        assert other.run(task.id).status == "success"

    assert kept(kit) == []
    assert stored(kit, kit.run(kit.engine.retry(old.id).id)) == NOISE


class OddTask(task_types.LineTask):
    """A type whose plan has a key of ours."""

    def plan(self, ctx):
        """Give nonsense under it."""
        return {"reuses": 3}


def test_the_key_of_a_plan_is_ours(world):
    with testing.EngineFixture(types={"odd": OddTask}) as kit:
        old = kit.run(
            kit.engine.submit("odd", world.given(fail_at="step-1")).id
        )
        new = kit.engine.retry(old.id)

        assert "reuses" not in old.plan
        assert new.plan["reuses"] == [old.id]
        assert kit.run(new.id).ended


SCRIPT = """
from glance_tasks import testing
from glance_tasks.testing import failing_catalogue, http_source
import os
body = os.urandom(1 << 20)

def failing(inner):
    return failing_catalogue.FailingCatalogue(
        inner, of=("publish",), times=None)

with http_source.HttpSource() as server:
    url = server.put("/disk", http_source.Resource(body=body))
    given = {"import_from": url, "import_from_format": "raw"}
    with testing.EngineFixture(wrap_catalogue=failing) as kit:
        old = kit.run(kit.engine.submit("import", given).id)
        with testing.EngineFixture(home=kit.home) as other:
            new = other.run(other.engine.retry(old.id).id)
        print(old.failure.code, new.status, new.message, server.sent)
"""


def test_whoever_is_not_root_can_read_what_was_kept():
    words = [sys.executable, "-W", "ignore", "-c", SCRIPT]
    if os.geteuid() == 0:
        dropped = ["--inh-caps=-dac_override", "--bounding-set=-dac_override"]
        words = ["setpriv", *dropped, *words]
    path = os.pathsep.join([str(ROOT), str(ROOT / "flows")])
    done = subprocess.run(
        words,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert done.stdout.split() == [
        *("catalogue_unavailable", "success", "None", str(MIB)),
    ], done.stderr
