# SPDX-License-Identifier: Apache-2.0
"""Imports from broken sources, of hostile images, on broken ground."""

import contextlib
import pathlib
import re
import sqlite3
import threading

import pytest
import sqlalchemy as sa

import glance_tasks as gt
from glance_tasks import exceptions
from glance_tasks.adapters import sql_catalogue
from glance_tasks.testing import http_source
from tests.support import breakage
from tests.support import broken_archives
from tests.support import crafted
from tests.support import engines
from tests.support import importing

MIB = 1 << 20
SECRET = breakage.SECRET
NOISE = breakage.NOISE


# --- the table ---------------------------------------------------------------


FETCH, UNPACK, INSPECT, CONVERT, STORE, REGISTER, CHECK = (
    "FetchImage",
    "UnpackImage",
    "InspectImage",
    "ConvertImage",
    "StoreImage",
    "RegisterImage",
    "Check-mine",
)

#: name: what is arranged, the step that fails, its code, words of the message
CASES = {
    "404": (lambda s: s.serve(status=404), FETCH, "source_not_found", "404"),
    "410": (lambda s: s.serve(status=410), FETCH, "source_not_found", "410"),
    "401": (lambda s: s.serve(status=401), FETCH, "source_denied", "401"),
    "403": (lambda s: s.serve(status=403), FETCH, "source_denied", "403"),
    "500": (lambda s: s.serve(status=500), FETCH, "source_unavailable", "500"),
    "refused": (breakage.refused, FETCH, "source_unavailable", "connected to"),
    "unresolvable": (
        breakage.unresolvable,
        FETCH,
        "source_unavailable",
        "not known",
    ),
    "cut": (
        lambda s: s.serve(cut_after=100_000, ranges=False),
        FETCH,
        "source_cut",
        "200000 bytes before the end",
    ),
    "slow": (breakage.slow, FETCH, "source_too_slow", "0.2 s"),
    "too big": (
        breakage.announced_too_big,
        FETCH,
        "source_too_big",
        "most 200000",
    ),
    "endless": (breakage.endless, FETCH, "source_too_big", "most 2097152"),
    "changed": (breakage.changing, FETCH, "source_changed", "4 times"),
    "gzip": (
        lambda s: s.serve(headers={"Content-Encoding": "gzip"}),
        FETCH,
        "source_invalid",
        "gzip",
    ),
    "no HTTP": (
        lambda s: s.serve(raw=b"SSH-2.0-OpenSSH_9.2\r\n"),
        FETCH,
        "source_invalid",
        "HTTP",
    ),
    "a loop": (
        breakage.moved(breakage.PATH),
        FETCH,
        "source_invalid",
        "more than 5 times",
    ),
    "moved inside": (
        breakage.moved("http://169.254.169.254/latest/meta-data"),
        FETCH,
        "source_not_allowed",
        "not a public one",
    ),
    "moved to a file": (
        breakage.moved("file:///images/disk"),
        FETCH,
        "source_not_allowed",
        "not on the network",
    ),
    "moved to a port": (
        breakage.moved_to_a_port,
        FETCH,
        "source_not_allowed",
        "the port",
    ),
    "a private name": (
        breakage.private_after_resolution,
        FETCH,
        "source_not_allowed",
        "not a public one",
    ),
    "a file that is gone": (
        breakage.file_gone,
        FETCH,
        "source_not_found",
        "not there",
    ),
    "another digest": (
        breakage.promised,
        FETCH,
        "checksum_mismatch",
        "0" * 64,
    ),
    "an empty file": (
        breakage.image(b"", "raw"),
        INSPECT,
        "image_malformed",
        "0 bytes",
    ),
    "raw for qcow2": (
        breakage.image(NOISE, "qcow2"),
        INSPECT,
        "format_mismatch",
        "qcow2",
    ),
    "qcow2 for raw": (
        breakage.image(crafted.qcow2(), "raw"),
        INSPECT,
        "format_mismatch",
        "qcow2",
    ),
    "a backing file": (
        breakage.image(importing.hostile(), "qcow2", "raw"),
        INSPECT,
        "unsafe_image",
        "backing file",
    ),
    "a data file": (
        breakage.image(crafted.qcow2(incompatible=4), "qcow2", "raw"),
        INSPECT,
        "unsafe_image",
        "in another file",
    ),
    "extents elsewhere": (
        breakage.image(crafted.vmdk(breakage.ELSEWHERE), "vmdk", "raw"),
        INSPECT,
        "unsafe_image",
        "",
    ),
    "a parent": (
        breakage.image(crafted.vhd(disk_type=4), "vhd", "raw"),
        INSPECT,
        "unsafe_image",
        "",
    ),
    "a lying header": (
        breakage.image(crafted.qcow2(l1_size=1 << 25), "qcow2", "raw"),
        INSPECT,
        "image_malformed",
        "",
    ),
    "too large a disk": (
        breakage.too_large_a_disk,
        INSPECT,
        "virtual_size_exceeded",
        "1048576",
    ),
    "an image in a disk": (
        breakage.image_in_a_disk,
        CONVERT,
        "unsafe_image",
        "inside",
    ),
    "no room for a fetch": (
        breakage.no_room_for_the_fetch,
        FETCH,
        "disk_full",
        "2097152 bytes",
    ),
    "no room in mid-fetch": (
        breakage.no_room_in_mid_fetch,
        FETCH,
        "disk_full",
        "no room",
    ),
    "no room for a disk": (
        breakage.no_room_for_the_disk,
        CONVERT,
        "disk_full",
        "",
    ),
    "no room for another": (
        breakage.no_room_for_a_vmdk,
        CONVERT,
        "disk_full",
        "",
    ),
    "a full store": (breakage.full_store, STORE, "store_full", "no space"),
    "a read-only store": (
        breakage.read_only_store,
        STORE,
        "store_unavailable",
        "Read-only",
    ),
    "a file in the way": (
        breakage.file_in_the_way,
        STORE,
        "store_unavailable",
        "",
    ),
    "no catalogue": (
        breakage.catalogue_down,
        REGISTER,
        "catalogue_unavailable",
        "",
    ),
    "qemu-nbd killed": (
        breakage.killed("qemu-nbd", "raw"),
        CONVERT,
        "convert_failed",
        "qemu-nbd",
    ),
    "qemu-img killed": (
        breakage.killed("qemu-img", "vmdk"),
        CONVERT,
        "convert_failed",
        "qemu-img",
    ),
    "no time to read": (
        breakage.limited("raw", wall_seconds=0.0),
        CONVERT,
        "convert_timeout",
        "longer than 0 s",
    ),
    "no time to write": (
        breakage.limited("vmdk", wall_seconds=0.0),
        CONVERT,
        "convert_timeout",
        "longer than 0 s",
    ),
    "no processor": (
        breakage.limited("vmdk", 128 * MIB, processor_seconds=0.0),
        CONVERT,
        "convert_cpu_limit",
        "processor",
    ),
    "too large a file": (
        breakage.limited("vmdk", file_size=100_000),
        CONVERT,
        "convert_size_limit",
        "100000",
    ),
    "little memory": (
        breakage.little_memory,
        CONVERT,
        "convert_memory_limit",
        "memory",
    ),
    "a veto": (
        breakage.raises(gt.CheckRefused("the image has no licence")),
        CHECK,
        "check_refused",
        "no licence",
    ),
    "a plugin's own word": (
        breakage.raises(
            gt.TaskError("no", code="not_liked", advice="Paint it blue")
        ),
        CHECK,
        "not_liked",
        "Paint it blue",
    ),
    **{
        f"a plugin's {type(error).__name__}": (
            breakage.raises(error),
            CHECK,
            "internal",
            type(error).__name__,
        )
        for error in (
            ValueError(SECRET),
            SystemExit(SECRET),
            KeyboardInterrupt(SECRET),
            GeneratorExit(SECRET),
            MemoryError(SECRET),
            RecursionError(SECRET),
            breakage.Unspeakable(),
            PermissionError(13, SECRET, f"/etc/{SECRET}"),
            UnicodeDecodeError("utf-8", b"\xff" + SECRET.encode(), 0, 1, "x"),
            sqlite3.OperationalError(SECRET),
        )
    },
    "a plugin's own exception group": (
        breakage.raises(ExceptionGroup(SECRET, [ValueError(SECRET)])),
        CHECK,
        "internal",
        "ExceptionGroup",
    ),
    **{
        name: (arrange, step, code, words)
        for step, cases in (
            (UNPACK, broken_archives.CASES),
            (INSPECT, broken_archives.INSIDE),
        )
        for name, (arrange, code, words) in cases.items()
    },
    "a plugin's odd result": (
        breakage.gives({1, 2}),
        CHECK,
        "result_invalid",
        "",
    ),
}


