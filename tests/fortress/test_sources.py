# SPDX-License-Identifier: Apache-2.0
"""Sources that lie in their framing, or never come to an end."""

import contextlib
import socket

import pytest

from glance_tasks import exceptions
from glance_tasks.testing import http_source
from glance_tasks.transfer import connection
from tests.support import fetching
from tests.support import flooding

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
MIB = 1 << 20
#: What may be under way in the buffers of two kernels.
UNDER_WAY = 16 * MIB


@pytest.fixture
def source(monkeypatch):
    monkeypatch.setattr("glance_tasks.transfer.download.BACKOFF", 0.005)
    with http_source.HttpSource() as running:
        yield running


def failing(uri, path, **options):
    """Give the error with which a fetch ends."""
    with pytest.raises(exceptions.FetchError) as caught:
        fetching.fetch(uri, path, **options)
    return caught.value


def body(*chunks, end=b"0\r\n\r\n"):
    return CHUNKED + b"\r\n".join(chunks) + b"\r\n" + end


#: What http.client or a lenient reader takes for a file.
FRAMINGS = {
    "a negative chunk": body(b"-5", b"x" * 200_000),
    "a chunk of 0x5": body(b"0x5", b"abcde"),
    "a chunk of +5": body(b"+5", b"abcde"),
    "a chunk of 1_0": body(b"1_0", b"x" * 16),
    "a chunk with blanks before": body(b" 5", b"abcde"),
    "a chunk of no size": body(b"", b"abcde"),
    "a chunk longer than it says": body(b"5", b"abcdefgh"),
    "a chunk shorter than it says": body(b"6", b"abcde", b"5", b"abcde"),
    "a chunk of 2**64": body(b"1" + b"0" * 16, b"abcde"),
    "a chunk with an extension of 300 bytes": body(
        b"5;" + b"x" * 300, b"abcde"
    ),
    "a trailer of 20 KiB": body(
        b"5", b"abcde", end=b"0\r\n" + b"X: y\r\n" * 4000 + b"\r\n"
    ),
    "two transfer encodings": OK
    + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n\r\n"
    + b"5\r\nabcde\r\n0\r\n\r\n",
    "an unknown transfer encoding": OK
    + b"Transfer-Encoding: xchunked\r\n\r\nabcde",
    "chunks and a length": OK
    + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nabcde",
    "two lengths": OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
    "a list of lengths": OK + b"Content-Length: 5, 5\r\n\r\nabcde",
    "a negative length": OK + b"Content-Length: -5\r\n\r\nabcde",
    "an empty length": OK + b"Content-Length:\r\n\r\nabcde",
    "a length of 20 digits": OK
    + b"Content-Length: 99999999999999999999\r\n\r\nabcde",
    "a length of other digits": OK
    + "Content-Length: \u0665\r\n\r\nabcde".encode(),
    "a length and a NUL": OK + b"Content-Length: 5\0\r\n\r\nabcde",
    "a length behind a blank": OK + b"Content-Length : 5\r\n\r\nabcde",
    "a length behind no header": OK
    + b"nonsense\r\nContent-Length: 5\r\n\r\nabcdefgh",
    "a length shorter than the body": OK
    + b"Content-Length: 5\r\n\r\nabcdefgh",
    "a compressed body": OK
    + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nabcde",
    "a body compressed twice": OK
    + b"Content-Encoding: identity, br\r\nContent-Length: 5\r\n\r\nabcde",
    "HTTP/0.9": b"<html>an image</html>",
    "HTTP/2": b"HTTP/2 200 OK\r\n\r\nabcde",
    "a status of four digits": b"HTTP/1.1 2000 OK\r\n\r\nabcde",
    "a status line of 70 KB": b"HTTP/1.1 200 " + b"x" * 70_000 + b"\r\n\r\n",
    "one large header": OK + b"X: " + b"x" * 70_000 + b"\r\n\r\nabcde",
    "many headers": OK + b"X: y\r\n" * 200 + b"\r\nabcde",
    "large headers": OK + (b"X: " + b"y" * 60_000 + b"\r\n") * 50 + b"\r\n",
}


