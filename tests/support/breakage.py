# SPDX-License-Identifier: Apache-2.0
"""What breaks an import: sources, images, ground, programs and plugins.

A function that is given a :class:`Stage` arranges one breakage on it, and
gives the input of an import that will meet it.
"""

import contextlib
import dataclasses
import os
import pathlib
import signal
import socket
from typing import Any

import sqlalchemy as sa

import glance_tasks as gt
from glance_tasks.adapters import sql_catalogue
from glance_tasks.imagefile import restraint
from glance_tasks.testing import http_source
from glance_tasks.transfer import fetcher
from tests.support import crafted
from tests.support import engines
from tests.support import fetching
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
        self.stack.enter_context(stores.mounted(place, size))
        self.option("glance_tasks", **{name: str(place)})
        return place

    def read_only(self, name):
        """Put a file system that cannot be written to there."""
        place = self.home / f"mounted-{name}"
        self.stack.enter_context(stores.mounted(place, MIB, read_only=True))
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
