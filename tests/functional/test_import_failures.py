# SPDX-License-Identifier: Apache-2.0
"""Imports from broken sources, of hostile images, on broken ground."""

import contextlib
import dataclasses
import os
import pathlib
import re
import signal
import socket
import sqlite3
import threading
from typing import Any

import pytest
import sqlalchemy as sa

import glance_tasks as gt
from glance_tasks import exceptions
from glance_tasks.adapters import sql_catalogue
from glance_tasks.imagefile import restraint
from glance_tasks.transfer import fetcher
from tests.support import crafted
from tests.support import engines
from tests.support import fetching
from tests.support import http_source
from tests.support import images
from tests.support import importing
from tests.support import stores

MIB = 1 << 20
SECRET = "s3cr3t"
#: A signed address: whoever has it has the object.
PATH = f"/disk?X-Signature={SECRET}"
NOISE = importing.noise(300_000)


# --- the stage, and what is arranged on it -----------------------------------


class Stage:
    """What one case arranges before it is played.

    :ivar parts: keywords of :func:`importing.make_engine`
    :ivar settings: options by group
    """

    def __init__(self, home, server, stack, monkeypatch):
        self.home, self.server, self.stack = home, server, stack
        self.monkeypatch = monkeypatch
        self.parts: dict[str, Any] = {}
        self.settings: dict[str, dict[str, Any]] = {}
        self.meanwhile = lambda: None

    def serve(self, body=NOISE, source="raw", target=None, **how):
        """Serve a body; give the import of it."""
        resource = http_source.Resource(body=body, **how)
        url = self.server.put(PATH, resource)
        return importing.given(url, source, target)

    def disk(self, size=MIB, driver="qcow2", content=None):
        """Give the bytes of a good image."""
        disk, image = self.home / "source-disk", self.home / "source"
        if content is None:
            images.disk(disk, size)
        else:
            disk.write_bytes(content)
        images.made(image, disk, "-O", driver)
        return image.read_bytes()

    def option(self, group, **chosen):
        self.settings.setdefault(group, {}).update(chosen)

    def tmpfs(self, name, size):
        """Put a small file system in the place of a directory."""
        place = self.home / f"mounted-{name}"
        options = f"size={size},mode=700"
        self.stack.enter_context(stores.mounted(place, options))
        self.option("glance_tasks", **{name: str(place)})
        return place

    def read_only(self, name):
        """Put a file system that cannot be written to there."""
        place = self.home / f"mounted-{name}"
        self.stack.enter_context(stores.mounted(place, "size=1m,ro"))
        self.option("glance_tasks", **{name: str(place)})

    def check(self, error):
        """Have a check of a third party raise ``error``."""

        class Check(gt.Atom):
            """A third party's check.

            There is nothing to revert.
            """

            behaviour = "idempotent"

            def execute(self, image_file):
                """Raise."""
                raise error

        self.parts["checks"] = {"mine": Check}

    def limits(self, **tiny):
        """Let no program use more than that."""
        limits = restraint.Limits(60.0, 60.0, 4 << 30, 1 << 30)
        limits = dataclasses.replace(limits, **tiny)
        self.monkeypatch.setattr(
            restraint.Limits, "of_disk", staticmethod(lambda *_: limits)
        )


def kill_when_it_runs(program, number):
    """Send a signal to the first child of that name."""

    def kill():
        pid = engines.until(lambda: children(program), program)
        os.kill(pid, number)

    return kill


def children(program):
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            status = (entry / "status").read_text()
            words = (entry / "cmdline").read_bytes().split(b"\0")
            ours = f"PPid:\t{os.getpid()}\n" in status
            if ours and words[0].endswith(program.encode()):
                return int(entry.name)
    return None


# --- sources -----------------------------------------------------------------


def refused(stage):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return importing.given(f"http://127.0.0.1:{port}{PATH}")


def slow(stage):
    stage.option("glance_tasks_fetch", read_timeout=0.2)
    return stage.serve(stall_after=100_000, ranges=False)


def announced_too_big(stage):
    stage.option("glance_tasks_fetch", max_bytes=200_000)
    return stage.serve()


def endless(stage):
    stage.option("glance_tasks_fetch", max_bytes=2 * MIB)
    return stage.serve(endless=True)


def changing(stage):
    resource = None
    for number in range(8):
        resource = http_source.Resource(
            body=importing.noise(300_000, seed=number),
            etag=f'"{number}"',
            cut_after=200_000,
            then=resource,
        )
    return importing.given(stage.server.put(PATH, resource))