@pytest.mark.parametrize("what", FRAMINGS)
def test_an_answer_that_can_be_read_in_two_ways_is_final(
    source, tmp_path, what
):
    uri = source.put("/a", http_source.Resource(raw=FRAMINGS[what]))

    error = failing(uri, tmp_path / "a")

    assert error.code == "source_invalid"
    assert len(source.requests) == 1


@pytest.mark.parametrize(
    "raw",
    [
        body(b"5", b"abcde"),
        body(b"5", b"abcde", end=b"0\r\nDigest: x\r\n\r\n"),
        body(b"2;name=value", b"ab", b"0003 ; x", b"cde"),
        body(b"5", b"abcde").replace(b"chunked\r\n", b"Chunked \r\n"),
        OK.replace(b"\r", b"") + b"Content-Length: 5\n\nabcde",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + body(b"5", b"abcde"),
        OK + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde",
        OK + b"Content-Encoding: Identity\r\n\r\nabcde",
    ],
)
def test_an_odd_answer_that_says_one_thing_is_a_file(source, tmp_path, raw):
    uri = source.put("/a", http_source.Resource(raw=raw))

    fetching.fetch(uri, tmp_path / "a")

    assert (tmp_path / "a").read_bytes() == b"abcde"


FLOODS = {
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
    "a status line": (b"HTTP/1.1 200 ", b"x" * 65536),
    "one header": (OK + b"X: ", b"x" * 65536),
    "headers": (OK, b"X: y\r\n" * 1000),
    "a trailer": (CHUNKED + b"5\r\nabcde\r\n0\r\n", b"X: y\r\n" * 1000),
    "the extension of a chunk": (CHUNKED + b"1;", b"x" * 65536),
    "the size of a chunk": (CHUNKED, b"0" * 65536),
}


@pytest.mark.parametrize("what", FLOODS)
def test_what_never_ends_and_is_no_body_is_not_read_on(tmp_path, what):
    with flooding.Flood(*FLOODS[what]) as flood:
        error = failing(flood.uri, tmp_path / "a", read_timeout=3600.0)

    assert error.code == "source_invalid"
    assert flood.connections == 1
    assert flood.sent < connection.MAX_HEAD + UNDER_WAY


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (OK + b"\r\n", b"x" * 65536),
        (OK + b"Content-Length: 99999999999\r\n\r\n", b"x" * 65536),
        (CHUNKED, b"10000\r\n" + b"x" * 65536 + b"\r\n"),
    ],
    ids=["without a length", "with a length", "in chunks"],
)
def test_a_body_is_read_up_to_its_limit(tmp_path, begin, piece):
    with flooding.Flood(begin, piece) as flood:
        error = failing(flood.uri, tmp_path / "a", max_bytes=4 * MIB)

    assert error.code == "source_too_big"
    assert flood.connections == 1
    assert flood.sent < 4 * MIB + UNDER_WAY
    assert not (tmp_path / "a").exists() or (
        (tmp_path / "a").stat().st_size <= 4 * MIB
    )


def closed_port():
    """Give the address of a port nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def deaf():
    """Give the address of a server that lets nobody connect any more."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(8):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_refused_silent_and_unreachable_sound_alike(
    tmp_path, deaf, monkeypatch
):
    monkeypatch.setattr("glance_tasks.transfer.download.BACKOFF", 0.005)
    hosts = [closed_port(), deaf, "255.255.255.255:80", "[100::1]:80"]

    errors = [
        failing(
            f"http://{host}/a",
            tmp_path / "a",
            networks=("127.0.0.0/8", "255.255.255.255/32", "100::/64"),
            connect_timeout=0.1,
        )
        for host in hosts
    ]

    assert {error.code for error in errors} == {"source_unavailable"}
    texts = {
        str(error).replace(host, "HOST")
        for error, host in zip(errors, hosts, strict=True)
    }
    assert texts == {"http://HOST/a could not be connected to"}
