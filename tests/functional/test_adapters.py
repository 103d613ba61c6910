# SPDX-License-Identifier: Apache-2.0
"""Storing and registering an image, with the adapters that ship."""

import dataclasses
import hashlib
import logging
import os
import shutil

from oslo_config import cfg
import pytest

import glance_tasks as gt
from glance_tasks import exceptions
from glance_tasks.adapters import directory_store
from glance_tasks.adapters import sql_catalogue
from glance_tasks.atoms import register
from glance_tasks.atoms import store as store_atom
from glance_tasks.persistence import database
from glance_tasks.testing import contexts
from glance_tasks.testing import doubles

IMAGE_ID = "5b1f0b0e-6f7c-4a57-8d0e-1f5d0b1c2a3b"
CONTENT = os.urandom(100_000)
ARTIFACT = {
    "name": "fetched",
    "size": len(CONTENT),
    "checksum": hashlib.md5(CONTENT, usedforsecurity=False).hexdigest(),
    "os_hash_algo": "sha512",
    "os_hash_value": hashlib.sha512(CONTENT).hexdigest(),
}
INSPECTED = {"disk_format": "qcow2", "virtual_size": 1 << 30}


class Failing:
    """A port that fails so many times before it does what it is asked to.

    :ivar asked: how often it was
    """

    def __init__(self, inner, error, times=1000):
        self.asked = 0
        self._inner, self._error, self._left = inner, error, times

    def __getattr__(self, name):
        def call(*args, **kwargs):
            self.asked += 1
            self._left -= 1
            if self._left >= 0:
                raise self._error
            return getattr(self._inner, name)(*args, **kwargs)

        return call


class LostWhen:
    """A fence that lets through until a condition holds."""

    number = 1

    def __init__(self, lost, error=exceptions.LeaseLost):
        self._lost, self._error = lost, error

    def check(self):
        if self._lost():
            raise self._error("told so")


@pytest.fixture
def ctx(tmp_path):
    """Give what atoms of one run see, with a file in the work directory."""
    conf = cfg.ConfigOpts()
    gt.register_opts(conf)
    conf.set_override("data_dir", str(tmp_path), "glance_tasks")
    used = database.Database(f"sqlite:///{tmp_path / 'database.sqlite'}")
    work_dir = tmp_path / "work"
    work_dir.mkdir()
    (work_dir / "fetched").write_bytes(CONTENT)
    yield contexts.context(
        work_dir,
        catalogue=sql_catalogue.SqlCatalogue(conf, used.engine),
        store=directory_store.DirectoryStore(conf, used.engine),
    )
    used.close()


def store(ctx):
    return store_atom.StoreImage(ctx).execute(ARTIFACT, IMAGE_ID)


def publish(ctx, stored, **properties):
    return register.RegisterImage(ctx).execute(
        IMAGE_ID, stored, INSPECTED, properties or None
    )


def claim(ctx, number):
    return dataclasses.replace(ctx, fence=doubles.OpenFence(number))


# --- an image ----------------------------------------------------------------


def test_an_image_is_registered_with_what_was_found_of_it(ctx):
    given = publish(ctx, store(ctx))

    image = ctx.catalogue.get(IMAGE_ID)
    assert given == {"image_id": IMAGE_ID}
    assert image == gt.Image(
        id=IMAGE_ID,
        owner="project",
        disk_format="qcow2",
        container_format="bare",
        size=len(CONTENT),
        virtual_size=1 << 30,
        checksum=ARTIFACT["checksum"],
        os_hash_algo="sha512",
        os_hash_value=ARTIFACT["os_hash_value"],
        location=IMAGE_ID,
        created_at=image.created_at,
        updated_at=image.updated_at,
    )
    with ctx.store.open(image.location) as stored:
        assert stored.read() == CONTENT


def test_the_format_of_a_converted_image_is_the_one_it_was_converted_to(ctx):
    converted = {**ARTIFACT, "disk_format": "raw", "virtual_size": 100_000}
    stored = store_atom.StoreImage(ctx).execute(converted, IMAGE_ID)

    publish(ctx, stored)

    image = ctx.catalogue.get(IMAGE_ID)
    assert (image.disk_format, image.virtual_size) == ("raw", 100_000)


def test_what_is_known_of_a_stored_file_names_none_in_the_work_directory(ctx):
    unpacked = {**ARTIFACT, "spent": "archive"}

    stored = store_atom.StoreImage(ctx).execute(unpacked, IMAGE_ID)

    assert not {"name", "spent"} & stored.keys()


