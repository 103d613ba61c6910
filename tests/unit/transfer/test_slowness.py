# SPDX-License-Identifier: Apache-2.0
"""Sources that are slower than they may be."""

import pytest

from glance_tasks import exceptions
from glance_tasks.testing import doubles
from glance_tasks.testing.http_source import Resource
from glance_tasks.transfer import pace
from tests.support import fetching

BODY = bytes(range(256)) * 1024


def failing(uri, path, **options):
    """Give the error with which a fetch ends."""
    with pytest.raises(exceptions.FetchError) as caught:
        fetching.fetch(uri, path, **options)
    return caught.value


def test_a_source_that_falls_silent_is_too_slow(source, tmp_path):
    uri = source.put("/a", Resource(BODY, stall_after=0))

    error = failing(uri, tmp_path / "a", read_timeout=0.1)

    assert error.code == "source_too_slow"
    assert str(error) == f"{uri} sent nothing for 0.1 seconds"
    assert len(source.requests) == 4


@pytest.mark.parametrize(
    ("begin", "drip"),
    [
        (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Go on\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"x"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"),
    ],
    ids=["interim answers", "a header", "the size of a chunk"],
)
def test_bytes_that_are_no_body_do_not_put_the_end_off(
    source, tmp_path, begin, drip
):
    uri = source.put("/a", Resource(raw=begin, drip=drip))

    error = failing(uri, tmp_path / "a", read_timeout=0.2)

    assert error.code == "source_too_slow"


def test_a_source_below_the_least_rate_is_too_slow(
    source, tmp_path, monkeypatch
):
    monkeypatch.setattr(pace, "WINDOW", 0.05)
    uri = source.put("/a", Resource(BODY, rate=256 << 10))

    error = failing(uri, tmp_path / "a", min_rate=1 << 30)

    assert error.code == "source_too_slow"
    assert "less than 1073741824 bytes per second" in str(error)
    assert len(source.requests) == 1


def test_a_silent_source_does_not_delay_a_stop(source, tmp_path):
    uri = source.put("/a", Resource(BODY, stall_after=1000))
    stop = doubles.StopWhen(source.stalled.is_set)

    with pytest.raises(exceptions.LeaseLost):
        fetching.fetch(uri, tmp_path / "a", read_timeout=3600.0, stop=stop)
