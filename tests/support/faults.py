# SPDX-License-Identifier: Apache-2.0
"""What breaks tasks of all types: stores, catalogues, stops, deaths.

A function that is given a :class:`Stage` arranges one fault on it, and gives
the input of a task that will meet it. Those of ``breakage`` do so too.
"""

import contextlib
import copy
import dataclasses
import errno
import functools
import io

import glance_tasks as gt
from glance_tasks import testing
from glance_tasks.testing import http_sink
from tests.support import breakage
from tests.support import placed
from tests.support import stores

MIB = 1 << 20
STORES = ("fast", "cheap", "far")
CANARY = "c4n4ry-0f-a-s3cr3t"
#: A signed address: whoever has it has the object.
PATH = f"/disk?X-Signature={CANARY}"

FULL = OSError(errno.ENOSPC, "No space left on device")
BROKEN = OSError(errno.EIO, "Input/output error", "/var/lib/images/x")

#: What the input of each type has beside its image.
BASE = {
    "export": {},
    "clone": {},
    "convert": {"disk_format": "vmdk"},
    "copy": {"stores": ["far"]},
    "delete": {},
    "share": {"projects": ["one", "another"]},
}


class Stage(breakage.Stage):
    """What one case arranges before its task is played.

    :ivar body: what is handed in for an upload; None hands in nothing
    :ivar length: the bytes that it is said to have; None says nothing
    :ivar between: called with the task, before anybody works on it
    :ivar broken: the same, once it was seen how everything was
    :ivar gone: images that the fault itself takes away
    :ivar foreign: images of others, with the id of the task's own
    :ivar left: steps whose failure to undo must be told
    :ivar stays: whether something of theirs is there indeed
    """

    def __init__(self, kind, home, stack, monkeypatch):
        super().__init__(home, None, stack, monkeypatch)
        self.kind = kind
        self.body, self.length = placed.CONTENT, None
        self.between, self.broken = [], []
        self.gone, self.foreign = set(), set()
        self.left, self.stays = [], False
        self.option(
            "glance_tasks_send",
            allowed_networks=["127.0.0.0/8"],
            allowed_ports=[],
            file_roots=[str(home / "outside")],
        )
        self.option(
            "glance_tasks",
            stores=[f"{name}:directory" for name in STORES],
            public_endpoint="https://images.example/",
        )
        self.outside = home / "outside"
        self.outside.mkdir()

    @functools.cached_property
    def kit(self):
        """The engine; no option can be chosen any more."""
        options = self.settings.pop("glance_tasks")
        kit = testing.EngineFixture(
            home=self.home / "home",
            settings=self.settings,
            **self.parts,
            **options,
        )
        self.stack.enter_context(kit)
        checks = [
            f"{self.kind}:{name}" for name in self.parts.get("checks", ())
        ]
        kit.engine.conf.set_override("checks", checks, "glance_tasks")
        return kit

    @functools.cached_property
    def sink(self):
        return self.stack.enter_context(http_sink.HttpSink())

    # --- images and inputs ---------------------------------------------------

    def image(self, **how):
        """Publish an image, in the default store where none is named."""
        return placed.image(self.kit, *how.pop("stores", ["fast"]), **how)

    def given(self, image=None, **changes):
        """Give an input; None leaves a field out."""
        given = {}
        if self.kind != "upload":
            image = image or self.image()
            given = {"image_id": image.id, **BASE[self.kind]}
        else:
            given["upload_format"] = "raw"
        if self.kind == "export":
            given["export_to"] = self.sink.uri(PATH)
        given |= changes
        return {k: v for k, v in given.items() if v is not None}

    def serve(self, body=placed.CONTENT, source="raw", target=None):
        """Have these bytes be worked on; see :class:`breakage.Stage`."""
        if self.kind == "upload":
            self.body = body
            named = {"image_properties": {"disk_format": target}}
            more = named if target else {}
            return self.given(upload_format=source, **more)
        changes = {"convert": "disk_format", "export": "export_format"}
        wanted = {changes[self.kind]: target} if target else {}
        image = self.image(content=body, disk_format=source)
        return self.given(image, **wanted)

    # --- breaking ------------------------------------------------------------

    def port(self, name):
        """Give the catalogue, or the store of that name."""
        if name == "catalogue":
            return self.kit.engine.catalogue
        return self.kit.engine.stores[name]

    def breaks(self, name, method, patch=None, **how):
        """Have some calls of a port fail, until ``patch`` is undone."""
        port = self.port(name)
        kind, error = (
            (testing.FailingCatalogue, gt.CatalogueError)
            if name == "catalogue"
            else (testing.FailingStore, gt.StoreError)
        )
        how.setdefault("error", error(f"{name} does not answer {method}"))
        double = kind(copy.copy(port), of=[method], **how)
        patch = patch or self.monkeypatch
        patch.setattr(port, method, getattr(double, method))

    def behind(self, name, method, act, call=1):
        """Have ``act`` happen right behind a call of a port."""
        port, count = self.port(name), []
        inner = getattr(port, method)

        def called(*words, **named):
            given = inner(*words, **named)
            count.append(method)
            if len(count) == call:
                act()
            return given

        self.monkeypatch.setattr(port, method, called)

    def withdraw(self, image_id):
        """Take an image away, as another service might."""
        self.gone.add(image_id)
        engine = self.kit.engine
        engine.catalogue.withdraw(image_id, 1 << 30)
        for store in engine.stores.values():
            store.delete(image_id, fence=testing.OpenFence())

    def mount(self, place, size):
        """Have a small file system be there."""
        path = self.home / "home" / place
        self.stack.enter_context(stores.mounted(path, size))

    def is_foreign(self, leftover):
        """Tell whether what was found is another's."""
        return any(image_id in leftover for image_id in self.foreign)

    # --- playing and looking -------------------------------------------------

    def play(self, task):
        """Run the task to its end; give it."""
        return self.kit.run(task.id)

    def hand_in(self, task):
        if self.kind == "upload" and self.body is not None:
            self.kit.engine.receive(
                task.id, io.BytesIO(self.body), length=self.length
            )

    def world(self):
        """Give all that a task may change."""
        engine = self.kit.engine
        images = {
            image.id: (_timeless(image), engine.catalogue.members(image.id))
            for image in engine.catalogue.find(limit=100, hidden=True)
        }
        keys = {
            (name, key)
            for name, store in engine.stores.items()
            for key in set(store.keys())
        }
        sent = dict(self.sink.objects) if "sink" in self.__dict__ else {}
        files = {
            path: path.is_file() and path.read_bytes()
            for path in self.outside.rglob("*")
        }
        return images, keys, sent, files

    def unlike(self, before):
        """Tell whether anything is another, but for what the fault did."""
        return self._rest(before) != self._rest(self.world())

    def _rest(self, world):
        images, keys, *others = world
        kept = {k: v for k, v in images.items() if k not in self.gone}
        return kept, {k for k in keys if k[1] not in self.gone}, others