def test_a_flow_may_know_the_container_better_than_the_client(ctx):
    atom = register.RegisterImage(ctx, container_format="bare")

    atom.execute(IMAGE_ID, store(ctx), INSPECTED, {"container_format": "ova"})

    assert ctx.catalogue.get(IMAGE_ID).container_format == "bare"


def test_an_amazon_image_is_its_own_container(ctx):
    facts = {**store(ctx), "disk_format": "ami"}

    publish(ctx, facts)

    assert ctx.catalogue.get(IMAGE_ID).container_format == "ami"


def test_the_clients_properties_are_kept_by_their_names(ctx):
    publish(
        ctx,
        store(ctx),
        name="disk",
        disk_format="qcow2",
        container_format="ovf",
        visibility="private",
        min_disk=1,
        min_ram=2,
        protected=True,
        tags=["a"],
        os_distro="debian",
    )

    image = ctx.catalogue.get(IMAGE_ID)
    assert image.name == "disk"
    assert image.container_format == "ovf"
    assert image.visibility == "private"
    assert (image.min_disk, image.min_ram) == (1, 2)
    assert image.protected
    assert image.tags == ("a",)
    assert image.properties == {"os_distro": "debian"}


def test_no_property_decides_what_only_the_service_says(ctx):
    ours = publish(ctx, store(ctx)) and ctx.catalogue.get(IMAGE_ID)
    ctx.catalogue.withdraw(IMAGE_ID, 1)
    lies = {
        field.name: "a lie"
        for field in dataclasses.fields(gt.Image)
        if field.name
        in (
            *("id", "owner", "status", "size", "virtual_size", "checksum"),
            *("os_hash_algo", "os_hash_value", "location", "created_at"),
        )
    }

    publish(ctx, store(ctx), **lies)

    found = ctx.catalogue.get(IMAGE_ID)
    for name in lies:
        if name != "created_at":
            assert getattr(found, name) == getattr(ours, name)
    assert found.created_at > ours.created_at


def test_registering_needs_no_work_directory(ctx):
    stored = store(ctx)
    shutil.rmtree(ctx.work_dir)

    publish(ctx, stored)

    assert "name" not in stored
    assert ctx.catalogue.get(IMAGE_ID).size == len(CONTENT)


# --- again, and undone -------------------------------------------------------


def test_storing_and_registering_again_gives_the_same(ctx):
    first = store(ctx), publish(ctx, store(ctx)), ctx.catalogue.get(IMAGE_ID)
    later = claim(ctx, 2)

    again = store(later), publish(later, first[0]), ctx.catalogue.get(IMAGE_ID)

    assert again == first


@pytest.mark.parametrize("done", ["nothing", "stored", "registered"])
def test_undoing_twice_leaves_nothing(ctx, done):
    stored = store(ctx) if done != "nothing" else None
    if done == "registered":
        publish(ctx, stored)

    for _ in range(2):
        register.RegisterImage(ctx).revert(IMAGE_ID, stored, result=None)
        store_atom.StoreImage(ctx).revert(IMAGE_ID, result=None)

    assert ctx.catalogue.find() == []
    assert list(ctx.store.keys()) == []


def test_undoing_leaves_an_image_that_is_anothers(ctx, caplog):
    theirs = {**store(ctx), "os_hash_value": "0" * 128}
    publish(ctx, theirs)

    with pytest.raises(gt.CatalogueError) as caught:
        publish(ctx, store(ctx))
    with caplog.at_level(logging.WARNING):
        register.RegisterImage(ctx).revert(IMAGE_ID, store(ctx), result=None)

    assert caught.value.code == "image_exists"
    assert ctx.catalogue.get(IMAGE_ID).os_hash_value == "0" * 128
    assert "is another's" in caplog.text


def test_an_object_that_is_gone_is_noticed(ctx):
    atom = store_atom.StoreImage(ctx)
    stored = store(ctx)
    before = atom.holds(stored)
    ctx.store.delete(IMAGE_ID, fence=ctx.fence)

    assert (before, atom.holds(stored)) == (True, False)


def test_an_object_of_another_size_is_noticed(ctx):
    stored = {**store(ctx), "size": 1}

    assert not store_atom.StoreImage(ctx).holds(stored)


def test_a_store_that_does_not_answer_has_lost_nothing(ctx):
    stored = store(ctx)
    broken = Failing(ctx.store, gt.StoreError("it does not answer"))
    atom = store_atom.StoreImage(dataclasses.replace(ctx, store=broken))

    assert atom.holds(stored)


# --- failures ----------------------------------------------------------------


def test_a_file_that_is_not_whole_is_not_registered(ctx):
    (ctx.work_dir / "fetched").write_bytes(CONTENT[:-1])

    with pytest.raises(gt.StoreError, match="took 99999 bytes"):
        store(ctx)


