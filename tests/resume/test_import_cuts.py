# SPDX-License-Identifier: Apache-2.0
"""Imports that are cut before and after every write to the database."""

import dataclasses
import gzip
import lzma

import pytest

import glance_tasks as gt
from glance_tasks import exceptions
from glance_tasks.adapters import directory_store
from glance_tasks.adapters import sql_catalogue
from glance_tasks.persistence import database as db
from glance_tasks.persistence import models
from glance_tasks.testing import cuts
from glance_tasks.testing import http_source
from glance_tasks_flows import importing as flow
from tests.support import archives
from tests.support import crafted
from tests.support import cutting
from tests.support import images
from tests.support import importing

# A default run cuts each of many scenarios a few times.
SAMPLE = 4


# --- who makes an import fail ------------------------------------------------


class Veto(gt.Atom):
    """A check that refuses.

    There is nothing to revert.
    """

    behaviour = "idempotent"

    def execute(self, image_file):
        """Refuse."""
        raise gt.CheckRefused("it is not liked")


class FullStore(directory_store.DirectoryStore):
    """A store that is full once everything is in it."""

    def put(self, *words, **rest):
        """Store, and say that it did not work."""
        super().put(*words, **rest)
        raise gt.StoreError("no space is left", code="store_full")


class StubbornCatalogue(sql_catalogue.SqlCatalogue):
    """A catalogue that publishes and says that it did not."""

    def publish(self, image, fence):
        """Publish, and refuse."""
        super().publish(image, fence)
        raise gt.CatalogueError("it is not wanted", code="image_exists")


class BoastfulImport(flow.ImportTask):
    """Import an image and say more of it than may be said."""

    def result(self, results):
        """Give what the schema does not know."""
        return {**super().result(results), "price": 0}


# --- the scenarios -----------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Scenario:
    """An import and how it ends.

    :ivar parts: keywords of :func:`importing.make_engine`
    :ivar code: of the failure in ``step``; None for a success
    """

    body: bytes
    source: str = "raw"
    target: str | None = None
    more: dict = dataclasses.field(default_factory=dict)
    parts: dict = dataclasses.field(default_factory=dict)
    code: str | None = None
    step: str | None = None


NOISE = importing.noise(200_000)
WRONG = {"checksum": "sha256:" + "0" * 64}

SCENARIOS = {
    "raw": lambda home: Scenario(NOISE),
    "qcow2 to raw": lambda home: Scenario(good(home), "qcow2", "raw"),
    "qcow2 to vmdk": lambda home: Scenario(good(home), "qcow2", "vmdk"),
    "gzip to raw": lambda home: Scenario(
        gzip.compress(good(home)), "qcow2", "raw"
    ),
    "a raw disk in xz": lambda home: Scenario(
        lzma.compress(NOISE), more={"import_from_archive": "xz"}
    ),
    "an OVA": lambda home: Scenario(archives.ova(), "vmdk"),
    "UnpackImage fails": lambda home: Scenario(
        gzip.compress(NOISE)[:-1],
        more={"import_from_archive": "gzip"},
        code="archive_malformed",
        step="UnpackImage",
    ),
    "FetchImage fails": lambda home: Scenario(
        NOISE, more=WRONG, code="checksum_mismatch", step="FetchImage"
    ),
    "InspectImage fails": lambda home: Scenario(
        importing.hostile(),
        "qcow2",
        code="unsafe_image",
        step="InspectImage",
    ),
    "ConvertImage fails": lambda home: Scenario(
        importing.nested(home),
        "qcow2",
        "raw",
        code="unsafe_image",
        step="ConvertImage",
    ),
    "a check fails": lambda home: Scenario(
        NOISE,
        parts={"checks": {"veto": Veto}},
        code="check_refused",
        step="Check-veto",
    ),
    "StoreImage fails": lambda home: Scenario(
        NOISE,
        parts={"store": FullStore},
        code="store_full",
        step="StoreImage",
    ),
    "RegisterImage fails": lambda home: Scenario(
        NOISE,
        parts={"catalogue": StubbornCatalogue},
        code="image_exists",
        step="RegisterImage",
    ),
    "CheckResult fails": lambda home: Scenario(
        good(home),
        "qcow2",
        "raw",
        parts={"types": {"import": BoastfulImport}},
        code="result_invalid",
        step="CheckResult",
    ),
}


