# SPDX-License-Identifier: Apache-2.0
"""An atom that is tested alone has what it needs, and misses it in words."""

import copy

import pytest

import glance_tasks as gt
from glance_tasks import testing
from glance_tasks.adapters import directory_store
from glance_tasks.atoms import fetch
from glance_tasks.atoms import store
from tests.support import stores

BODY = b"an image" * 5000


def test_an_atom_fetches_from_loopback(tmp_path):
    with testing.HttpSource() as source:
        uri = source.put("/a", testing.Resource(BODY))
        ctx = testing.context(tmp_path / "work")

        artifact = fetch.FetchImage(ctx).execute(uri)

    assert artifact["size"] == len(BODY)
    assert (ctx.work_dir / artifact["name"]).read_bytes() == BODY
    assert ctx.progress.reports[-1] == (len(BODY), len(BODY))


def test_an_atom_sees_what_it_was_given(tmp_path):
    ctx = testing.context(
        tmp_path,
        task_input={"uri": "http://source.example/a"},
        plan={"image_id": "mine"},
        owner="somebody",
        limits=gt.Limits(max_bytes=7),
        fence=testing.OpenFence(9),
    )

    assert ctx.input == {"uri": "http://source.example/a"}
    assert ctx.plan == {
        "image_id": "mine",
        "checks": [],
        "skip_steps": [],
        "secrets": [],
    }
    assert ctx.task.image_id == "mine"
    assert ctx.task.owner == "somebody"
    assert ctx.limits.max_bytes == 7
    assert ctx.fence.number == 9


def test_an_atom_that_uses_what_it_was_not_given_is_told(tmp_path):
    (tmp_path / "fetched").write_bytes(BODY)
    atom = store.StoreImage(testing.context(tmp_path))

    with pytest.raises(AssertionError, match=r"put\(\) of its store.*store="):
        atom.execute({"name": "fetched", "size": len(BODY)}, "key")


def test_a_store_that_was_given_is_used(tmp_path):
    (tmp_path / "fetched").write_bytes(BODY)
    given = stores.make_store(tmp_path / "store")
    atom = store.StoreImage(testing.context(tmp_path, store=given))

    atom.execute({"name": "fetched", "size": len(BODY)}, "key")

    assert isinstance(given, directory_store.DirectoryStore)
    assert given.size("key") == len(BODY)


def test_a_context_can_be_copied_and_shown(tmp_path):
    ctx = testing.context(tmp_path)

    assert copy.copy(ctx) == ctx
    assert copy.deepcopy(ctx.store) is not ctx.store
    assert "NotGiven" in repr(ctx)