@pytest.fixture
def stage(tmp_path, monkeypatch):
    monkeypatch.setattr("glance_tasks.transfer.download.BACKOFF", 0.005)
    monkeypatch.setattr("glance_tasks.atoms.register._PAUSE_S", 0.005)
    with http_source.HttpSource() as server, contextlib.ExitStack() as stack:
        yield breakage.Stage(tmp_path, server, stack, monkeypatch)


def play(stage, engine, given):
    """Run an import to its end; give the task."""
    submitted = engine.submit("import", given, owner="project")
    beside = threading.Thread(target=stage.meanwhile)
    beside.start()
    engines.run_all(engine)
    beside.join()
    return engine.get(submitted.id)


def conducted(engine, task):
    """Let a conductor take the task once, set aside or not; give it."""
    engine.board.wake(0)
    gt.Conductor(engine, max_tasks=1).run(until_idle=True)
    return engine.get(task.id)


def kept(engine, task, path):
    """Tell whether this is there for the task's retry, which can use it."""
    cache = engine.cache.root
    hopeful = task.failure.retryable and task.failure.code != "cancelled"
    return path == cache or (hopeful and path.is_relative_to(cache / task.id))


def nothing_left(stage, engine, task):
    """List what an import that failed has left anywhere."""
    conf = engine.conf.glance_tasks
    work = pathlib.Path(conf.work_dir or stage.home / "work")
    store = pathlib.Path(conf.store_dir or stage.home / "store")
    found = [
        str(path) for path in work.rglob("*") if not kept(engine, task, path)
    ]
    if store.is_dir():
        found += [str(path) for path in store.iterdir()]
    with contextlib.suppress(exceptions.CatalogueError):
        found += [image.id for image in engine.catalogue.find()]
    found += [
        table for table in ("gt_jobs", "gt_locks") if rows(engine, table)
    ]
    return found


