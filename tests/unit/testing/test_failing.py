# SPDX-License-Identifier: Apache-2.0
"""A store and a catalogue fail where they are told to, and nowhere else."""

import inspect
import sys
import threading

import pytest

import glance_tasks as gt
from glance_tasks import ports
from glance_tasks import testing
from glance_tasks.testing import fault
from tests.support import stores
from tests.typing import own_catalogue

IMAGE = gt.Image(
    *("one", "project", "raw", "bare", 8, 8, "md5", "sha512", "aa", "one")
)


@pytest.fixture
def inner(tmp_path):
    return stores.make_store(tmp_path / "store")


@pytest.fixture
def path(tmp_path):
    found = tmp_path / "fetched"
    found.write_bytes(b"an image")
    return found


def put(store, path, key):
    return store.put(
        key,
        path,
        stop=testing.NeverStop(),
        progress=testing.RecordingProgress(),
        fence=testing.OpenFence(),
    )


@pytest.mark.parametrize(("side", "stored"), [("before", 1), ("after", 2)])
def test_a_store_fails_on_the_chosen_side_of_a_call(inner, path, side, stored):
    store = testing.FailingStore(inner, call=2, side=side)
    put(store, path, "a")

    with pytest.raises(gt.StoreError) as caught:
        put(store, path, "b")

    assert caught.value.code == "store_unavailable"
    assert len(list(inner.keys())) == stored
    assert put(store, path, "c") == 8
    assert store.calls == ["put"] * 3


def test_calls_of_several_methods_are_counted_together(inner, path):
    store = testing.FailingStore(inner, call=2)
    put(store, path, "a")

    with pytest.raises(gt.StoreError):
        store.delete("a", fence=testing.OpenFence())

    assert store.calls == ["put", "delete"]
    assert inner.size("a") == 8


def test_what_is_not_counted_never_fails(inner, path):
    store = testing.FailingStore(inner, of=["open"], times=None)

    put(store, path, "a")

    assert store.size("a") == 8
    assert list(store.keys()) == ["a"]
    store.preflight()
    assert store.calls == []


def test_a_store_stays_away_for_as_long_as_it_is_told(inner):
    store = testing.FailingStore(inner, call=2, times=2, of=["size"])

    given = []
    for _ in range(4):
        try:
            given.append(store.size("a"))
        except gt.StoreError:
            given.append("failed")

    assert given == [None, "failed", "failed", None]


def test_a_store_that_never_comes_back_fails_every_call(inner):
    store = testing.FailingStore(inner, of=["keys"], times=None)

    for _ in range(3):
        with pytest.raises(gt.StoreError):
            store.keys()


def test_a_file_whose_opening_failed_late_is_closed(inner, path):
    put(inner, path, "a")
    opened = []

    class Store:
        """A store whose files are looked at."""

        def open(self, key):
            """Open, and remember."""
            opened.append(inner.open(key))
            return opened[0]

    store = testing.FailingStore(Store(), of=["open"], side="after")

    with pytest.raises(gt.StoreError):
        store.open("a")

    assert opened[0].closed


def test_the_chosen_error_is_raised_whatever_it_is(inner, path):
    store = testing.FailingStore(inner, error=testing.PowerCut("now"))

    with pytest.raises(testing.PowerCut, match="now"):
        put(store, path, "a")


@pytest.mark.parametrize("side", ["before", "after"])
def test_a_catalogue_fails_on_the_chosen_side_of_a_call(side):
    inner = own_catalogue.MemoryCatalogue()
    catalogue = testing.FailingCatalogue(inner, side=side)

    with pytest.raises(gt.CatalogueError) as caught:
        catalogue.publish(IMAGE, 1)

    assert caught.value.code == "catalogue_unavailable"
    assert len(inner.find()) == (side == "after")
    assert catalogue.calls == ["publish"]


def test_a_catalogue_passes_everything_else_on():
    catalogue = testing.FailingCatalogue(
        own_catalogue.MemoryCatalogue(), call=99
    )

    catalogue.publish(IMAGE, 1)

    assert catalogue.get("one") == IMAGE
    assert catalogue.change_locations("one", lambda held: held) == IMAGE
    assert catalogue.change_members("one", dict) == catalogue.members("one")
    assert list(catalogue.find(limit=1)) == [IMAGE]
    assert list(catalogue.find(marker="one")) == []
    catalogue.withdraw("one", 2)
    with pytest.raises(gt.ImageNotFound):
        catalogue.get("one")


@pytest.mark.parametrize(
    "chosen", [{"of": ["stat"]}, {"call": 0}, {"side": "beside"}]
)
def test_what_could_never_fail_is_refused(inner, chosen):
    with pytest.raises(ValueError, match="expected call 1 or a later one of"):
        testing.FailingStore(inner, **chosen)


@pytest.mark.parametrize(
    ("port", "stand_in"),
    [
        (ports.ImageStore, testing.FailingStore),
        (ports.ImageCatalog, testing.FailingCatalogue),
    ],
)
def test_every_method_of_the_port_can_fail(port, stand_in):
    methods = {
        name
        for name, member in vars(port).items()
        if inspect.isfunction(member) and not name.startswith("_")
    }

    assert set(stand_in.METHODS) == methods


def test_of_many_threads_one_meets_the_fault():
    chosen = fault.Fault(
        ValueError("told so"),
        known=["act"],
        of=["act"],
        call=500,
        times=1,
        side="before",
    )
    failed, ready = [], threading.Barrier(10)
    often = sys.getswitchinterval()

    def act():
        ready.wait(60)
        for _ in range(100):
            try:
                chosen.around("act", lambda: None)
            except ValueError:
                failed.append(threading.current_thread())

    threads = [threading.Thread(target=act) for _ in range(10)]
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(often)

    assert len(failed) == 1
    assert len(chosen.calls) == 1000