def moved(target):
    def arrange(stage):
        return stage.serve(status=302, location=target)

    return arrange


def moved_to_a_port(stage):
    other = stage.stack.enter_context(http_source.HttpSource())
    stage.option("glance_tasks_fetch", allowed_ports=[stage.server.port])
    return stage.serve(status=302, location=other.url("/disk"))


def unresolvable(stage):
    class Nowhere:
        def __call__(self, host, port):
            raise socket.gaierror(socket.EAI_NONAME, "Name not known")

    stage.parts["fetcher"] = fetcher.GuardedFetcher(
        fetching.allowing(), Nowhere()
    )
    return importing.given(f"http://images.invalid{PATH}")


def private_after_resolution(stage):
    stage.parts["fetcher"] = fetcher.GuardedFetcher(
        fetching.allowing(networks=()), lambda host, port: ["10.0.0.1"]
    )
    return importing.given(f"http://images.example{PATH}")


def file_gone(stage):
    stage.option("glance_tasks_fetch", file_roots=[str(stage.home)])
    return importing.given(f"file://{stage.home}/gone")


def promised(stage):
    return {**stage.serve(), "checksum": "sha256:" + "0" * 64}


# --- images ------------------------------------------------------------------


def image(body, source, target=None):
    def arrange(stage):
        return stage.serve(body, source, target)

    return arrange


def too_large_a_disk(stage):
    stage.option("glance_tasks_convert", max_virtual_size=MIB)
    return stage.serve(crafted.qcow2(), "qcow2")


def image_in_a_disk(stage):
    body = stage.disk(content=importing.hostile())
    return stage.serve(body, "qcow2", "raw")


ELSEWHERE = crafted.vmdk_lines('RW 8 FLAT "/images/disk" 0', without="SPARSE")


# --- the ground it stands on -------------------------------------------------


def no_room_for_the_fetch(stage):
    stage.tmpfs("work_dir", MIB)
    return stage.serve(importing.noise(2 * MIB))


def no_room_in_mid_fetch(stage):
    stage.tmpfs("work_dir", MIB)
    return stage.serve(importing.noise(2 * MIB), chunked=True)