def rows(engine, table):
    return importing.dump(engine)[table]


PATHS = re.compile(r"/(tmp|root|home|var|usr|work|etc|proc|dev)/")


@pytest.mark.parametrize("name", CASES)
def test_what_breaks_an_import_is_told_and_leaves_nothing(stage, name):
    arrange, step, code, words = CASES[name]
    given = arrange(stage)
    with importing.opened(
        stage.home / "data", settings=stage.settings, **stage.parts
    ) as engine:
        stage.home = stage.home / "data"
        task = play(stage, engine, given)

        assert task.status == "failure"
        assert (task.failure.code, task.failure.step) == (code, step)
        assert task.message.startswith(f"{step}: ")
        assert words in task.message
        assert task.failure.advice in task.message
        known = exceptions.FAILURES.get(code)
        assert known is None or task.failure.advice == known.advice
        assert (task.failure.support_id is not None) == (code == "internal")
        told = task.message.replace(given["import_from"], "")
        assert not PATHS.search(told), told
        assert SECRET not in task.message
        assert "Traceback" not in task.message
        assert task.failure.left_behind == ()
        assert nothing_left(stage, engine, task) == []
        assert not breakage.children("qemu-nbd")
        assert not breakage.children("qemu-img")


def test_a_failure_nobody_foresaw_can_be_found_by_its_support_id(stage):
    given = breakage.raises(ValueError(f"http://me:{SECRET}@x/"))(stage)
    with importing.opened(
        stage.home, settings=stage.settings, **stage.parts
    ) as engine:
        task = play(stage, engine, given)

        found = [
            event
            for event in engine.events(task.id)
            if event.detail
            and event.detail.get("support_id") == task.failure.support_id
        ]
        assert [event.kind for event in found] == ["atom_failed"]
        assert "ValueError" in found[0].detail["traceback"]
        assert SECRET not in repr(found)


