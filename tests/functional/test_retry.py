# SPDX-License-Identifier: Apache-2.0
"""A retry takes what the failed task had brought, verified by its digest."""

import io
import os

import pytest

import glance_tasks as gt
from glance_tasks import ledger
from glance_tasks import reaper
from glance_tasks import testing
from glance_tasks.testing import failing_store
from glance_tasks.testing import http_source
from glance_tasks.transfer import cache
from tests.support import importing

MIB = 1 << 20
NOISE = importing.noise(6 * MIB + 512)


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
    return kit.engine.cache.root / task.id / "data"


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
    (kit.engine.cache.root / IDS[0]).mkdir()

    assert testing.find_leftovers(kit.engine) == [
        f"cache {IDS[0]}: of no task that a retry may help",
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


def test_nothing_is_kept_of_what_no_retry_can_use(kit, server):
    url = server.put("/disk", http_source.Resource(body=NOISE))
    wrong = importing.given(url, checksum=f"sha256:{'0' * 64}")
    task = kit.run(kit.engine.submit("import", wrong, owner="project").id)

    assert task.failure.code == "checksum_mismatch"
    assert kept(kit) == []


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


# --- the cache alone ---------------------------------------------------------


def make(home, name, size):
    """Put a whole file with its ledger into a directory of its own."""
    path = home / name / "fetched"
    path.parent.mkdir()
    path.write_bytes(b"x" * size)
    mark = ledger.Mark(size, {}, done=True)
    ledger.Ledger(path, ledger.Record({}, (mark,))).close()
    return path


IDS = [f"00000000-0000-4000-8000-00000000000{n}" for n in range(4)]


def test_the_oldest_goes_first(tmp_path):
    one = cache.StagingCache(tmp_path / "cache", 2 * MIB)

    assert all(one.keep(i, make(tmp_path, i, MIB)) for i in IDS)

    assert sorted(one.task_ids()) == IDS[2:]


def test_what_is_larger_than_all_of_it_is_not_kept(tmp_path):
    one = cache.StagingCache(tmp_path / "cache", 2 * MIB)
    assert one.keep(IDS[0], make(tmp_path, IDS[0], MIB))
    path = make(tmp_path, "large", 3 * MIB)

    assert not one.keep(IDS[1], path)
    assert path.exists()


def test_never_more_is_kept_than_is_free(tmp_path, monkeypatch):
    one = cache.StagingCache(tmp_path / "cache", 1 << 40)
    assert one.keep(IDS[0], make(tmp_path, IDS[0], MIB))
    full = os.statvfs_result((4096, 4096, 9, 9, 100, 9, 9, 9, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda path: full)

    one.trim()

    assert list(one.task_ids()) == []


def test_a_frozen_run_that_thaws_keeps_nothing(tmp_path):
    one = cache.StagingCache(tmp_path / "cache", MIB)
    path = make(tmp_path, "work", 1000)
    os.rename(path.parent, tmp_path / "successor")

    assert not one.keep(IDS[0], path)
    assert list(one.task_ids()) == []


def test_what_an_earlier_run_brought_is_not_replaced(tmp_path):
    one = cache.StagingCache(tmp_path / "cache", MIB)
    one.keep(IDS[0], make(tmp_path, "work", 1000))
    path = make(tmp_path, "own", 2000)

    assert one.lend([IDS[0]], path) is None
    assert path.stat().st_size == 2000
