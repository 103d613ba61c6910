# SPDX-License-Identifier: Apache-2.0
import hashlib
import threading

import pytest

from glance_tasks import exceptions
from glance_tasks.transfer import pipeline
from tests.support import doubles

PIECES = [bytes([number]) * (1000 + number) for number in range(50)]
check = doubles.NeverStop().check


def send(flow, pieces):
    for piece in pieces:
        buffer = flow.borrow(check)
        buffer.view[: len(piece)] = piece
        flow.send(buffer, len(piece))


def test_every_stage_gets_every_byte_in_order():
    written = bytearray()

    def write(piece, offset):
        assert offset == len(written)
        written.extend(piece)

    states = pipeline.fresh(["md5", "sha256"])
    with pipeline.Pipeline(states, write, size=4096) as flow:
        send(flow, PIECES)
        digests = flow.snapshot().digests()

    body = b"".join(PIECES)
    assert bytes(written) == body
    assert digests == {
        "md5": hashlib.md5(body, usedforsecurity=False).hexdigest(),
        "sha256": hashlib.sha256(body).hexdigest(),
    }


def test_a_snapshot_is_of_its_moment():
    with pipeline.Pipeline(
        pipeline.fresh(["sha256"]), None, size=4096
    ) as flow:
        send(flow, PIECES[:7])
        early = flow.snapshot()
        send(flow, PIECES[7:])
        late = flow.snapshot()

        assert early.digests() == {
            "sha256": hashlib.sha256(b"".join(PIECES[:7])).hexdigest()
        }
        assert late.digests() == {
            "sha256": hashlib.sha256(b"".join(PIECES)).hexdigest()
        }


def test_a_pipeline_goes_on_from_the_states_of_another():
    with pipeline.Pipeline(
        pipeline.fresh(["sha256"]), None, size=4096
    ) as flow:
        send(flow, PIECES[:20])
        states, offset = flow.snapshot().states(), flow.offset
    with pipeline.Pipeline(states, None, offset=offset, size=4096) as flow:
        send(flow, PIECES[20:])

        assert flow.offset == sum(map(len, PIECES))
        assert flow.snapshot().digests() == {
            "sha256": hashlib.sha256(b"".join(PIECES)).hexdigest()
        }


def broken(piece, offset):
    raise OSError(28, "No space left on device")


def test_a_failure_to_write_comes_out_where_a_buffer_is_borrowed():
    with (
        pipeline.Pipeline({}, broken, size=4096) as flow,
        pytest.raises(OSError, match="No space"),
    ):
        send(flow, PIECES)


def test_a_failure_to_write_spoils_the_snapshot_behind_it():
    with pipeline.Pipeline({}, broken, size=4096) as flow:
        send(flow, PIECES[:1])

        with pytest.raises(OSError, match="No space"):
            flow.snapshot().digests()


def test_waiting_for_a_buffer_looks_at_the_stop_signal():
    let_go = threading.Event()

    def stuck(piece, offset):
        let_go.wait(60)

    stop = doubles.StopAfter(3)
    with pipeline.Pipeline({}, stuck, size=4096) as flow:
        send(flow, PIECES[: pipeline.BUFFERS])

        with pytest.raises(exceptions.LeaseLost):
            flow.borrow(stop.check)

        let_go.set()


def test_a_closed_pipeline_leaves_no_thread_behind():
    before = threading.active_count()

    with pipeline.Pipeline(pipeline.fresh(["md5"]), None, size=4096) as flow:
        send(flow, PIECES)

    assert threading.active_count() == before
