# SPDX-License-Identifier: Apache-2.0
"""Paused in a transfer, all killed, resumed: little is sent again."""

import pytest

from glance_tasks.testing import http_source
from tests.support import engines
from tests.support import importing
from tests.support import installation

MIB = 1 << 20
SIZE = 24 * MIB
CHUNK = 4 * MIB
NOISE = importing.noise(SIZE)
PATH = "/disk"


@pytest.fixture
def server():
    with http_source.HttpSource() as running:
        yield running


@pytest.fixture
def here(tmp_path):
    return installation.Installation(tmp_path, {"chunk_size": CHUNK})


@pytest.fixture
def engine(here):
    with importing.opened(here.data_dir) as engine:
        yield engine


def submitted(engine, server, **how):
    server.put(PATH, http_source.Resource(body=NOISE, **how))
    given = importing.given(server.url(PATH), "raw", "raw")
    return engine.submit("import", given).id


def paused_at(here, engine, server, task_id, ratio):
    """Pause the task in its transfer; kill its conductor when it has left."""
    with here.conductor():
        engines.until(
            lambda: engine.get(task_id).progress.get("ratio", 0.0) >= ratio,
            f"{ratio:.0%}",
        )
        engine.pause(task_id, reason="lunch")
        engines.until(lambda: engine.get(task_id).phase == "paused")
        assert server.sent < SIZE


def test_a_transfer_paused_at_forty_percent_goes_on_there(
    here, engine, server
):
    task_id = submitted(engine, server, rate=4 * MIB)
    paused_at(here, engine, server, task_id, 0.4)

    here.conduct()
    still = engine.get(task_id)
    engine.resume(task_id)
    here.conduct()

    done = engine.get(task_id)
    assert still.phase == "paused"
    assert done.status == "success", done.message
    assert done.attempts == 0
    again = server.asked_again(PATH)
    print(f"sent again: {sum(again) / MIB:.1f} MiB of {SIZE / MIB:.0f}")
    assert len(again) == 1
    assert sum(again) <= CHUNK
    stored = here.data_dir / "store" / done.result["image_id"]
    assert stored.read_bytes() == NOISE


def check_cancelled(here, engine, task_id):
    done = engine.get(task_id)
    assert done.failure.code == "cancelled"
    assert done.failure.left_behind == ()
    assert importing.left(here.data_dir / "work") == []
    assert not [*(here.data_dir / "store").glob("*")]


def test_a_paused_transfer_that_is_cancelled_leaves_nothing(
    here, engine, server
):
    task_id = submitted(engine, server, rate=4 * MIB)
    paused_at(here, engine, server, task_id, 0.1)

    engine.cancel(task_id)
    here.conduct()

    check_cancelled(here, engine, task_id)


def test_a_transfer_is_cancelled_while_it_runs(here, engine, server):
    task_id = submitted(engine, server, rate=MIB // 4)
    with here.conductor():
        engines.until(lambda: server.requests, "a request")

        engine.cancel(task_id)
        done = engine.wait(task_id, 60)

    assert done.failure.step == "FetchImage"
    assert server.sent < SIZE
    check_cancelled(here, engine, task_id)


def test_a_silent_source_does_not_hold_up_a_cancel(here, engine, server):
    task_id = submitted(engine, server, stall_after=MIB)
    with here.conductor():
        engines.until(server.stalled.is_set, "the silence")

        engine.cancel(task_id)
        engine.wait(task_id, 60)

    check_cancelled(here, engine, task_id)
