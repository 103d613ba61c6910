# SPDX-License-Identifier: Apache-2.0
"""Several stores have names; images go to the first and say so."""

import pytest

import glance_tasks as gt
from glance_tasks import opts
from glance_tasks import testing
from tests.support import importing

NAMES = ("fast", "cheap")


@pytest.fixture
def kit():
    with testing.EngineFixture(
        stores=["fast:directory", "cheap:directory"]
    ) as kit:
        yield kit


def imported(kit):
    with testing.HttpSource() as source:
        uri = source.put("/a", testing.Resource(importing.noise(1 << 16)))
        task = kit.engine.submit("import", importing.given(uri))
        return kit.run(task.id)


def put(store, key, path):
    path.write_bytes(b"an image")
    store.put(
        key,
        path,
        stop=testing.NeverStop(),
        progress=testing.RecordingProgress(),
        fence=testing.OpenFence(),
    )


def test_stores_are_there_by_their_names_the_first_is_the_default(kit):
    assert tuple(kit.engine.stores) == NAMES
    assert kit.engine.store is kit.engine.stores["fast"]


def test_one_store_has_no_name():
    with testing.EngineFixture() as kit:
        assert kit.engine.stores == {}
        assert list(kit.engine.store.keys()) == []


def test_each_store_has_a_directory_of_its_own(kit, tmp_path):
    put(kit.engine.stores["cheap"], "one", tmp_path / "file")

    assert list(kit.engine.stores["cheap"].keys()) == ["one"]
    assert list(kit.engine.stores["fast"].keys()) == []
    assert (kit.home / "store-cheap" / "one").is_file()


def test_an_image_is_imported_to_the_first_and_says_so(kit):
    task = imported(kit)

    image = kit.engine.catalogue.get(task.image_id)
    assert [one.place for one in image.locations] == [("fast", image.id)]
    assert list(kit.engine.stores["fast"].keys()) == [image.id]
    assert testing.find_leftovers(kit.engine) == []


def test_an_import_to_the_only_store_names_none():
    with testing.EngineFixture() as kit:
        task = imported(kit)

        image = kit.engine.catalogue.get(task.image_id)

    assert [one.place for one in image.locations] == [("", image.id)]


def test_what_is_left_in_any_store_is_found(kit, tmp_path):
    put(kit.engine.stores["cheap"], "one", tmp_path / "file")

    assert testing.find_leftovers(kit.engine) == [
        "store cheap: the object one, of no image"
    ]


def test_a_directory_can_be_chosen(kit, tmp_path):
    conf = kit.configuration()
    opts.store_dir(conf, "fast")
    conf.set_override("dir", str(tmp_path / "mine"), "glance_tasks_store_fast")

    assert opts.store_dir(conf, "fast") == tmp_path / "mine"
    assert opts.store_dir(conf, "cheap") == kit.home / "store-cheap"


@pytest.mark.parametrize(
    ("stores", "wrong"),
    [
        (["fast"], "'fast' is not of the form NAME:STORE"),
        ([":directory"], "is not of the form"),
        (["fast:"], "is not of the form"),
        (["Fast:directory"], "small letters"),
        (["a/../b:directory"], "is not of the form"),
        (["a:directory", "a:directory"], "'a' is there twice"),
        (["a:frobnicated"], "'frobnicated' cannot be loaded"),
    ],
)
def test_names_that_cannot_work_are_refused_when_the_service_starts(
    stores, wrong
):
    with pytest.raises(gt.ConfigurationError, match=wrong):
        testing.EngineFixture(stores=stores).setUp()


def test_a_context_finds_the_store_of_a_location(kit, tmp_path):
    engine = kit.engine
    ctx = testing.context(tmp_path, store=engine.store, stores=engine.stores)

    found = [ctx.store_of(gt.Location("k", name)) for name in ("", *NAMES)]

    assert found == [engine.store, *engine.stores.values()]
    assert ctx.store_name == "fast"
    with pytest.raises(gt.StoreError, match="no store 'gone' here; expected"):
        ctx.store_of(gt.Location("k", "gone"))
