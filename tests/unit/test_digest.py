# SPDX-License-Identifier: Apache-2.0
import hashlib
import threading

import pytest

from glance_tasks import digest

DATA = bytes(range(256)) * 4096
ALGORITHMS = ("md5", "sha512")


def nothing():
    """Let the work go on."""


def expected(data):
    return {name: hashlib.new(name, data).hexdigest() for name in ALGORITHMS}


def feed(digests, data, size=1000):
    for place in range(0, len(data), size):
        piece = data[place : place + size]
        buffer = digests.buffer()
        buffer[: len(piece)] = piece
        digests.update(buffer[: len(piece)])


@pytest.fixture
def opened(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(DATA)
    with digest.opened(path) as fd:
        yield fd


def mark(offset):
    return offset, expected(DATA[:offset])


def test_digests_beside_each_other_are_those_of_the_stream():
    with digest.Digests(ALGORITHMS) as digests:
        feed(digests, DATA)

        assert digests.hexdigests() == expected(DATA)


def test_buffers_that_go_round_are_not_filled_before_they_are_hashed():
    with digest.Digests(ALGORITHMS, buffers=2, size=64) as digests:
        feed(digests, DATA, size=64)

        assert digests.hexdigests() == expected(DATA)


def test_a_snapshot_does_not_see_what_comes_after_it():
    with digest.Digests(ALGORITHMS) as digests:
        feed(digests, DATA[:5000])
        snapshot = digests.snapshot()
        feed(digests, DATA[5000:])

        assert snapshot.hexdigests() == expected(DATA[:5000])
        assert digests.hexdigests() == expected(DATA)


def test_a_stream_goes_on_where_another_was_left():
    with digest.Digests(ALGORITHMS) as first:
        feed(first, DATA[:5000])
        states = first.snapshot().states()

    with digest.Digests(ALGORITHMS, states=states) as second:
        feed(second, DATA[5000:])

        assert second.hexdigests() == expected(DATA)


def test_closing_ends_the_threads():
    before = threading.active_count()

    with digest.Digests(ALGORITHMS) as digests:
        feed(digests, DATA)

    assert threading.active_count() == before


def test_bytes_of_somebody_elses_buffer_are_refused():
    with digest.Digests(ALGORITHMS) as digests, pytest.raises(KeyError):
        digests.update(memoryview(b"mine"))


def test_a_file_is_hashed_from_anywhere_to_anywhere(opened):
    with digest.Digests(ALGORITHMS, size=999) as digests:
        count = digest.hash_file(digests, opened, 10, 20_000, nothing)

        assert count == 19_990
        assert digests.hexdigests() == expected(DATA[10:20_000])


def test_a_file_that_ends_before_tells_how_much_there_was(opened):
    with digest.Digests(ALGORITHMS) as digests:
        count = digest.hash_file(digests, opened, 0, 1 << 40, nothing)

    assert count == len(DATA)


def test_hashing_a_file_can_be_stopped(opened):
    def check():
        raise InterruptedError

    with (
        digest.Digests(ALGORITHMS) as digests,
        pytest.raises(InterruptedError),
    ):
        digest.hash_file(digests, opened, 0, len(DATA), check)


def test_a_prefix_is_good_up_to_its_last_mark(opened):
    marks = [mark(1000), mark(70_000)]

    offset, states = digest.verified_prefix(opened, marks, ALGORITHMS, nothing)

    assert offset == 70_000
    assert states["md5"].hexdigest() == marks[1][1]["md5"]


def test_a_prefix_ends_before_the_first_mark_that_does_not_fit(opened):
    marks = [mark(1000), (2000, expected(b"other")), mark(3000)]

    offset, states = digest.verified_prefix(opened, marks, ALGORITHMS, nothing)

    assert offset == 1000
    assert states["sha512"].hexdigest() == marks[0][1]["sha512"]


def test_a_prefix_ends_where_the_file_does(opened):
    marks = [mark(1000), (1 << 30, expected(DATA))]

    offset, _ = digest.verified_prefix(opened, marks, ALGORITHMS, nothing)

    assert offset == 1000


def test_without_marks_nothing_of_a_file_is_good(opened):
    offset, states = digest.verified_prefix(opened, [], ALGORITHMS, nothing)

    assert offset == 0
    assert states["md5"].hexdigest() == expected(b"")["md5"]