def _timeless(image):
    return dataclasses.replace(image, created_at=None, updated_at=None)


# --- the ground --------------------------------------------------------------


def away(name, method, *, given=None, **how):
    """Arrange that a port fails; see :class:`testing.FailingStore`."""
    how.setdefault("times", None)

    def arrange(stage):
        found = given(stage) if given else stage.given()
        stage.broken.append(lambda task: stage.breaks(name, method, **how))
        return found

    return arrange


def unknown(name, *held):
    """Arrange that the conductor does not know a store of the task's.

    :param held: the stores that have the image
    """

    def arrange(stage):
        given = stage.given(stage.image(stores=held or ["fast"]))
        stores_there = stage.kit.engine.stores
        stage.broken.append(
            lambda task: stage.monkeypatch.delitem(stores_there, name)
        )
        if not held:
            # What there cannot be looked for may be there.
            stage.left = [f"CopyToStore-{name}"]
        return given

    return arrange


def small(place, size, *, body=placed.CONTENT, **how):
    """Arrange that a directory has no room for the image."""

    def arrange(stage):
        stage.mount(place, size)
        return stage.serve(body, **how)

    return arrange


def too_few(name):
    """Arrange that a store keeps less than it was given."""

    def arrange(stage):
        def break_it(task):
            port = stage.port(name)
            put = port.put
            stage.monkeypatch.setattr(
                port, "put", lambda *w, **k: put(*w, **k) - 1
            )

        stage.broken.append(break_it)
        return stage.given()

    return arrange


def unmoved(name):
    """Arrange that somebody takes the new location away meanwhile."""

    def arrange(stage):
        given = stage.given()

        def drop():
            stage.kit.engine.catalogue.change_locations(
                given["image_id"], lambda held: held[:1]
            )

        stage.broken.append(lambda task: stage.behind(name, "put", drop))
        return given

    return arrange


def stubborn(name, step, arrange):
    """Arrange that a store gives nothing up, besides what ``arrange`` does."""

    def both(stage):
        given = arrange(stage)
        stage.broken.append(
            lambda task: stage.breaks(name, "delete", times=None)
        )
        stage.left, stage.stays = [step], True
        return given

    return both


# --- the cases ---------------------------------------------------------------


@contextlib.contextmanager
def staged(kind, home, monkeypatch):
    """Give a stage on which a destination is asked again at once."""
    monkeypatch.setattr("glance_tasks.transfer.patience._PAUSES_S", (0.001,))
    monkeypatch.setattr("glance_tasks.transfer.download.BACKOFF", 0.005)
    monkeypatch.setattr("glance_tasks.atoms.register._PAUSE_S", 0.005)
    with contextlib.ExitStack() as stack:
        yield Stage(kind, home, stack, monkeypatch)