def no_room_for_the_disk(stage):
    stage.tmpfs("work_dir", 2 * MIB)
    body = stage.disk(content=b"much of the same" * (4 * MIB // 16))
    (stage.home / "source").unlink()
    images.made(
        stage.home / "source", stage.home / "source-disk", "-c", "-O", "qcow2"
    )
    body = (stage.home / "source").read_bytes()
    assert len(body) < MIB
    return stage.serve(body, "qcow2", "raw")


def no_room_for_a_vmdk(stage):
    given = no_room_for_the_disk(stage)
    return given | {"image_properties": {"disk_format": "vhdx"}}


def full_store(stage):
    stage.tmpfs("store_dir", MIB)
    return stage.serve(importing.noise(2 * MIB))


def read_only_store(stage):
    stage.read_only("store_dir")
    return stage.serve()


def file_in_the_way(stage):
    (stage.home / "a-file").write_text("in the way")
    stage.option("glance_tasks", store_dir=str(stage.home / "a-file"))
    return stage.serve()


def occupied_store(stage):
    class Occupied(stores.directory_store.DirectoryStore):
        def put(self, key, *words, **rest):
            path = self._path(key)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"another's")
            return super().put(key, *words, **rest)

        def delete(self, key, **rest):
            super().delete(key, **rest)

    stage.parts["store"] = Occupied
    return stage.serve()


def catalogue_down(stage):
    """Have the catalogue answer again only when the image is given up."""

    class Down(sql_catalogue.SqlCatalogue):
        def __init__(self, conf, engine):
            super().__init__(conf, engine)
            self._away = sa.create_engine(f"sqlite:///{stage.home}")

        def publish(self, image, fence):
            back, self._reader = self._reader, self._away
            try:
                super().publish(image, fence)
            finally:
                self._reader = back

    stage.parts["catalogue"] = Down
    return stage.serve()


# --- converting --------------------------------------------------------------


def killed(program, target):
    def arrange(stage):
        stage.meanwhile = kill_when_it_runs(program, signal.SIGKILL)
        return stage.serve(stage.disk(64 * MIB), "qcow2", target)

    return arrange


def limited(target, size=4 * MIB, **tiny):
    def arrange(stage):
        stage.limits(**tiny)
        return stage.serve(stage.disk(size), "qcow2", target)

    return arrange


def little_memory(stage):
    stage.limits(memory=16 << 20)
    return stage.serve(stage.disk(), "qcow2", "vmdk")


# --- plugins -----------------------------------------------------------------


class Unspeakable(Exception):
    def __str__(self):
        raise SystemExit(SECRET)


def raises(error):
    def arrange(stage):
        stage.check(error)
        return stage.serve()

    return arrange


def gives(value):
    def arrange(stage):
        stage.check(None)

        def execute(self, image_file):
            return value

        check = type(
            "Gives",
            (gt.Atom,),
            {"behaviour": "idempotent", "execute": execute},
        )
        stage.parts["checks"] = {"mine": check}
        return stage.serve()

    return arrange


# --- the table ---------------------------------------------------------------


FETCH, INSPECT, CONVERT, STORE, REGISTER, CHECK = (
    "FetchImage",
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
    "refused": (refused, FETCH, "source_unavailable", "connected to"),
    "unresolvable": (unresolvable, FETCH, "source_unavailable", "not known"),
    "cut": (
        lambda s: s.serve(cut_after=100_000, ranges=False),
        FETCH,
        "source_cut",
        "200000 bytes before the end",
    ),
    "slow": (slow, FETCH, "source_too_slow", "0.2 s"),
    "too big": (announced_too_big, FETCH, "source_too_big", "most 200000"),
    "endless": (endless, FETCH, "source_too_big", "most 2097152"),
    "changed": (changing, FETCH, "source_changed", "4 times"),
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
    "a loop": (moved(PATH), FETCH, "source_invalid", "more than 5 times"),
    "moved inside": (
        moved("http://169.254.169.254/latest/meta-data"),
        FETCH,
        "source_not_allowed",
        "not a public one",
    ),
    "moved to a file": (
        moved("file:///images/disk"),
        FETCH,
        "source_not_allowed",
        "not on the network",
    ),
    "moved to a port": (
        moved_to_a_port,
        FETCH,
        "source_not_allowed",
        "the port",
    ),
    "a private name": (
        private_after_resolution,
        FETCH,
        "source_not_allowed",
        "not a public one",
    ),
    "a file that is gone": (file_gone, FETCH, "source_not_found", "not there"),
    "another digest": (promised, FETCH, "checksum_mismatch", "0" * 64),
    "an empty file": (
        image(b"", "raw"),
        INSPECT,
        "image_malformed",
        "0 bytes",
    ),
    "raw for qcow2": (
        image(NOISE, "qcow2"),
        INSPECT,
        "format_mismatch",
        "qcow2",
    ),
    "qcow2 for raw": (
        image(crafted.qcow2(), "raw"),
        INSPECT,
        "format_mismatch",
        "qcow2",
    ),
    "a backing file": (
        image(importing.hostile(), "qcow2", "raw"),
        INSPECT,
        "unsafe_image",
        "backing file",
    ),
    "a data file": (
        image(crafted.qcow2(incompatible=4), "qcow2", "raw"),
        INSPECT,
        "unsafe_image",
        "in another file",
    ),
    "extents elsewhere": (
        image(crafted.vmdk(ELSEWHERE), "vmdk", "raw"),
        INSPECT,
        "unsafe_image",
        "",
    ),
    "a parent": (
        image(crafted.vhd(disk_type=4), "vhd", "raw"),
        INSPECT,
        "unsafe_image",
        "",
    ),
    "a lying header": (
        image(crafted.qcow2(l1_size=1 << 25), "qcow2", "raw"),
        INSPECT,
        "image_malformed",
        "",
    ),
    "too large a disk": (
        too_large_a_disk,
        INSPECT,
        "virtual_size_exceeded",
        "1048576",
    ),
    "an image in a disk": (image_in_a_disk, CONVERT, "unsafe_image", "inside"),
    "no room for a fetch": (
        no_room_for_the_fetch,
        FETCH,
        "disk_full",
        "2097152 bytes",
    ),
    "no room in mid-fetch": (
        no_room_in_mid_fetch,
        FETCH,
        "disk_full",
        "no room",
    ),
    "no room for a disk": (no_room_for_the_disk, CONVERT, "disk_full", ""),
    "no room for another": (no_room_for_a_vmdk, CONVERT, "disk_full", ""),
    "a full store": (full_store, STORE, "store_full", "no space"),
    "a read-only store": (
        read_only_store,
        STORE,
        "store_unavailable",
        "Read-only",
    ),
    "a file in the way": (file_in_the_way, STORE, "store_unavailable", ""),
    "no catalogue": (catalogue_down, REGISTER, "catalogue_unavailable", ""),
    "qemu-nbd killed": (
        killed("qemu-nbd", "raw"),
        CONVERT,
        "convert_failed",
        "qemu-nbd",
    ),
    "qemu-img killed": (
        killed("qemu-img", "vmdk"),
        CONVERT,
        "convert_failed",
        "qemu-img",
    ),
    "no time to read": (
        limited("raw", wall_seconds=0.0),
        CONVERT,
        "convert_timeout",
        "longer than 0 s",
    ),
    "no time to write": (
        limited("vmdk", wall_seconds=0.0),
        CONVERT,
        "convert_timeout",
        "longer than 0 s",
    ),
    "no processor": (
        limited("vmdk", 128 * MIB, processor_seconds=0.0),
        CONVERT,
        "convert_cpu_limit",
        "processor",
    ),
    "too large a file": (
        limited("vmdk", file_size=100_000),
        CONVERT,
        "convert_size_limit",
        "100000",
    ),
    "little memory": (
        little_memory,
        CONVERT,
        "convert_memory_limit",
        "memory",
    ),
    "a veto": (
        raises(gt.CheckRefused("the image has no licence")),
        CHECK,
        "check_refused",
        "no licence",
    ),
    "a plugin's own word": (
        raises(gt.TaskError("no", code="not_liked", advice="Paint it blue")),
        CHECK,
        "not_liked",
        "Paint it blue",
    ),
    **{
        f"a plugin's {type(error).__name__}": (
            raises(error),
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
            Unspeakable(),
            PermissionError(13, SECRET, f"/etc/{SECRET}"),
            UnicodeDecodeError("utf-8", b"\xff" + SECRET.encode(), 0, 1, "x"),
            sqlite3.OperationalError(SECRET),
        )
    },
    "a plugin's own exception group": (
        raises(ExceptionGroup(SECRET, [ValueError(SECRET)])),
        CHECK,
        "internal",
        "ExceptionGroup",
    ),
    "a plugin's odd result": (gives({1, 2}), CHECK, "result_invalid", ""),
}


@pytest.fixture
def stage(tmp_path, monkeypatch):
    monkeypatch.setattr("glance_tasks.transfer.download.BACKOFF", 0.005)
    monkeypatch.setattr("glance_tasks.atoms.register._PAUSE_S", 0.005)
    with http_source.HttpSource() as server, contextlib.ExitStack() as stack:
        yield Stage(tmp_path, server, stack, monkeypatch)


def play(stage, engine, given):
    """Run an import to its end; give the task."""
    submitted = engine.submit("import", given, owner="project")
    beside = threading.Thread(target=stage.meanwhile)
    beside.start()
    engines.run_all(engine)
    beside.join()
    return engine.get(submitted.id)


def nothing_left(stage, engine, task):
    """List what an import that failed has left anywhere."""
    conf = engine.conf.glance_tasks
    work = pathlib.Path(conf.work_dir or stage.home / "work")
    store = pathlib.Path(conf.store_dir or stage.home / "store")
    found = [str(path) for path in work.rglob("*")]
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
        assert not children("qemu-nbd")
        assert not children("qemu-img")


def test_a_failure_nobody_foresaw_can_be_found_by_its_support_id(stage):
    given = raises(ValueError(f"http://me:{SECRET}@x/"))(stage)
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
    given = occupied_store(stage)
    with importing.opened(
        stage.home, settings=stage.settings, **stage.parts
    ) as engine:
        task = play(stage, engine, given)

        assert task.failure.code == "store_unavailable"
        assert engine.catalogue.find() == []
        assert importing.left(stage.home / "work") == []


def test_what_could_not_be_undone_is_told(stage):
    class Gone(sql_catalogue.SqlCatalogue):
        def publish(self, image, fence):
            self._reader = sa.create_engine(f"sqlite:///{stage.home}")
            super().publish(image, fence)

    given = stage.serve()
    with importing.opened(stage.home / "data", catalogue=Gone) as engine:
        task = play(stage, engine, given)

        failure = task.failure
        assert (failure.code, failure.step) == (
            "catalogue_unavailable",
            REGISTER,
        )
        assert [f"{REGISTER}: " in failure.left_behind[0]] == [True]
        # Whether it was published nobody knows: its data must stay.
        assert "StoreImage: was not undone" in failure.left_behind
        assert "Could not be undone: " in task.message
        assert importing.left(stage.home / "data" / "work") == []


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
            f"https://me:{SECRET}@images.example/disk",
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