def test_what_another_has_stored_under_the_key_stays(stage):
    given = breakage.occupied_store(stage)
    with importing.opened(
        stage.home, settings=stage.settings, **stage.parts
    ) as engine:
        task = play(stage, engine, given)

        assert task.failure.code == "store_unavailable"
        assert engine.catalogue.find() == []
        assert importing.left(stage.home / "work") == []


def test_a_catalogue_that_stays_away_has_the_undoing_wait_for_it(stage):
    class Gone(sql_catalogue.SqlCatalogue):
        def publish(self, image, fence):
            self.there = getattr(self, "there", self._reader)
            self._reader = sa.create_engine(f"sqlite:///{stage.home}")
            super().publish(image, fence)

    given = stage.serve()
    with importing.opened(stage.home / "data", catalogue=Gone) as engine:
        waiting = conducted(engine, engine.submit("import", given))
        held = importing.left(stage.home / "data" / "store")

        engine.catalogue._reader = engine.catalogue.there
        ended = conducted(engine, waiting)

        assert waiting.status == "processing"
        assert f"{REGISTER} cannot be undone yet" in waiting.queue_reason
        assert held != []
        assert (ended.failure.code, ended.failure.step) == (
            "catalogue_unavailable",
            REGISTER,
        )
        assert ended.failure.left_behind == ()
        assert engine.catalogue.find() == []
        for place in "store", "work":
            assert importing.left(stage.home / "data" / place) == []


def test_an_undoing_that_has_to_wait_is_told_once(stage):
    class Away(sql_catalogue.SqlCatalogue):
        def publish(self, image, fence):
            self._reader = sa.create_engine(f"sqlite:///{stage.home}")
            super().publish(image, fence)

    given = stage.serve()
    with importing.opened(stage.home / "data", catalogue=Away) as engine:
        task = engine.submit("import", given)
        for _ in range(3):
            conducted(engine, task)

        kinds = [event.kind for event in engine.events(task.id)]
        assert kinds.count("set_aside") == 1


# --- what is not even taken on -----------------------------------------------


GOOD = "https://images.example/disk"
REFUSED = {
    "no address": ({"import_from_format": "raw"}, "/import_from"),
    "no format": ({"import_from": GOOD}, "/import_from_format"),
    "an unknown key": (importing.given(GOOD, surprise=1), "/surprise"),
    "an unknown format": (importing.given(GOOD, "tar"), "/import_from_format"),
    "a number": (importing.given(7), "/import_from"),
    "an owner": (
        importing.given(GOOD) | {"image_properties": {"owner": "x"}},
        "/image_properties/owner",
    ),
    "a bad digest": (importing.given(GOOD, checksum="md5:00"), "/checksum"),
    "a conversion there is not": (
        importing.given(GOOD, "qcow2", "iso"),
        "/image_properties/disk_format",
    ),
    **{
        f"from {url[:40]}": (importing.given(url), "/import_from")
        for url in (
            "ftp://images.example/disk",
            "gopher://images.example/disk",
            "file:///etc/passwd",
            "http://10.0.0.1/disk",
            "http://[::1]/disk",
            "http://169.254.169.254/latest",
            "http://2130706433/disk",
            "http://0x7f.1/disk",
            "http://images.example:22/disk",
            f"ftp://me:{SECRET}@images.example/disk",
            "https:///disk",
            "https://images.example/a b",
            "https://images.example/" + "x" * 9000,
        )
    },
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_work_is_refused_at_submit(tmp_path, name):
    given, pointer = REFUSED[name]
    closed = {"allowed_networks": [], "allowed_ports": [80, 443]}
    settings = {"glance_tasks_fetch": closed}
    with importing.opened(tmp_path, settings=settings) as engine:
        before = importing.dump(engine)

        with pytest.raises(gt.InvalidInput) as caught:
            engine.submit("import", given, owner="project")

        assert [at for at, _ in caught.value.errors] == [pointer]
        assert SECRET not in str(caught.value)
        assert importing.dump(engine) == before
        assert not (tmp_path / "work").exists()