@pytest.mark.parametrize("atom", ["execute", "revert"])
def test_a_store_that_fails_is_a_failure_of_the_store(ctx, atom):
    error = gt.StoreError("it does not answer")
    broken = dataclasses.replace(ctx, store=Failing(ctx.store, error))

    with pytest.raises(gt.StoreError, match="it does not answer"):
        if atom == "execute":
            store(broken)
        else:
            store_atom.StoreImage(broken).revert(IMAGE_ID, result=None)


def test_a_store_of_a_third_party_that_breaks_the_rules_is_named(ctx):
    error = OSError(5, "Input/output error", "/private/place")
    broken = dataclasses.replace(ctx, store=Failing(ctx.store, error))

    with pytest.raises(gt.StoreError, match="Input/output error") as caught:
        store(broken)

    assert "private" not in str(caught.value)


def test_a_frozen_run_whose_directory_was_taken_has_lost_its_lease(ctx):
    taken = ctx.work_dir.with_name("successor")
    ctx.work_dir.rename(taken)
    frozen = dataclasses.replace(ctx, fence=LostWhen(taken.exists))

    with pytest.raises(exceptions.LeaseLost):
        store(frozen)

    assert list(ctx.store.keys()) == []


def test_a_directory_that_is_gone_for_no_known_reason_is_a_failure(ctx):
    shutil.rmtree(ctx.work_dir)

    with pytest.raises(gt.StoreError, match="No such file"):
        store(ctx)


def test_a_frozen_run_registers_and_withdraws_nothing(ctx):
    stored = store(ctx)
    publish(claim(ctx, 2), stored)
    frozen = dataclasses.replace(ctx, fence=doubles.LostFence())

    with pytest.raises(exceptions.LeaseLost):
        publish(frozen, stored)
    with pytest.raises(exceptions.LeaseLost):
        register.RegisterImage(frozen).revert(IMAGE_ID, stored, result=None)
    with pytest.raises(exceptions.LeaseLost):
        # Even when it froze after it had asked.
        register.RegisterImage(ctx).revert(IMAGE_ID, stored, result=None)

    assert ctx.catalogue.get(IMAGE_ID).owner == "project"


@pytest.mark.parametrize("atom", ["execute", "revert"])
def test_a_catalogue_without_fences_is_not_even_asked(ctx, atom):
    stored = store(ctx)
    asked = Failing(ctx.catalogue, None, times=0)
    frozen = dataclasses.replace(
        ctx, catalogue=asked, fence=doubles.LostFence()
    )

    with pytest.raises(exceptions.LeaseLost):
        if atom == "execute":
            publish(frozen, stored)
        else:
            register.RegisterImage(frozen).revert(IMAGE_ID, stored)

    assert asked.asked == 0


UNAVAILABLE = gt.CatalogueError("it does not answer")


def test_a_catalogue_that_comes_back_costs_nothing(ctx):
    flaky = Failing(ctx.catalogue, UNAVAILABLE, times=2)
    stored = store(ctx)

    publish(dataclasses.replace(ctx, catalogue=flaky), stored)

    assert ctx.catalogue.get(IMAGE_ID).size == len(CONTENT)


@pytest.mark.parametrize(
    ("error", "tries"),
    [(UNAVAILABLE, 3), (gt.CatalogueError("taken", code="image_exists"), 1)],
)
def test_a_catalogue_that_stays_away_is_a_failure(ctx, error, tries):
    broken = Failing(ctx.catalogue, error)
    stored = store(ctx)

    with pytest.raises(gt.CatalogueError) as caught:
        publish(dataclasses.replace(ctx, catalogue=broken), stored)

    assert caught.value is error
    assert broken.asked == tries


def test_with_the_tasks_database_away_too_the_run_is_left_to_be_resumed(ctx):
    away = Failing(ctx.catalogue, UNAVAILABLE)
    fence = LostWhen(lambda: away.asked, exceptions.DatabaseGone)
    stored = store(ctx)

    with pytest.raises(exceptions.DatabaseGone):
        publish(dataclasses.replace(ctx, catalogue=away, fence=fence), stored)


def test_waiting_for_a_catalogue_can_be_stopped(ctx):
    broken = dataclasses.replace(
        ctx,
        catalogue=Failing(ctx.catalogue, UNAVAILABLE),
        # The first check is made before the atom begins.
        stop=doubles.StopAfter(2),
    )
    stored = store(ctx)

    with pytest.raises(exceptions.LeaseLost):
        publish(broken, stored)

    assert broken.catalogue.asked == 1