def good(home):
    """Give a qcow2 of a disk with data and holes."""
    images.disk(home / "good", crafted.MIB)
    images.made(home / "good.qcow2", home / "good", "-O", "qcow2")
    return (home / "good.qcow2").read_bytes()


class Scene:
    """One scenario, played again and again; counted from outside."""

    def __init__(self, name, home, server, database_url=None):
        """Prepare the source."""
        self._place = home / "source"
        self._place.mkdir()
        self.scenario = SCENARIOS[name](self._place)
        body = http_source.Resource(body=self.scenario.body)
        self._url = server.put("/disk", body)
        self._database_url = database_url
        self._begun = set()

    def make_engine(self, home):
        """Give an engine on ``home``: for each life of the service one."""
        first = home not in self._begun
        self._begun.add(home)
        if first and self._database_url:
            empty(self._database_url)
        engine = importing.make_engine(
            home, database_url=self._database_url, **self.scenario.parts
        )
        # Whatever was cut: what can be seen is whole, and what is stored is
        # some image's or some living task's. (Not in the first life, whose
        # making of the catalogue's table is to be cut as well.)
        assert first or importing.torn(engine) == []
        assert first or importing.astray(engine) == []
        return engine

    def submit(self, home, engine):
        """Submit the import."""
        told = self.scenario
        given = importing.given(
            self._url, told.source, told.target, **told.more
        )
        return engine.submit("import", given, owner="project")

    def check(self, home, engine):
        """Check the end of the task, if it was submitted at all."""
        tasks = engine.find()
        published = engine.catalogue.find()
        assert importing.left(home / "work") == []
        assert importing.torn(engine) == []
        if tasks and self.scenario.code is None:
            task = engine.get(tasks[0].id)
            assert task.message is None
            assert [image.id for image in published] == [task.image_id]
            assert importing.left(home / "store") == [task.image_id]
            assert task.result["os_hash_value"] == published[0].os_hash_value
        else:
            assert published == []
            assert importing.left(home / "store") == []
        if tasks and self.scenario.code is not None:
            failure = engine.get(tasks[0].id).failure
            assert (failure.code, failure.step) == (
                self.scenario.code,
                self.scenario.step,
            )
            assert failure.left_behind == ()


def empty(database_url):
    """Delete every row, and the catalogue with its tables.

    They are made anew in each life that lacks it, by a write that is counted.
    """
    database = db.Database(database_url)
    with database.write() as connection:
        for table in models.METADATA.sorted_tables:
            connection.execute(table.delete())
        for name in sql_catalogue.tables.METADATA.tables:
            connection.exec_driver_sql(f"DROP TABLE IF EXISTS {name}")
    database.close()


@pytest.fixture
def server():
    with http_source.HttpSource() as running:
        yield running


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    monkeypatch.setattr("glance_tasks.atoms.register._PAUSE_S", 0.01)


def cut(scene, name, home, choose):
    number = cutting.cut_everywhere(
        home / "cuts",
        scene.make_engine,
        scene.submit,
        scene.check,
        choose=choose,
    )
    print(f"{name}: {number} cuts")
    assert number > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENARIOS)
def test_an_import_that_is_cut_comes_to_the_same_end(tmp_path, server, name):
    scene = Scene(name, tmp_path, server)

    cut(
        scene,
        name,
        tmp_path,
        lambda writes: cutting.some_cuts(writes, SAMPLE),
    )


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", SCENARIOS)
def test_an_import_may_be_cut_at_any_write(
    tmp_path, server, clean_database_url, name
):
    scene = Scene(name, tmp_path, server, clean_database_url)

    cut(scene, name, tmp_path, cuts.every_cut)


def test_a_cut_that_loses_an_image_would_be_noticed(tmp_path, server):
    scene = Scene("raw", tmp_path, server)
    home = tmp_path / "home"

    with importing.opened(home) as engine:
        task = scene.submit(home, engine)
        cutting.engines.run_all(engine)
        engine.store._path(task.image_id).unlink()

        with pytest.raises(AssertionError):
            scene.check(home, engine)
        with pytest.raises(exceptions.StoreError):
            engine.store.open(task.image_id)
