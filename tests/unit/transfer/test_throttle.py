# SPDX-License-Identifier: Apache-2.0
"""A throttle lets as many bytes pass as it says, whoever they are."""

import threading
import time

import hypothesis
from hypothesis import strategies as st
import pytest

from glance_tasks import exceptions
from glance_tasks.testing import doubles
from glance_tasks.testing import http_sink
from glance_tasks.testing.http_source import Resource
from glance_tasks.transfer import throttle
from tests.support import fetching
from tests.support import sending

BODY = bytes(range(256)) * 1024
RATE = 1 << 20


class Time:
    """A clock that only sleeping moves."""

    def __init__(self):
        self.now = 1000.0
        self.slept = []

    def clock(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


def nothing():
    """Go on."""


@hypothesis.given(
    st.lists(st.tuples(st.integers(0, 5 * RATE), st.floats(0, 3)), max_size=20)
)
def test_no_stretch_from_the_beginning_has_more_than_the_rate(passes):
    flowing = Time()
    held = throttle.Throttle(RATE, flowing.clock, flowing.sleep)
    began, total = flowing.now, 0

    for count, idle in passes:
        flowing.now += idle
        waited = held.take(count, nothing)

        total += count
        assert total <= RATE * (flowing.now - began) + 1
        # Not slower either: what was idle is not made up for, that is all.
        assert waited <= count / RATE + 1e-6
    assert all(0 < seconds <= 0.25 for seconds in flowing.slept)


@pytest.mark.parametrize(
    ("rate", "size", "share"),
    [
        (0, 5 << 20, 5 << 20),
        (RATE, 5 << 20, RATE // 4),
        (RATE, 7, 7),
        (1, 5, 1),
    ],
)
def test_a_quarter_of_a_second_s_worth_passes_at_once(rate, size, share):
    assert throttle.Throttle(rate).share(size) == share


def test_without_a_rate_nothing_waits():
    flowing = Time()

    throttle.Throttle(0, flowing.clock, flowing.sleep).take(1 << 40, nothing)

    assert flowing.slept == []


def test_transfers_side_by_side_share_it():
    flowing, lock = Time(), threading.Lock()

    def sleep(seconds):
        with lock:
            flowing.sleep(seconds)

    held = throttle.Throttle(RATE, flowing.clock, sleep)
    threads = [
        threading.Thread(target=held.take, args=(RATE, nothing))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert flowing.now >= 1004.0


def test_a_stop_ends_the_waiting():
    flowing = Time()

    def stop():
        if flowing.now > 1001:
            raise exceptions.RunInterrupted

    with pytest.raises(exceptions.RunInterrupted):
        throttle.Throttle(1, flowing.clock, flowing.sleep).take(99, stop)

    assert flowing.now < 1002


# --- on a wire ---------------------------------------------------------------


@pytest.fixture
def passed(monkeypatch):
    """How many bytes throttles have let pass, without making them wait."""
    seen = []

    def take(self, count, check):
        seen.append((self._rate, count))
        return 0.0

    monkeypatch.setattr(throttle.Throttle, "take", take)
    return seen


def test_what_is_fetched_passes_the_throttle(source, tmp_path, passed):
    uri = source.put("/a", Resource(BODY))

    fetching.fetch(uri, tmp_path / "a", max_rate=RATE)

    assert {rate for rate, _ in passed} == {RATE}
    assert len(BODY) <= sum(count for _, count in passed) < len(BODY) + 4096
    assert max(count for _, count in passed) <= RATE // 4


def test_what_is_sent_passes_the_throttle(tmp_path, passed):
    (tmp_path / "a").write_bytes(BODY)
    with http_sink.HttpSink() as sink:
        sending.send(
            sending.parcel(sink.uri("/a"), BODY),
            tmp_path / "a",
            sending.allowing(max_rate=RATE),
        )

    assert {rate for rate, _ in passed} == {RATE}
    assert sum(count for _, count in passed) >= len(BODY)
    assert max(count for _, count in passed) <= RATE // 4


def test_waiting_for_it_is_no_silence_of_the_other_side(source, tmp_path):
    uri = source.put("/a", Resource(BODY))
    began = time.monotonic()

    fetching.fetch(
        uri, tmp_path / "a", max_rate=2 * len(BODY), read_timeout=0.1
    )

    # No machine is so fast that it could be less.
    assert time.monotonic() - began >= 0.4


def test_a_stop_is_heard_while_it_waits(source, tmp_path):
    uri = source.put("/a", Resource(BODY))
    progress = doubles.RecordingProgress()
    stop = doubles.StopWhen(lambda: bool(progress.reports))

    with pytest.raises(exceptions.RunInterrupted):
        fetching.fetch(
            uri, tmp_path / "a", max_rate=64, stop=stop, progress=progress
        )
