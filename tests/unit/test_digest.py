# SPDX-License-Identifier: Apache-2.0
import hashlib
import threading

import pytest

from glance_tasks import digest
from glance_tasks import exceptions
from glance_tasks.testing import doubles

DATA = bytes(range(256)) * 4096
ALGORITHMS = ("md5", "sha512")


def nothing():
    """Let the work go on."""


def expected(data):
    return {name: hashlib.new(name, data).hexdigest() for name in ALGORITHMS}


def fresh():
    return digest.fresh_states(ALGORITHMS)


def feed(digests, data, size=1000):
    for place in range(0, len(data), size):
        piece = data[place : place + size]
        buffer = digests.buffer(nothing)
        buffer[: len(piece)] = piece
        digests.update(buffer[: len(piece)])


@pytest.fixture
def opened(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(DATA)
    with digest.opened(path) as fd:
        yield fd


def test_digests_beside_each_other_are_those_of_the_stream():
    with digest.Digests(fresh()) as digests:
        feed(digests, DATA)

        assert digests.hexdigests() == expected(DATA)


def test_buffers_that_go_round_are_not_filled_before_they_are_hashed():
    with digest.Digests(fresh(), buffers=2, size=64) as digests:
        feed(digests, DATA, size=64)

        assert digests.hexdigests() == expected(DATA)


def test_a_snapshot_does_not_see_what_comes_after_it():
    with digest.Digests(fresh()) as digests:
        feed(digests, DATA[:5000])
        snapshot = digests.snapshot()
        feed(digests, DATA[5000:])

        assert snapshot.hexdigests() == expected(DATA[:5000])
        assert digests.hexdigests() == expected(DATA)


def test_a_stream_goes_on_where_another_was_left():
    with digest.Digests(fresh()) as first:
        feed(first, DATA[:5000])
        states = first.snapshot().states()

    with digest.Digests(states) as second:
        feed(second, DATA[5000:])

        assert second.hexdigests() == expected(DATA)


def test_closing_ends_the_threads():
    before = threading.active_count()

    with digest.Digests(fresh()) as digests:
        feed(digests, DATA)

    assert threading.active_count() == before


def test_bytes_of_somebody_elses_buffer_are_refused():
    with digest.Digests(fresh()) as digests, pytest.raises(KeyError):
        digests.update(memoryview(b"mine"))


def test_a_file_is_hashed_from_anywhere_to_anywhere(opened):
    with digest.Digests(fresh(), size=999) as digests:
        count = digest.hash_file(digests, opened, 10, 20_000, nothing)

        assert count == 19_990
        assert digests.hexdigests() == expected(DATA[10:20_000])


def test_a_file_that_ends_before_tells_how_much_there_was(opened):
    with digest.Digests(fresh()) as digests:
        count = digest.hash_file(digests, opened, 0, 1 << 40, nothing)

    assert count == len(DATA)


def test_hashing_a_file_can_be_stopped(opened):
    def check():
        raise InterruptedError

    with (
        digest.Digests(fresh()) as digests,
        pytest.raises(InterruptedError),
    ):
        digest.hash_file(digests, opened, 0, len(DATA), check)


def test_hashing_a_file_tells_after_every_buffer_how_far_it_is(opened):
    seen = []

    with digest.Digests(fresh(), size=1000) as digests:
        digest.hash_file(digests, opened, 5, 2505, nothing, seen.append)

    assert seen == [1005, 2005, 2505]


# --- writing beside the digests ----------------------------------------------


def test_the_writer_gets_every_byte_in_order():
    written = bytearray()

    def write(piece, offset):
        assert offset == len(written)
        written.extend(piece)

    with digest.Digests(fresh(), write=write, size=4096) as digests:
        feed(digests, DATA)

        assert digests.hexdigests() == expected(DATA)
        assert digests.offset == len(DATA)
    assert bytes(written) == DATA


def test_writing_goes_on_behind_the_bytes_that_are_there():
    offsets = []

    def write(piece, offset):
        offsets.append(offset)

    with digest.Digests({}, write=write, offset=7000) as digests:
        feed(digests, DATA[:3000])
        digests.hexdigests()

    assert offsets == [7000, 8000, 9000]


def broken(piece, offset):
    raise OSError(28, "No space left on device")


def test_a_failure_to_write_comes_out_where_a_buffer_is_taken():
    with (
        digest.Digests({}, write=broken, size=4096) as digests,
        pytest.raises(OSError, match="No space"),
    ):
        feed(digests, DATA)


def test_a_failure_to_write_spoils_the_snapshot_behind_it():
    with digest.Digests({}, write=broken, size=4096) as digests:
        feed(digests, DATA[:100])

        with pytest.raises(OSError, match="No space"):
            digests.snapshot().hexdigests()


def test_waiting_for_a_buffer_looks_at_the_stop_signal():
    let_go = threading.Event()

    def stuck(piece, offset):
        let_go.wait(60)

    stop = doubles.StopAfter(3)
    with digest.Digests({}, write=stuck, size=4096) as digests:
        feed(digests, DATA[: 1000 * digest.BUFFERS])

        with pytest.raises(exceptions.LeaseLost):
            digests.buffer(stop.check)

        let_go.set()
