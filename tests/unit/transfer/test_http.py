# SPDX-License-Identifier: Apache-2.0
"""What an HTTP source answers, and what is made of it."""

import hashlib

import pytest

from glance_tasks import exceptions
from glance_tasks.testing.http_source import HttpSource
from glance_tasks.testing.http_source import Resource
from tests.support import fetching

BODY = bytes(range(256)) * 1024


def failing(uri, path, **options):
    """Give the error with which a fetch ends."""
    with pytest.raises(exceptions.FetchError) as caught:
        fetching.fetch(uri, path, **options)
    return caught.value


def raw(head, body=b""):
    lines = "\r\n".join(["HTTP/1.1 200 OK", *head, "", ""])
    return Resource(raw=lines.encode() + body)


@pytest.mark.parametrize(
    "resource",
    [
        Resource(BODY),
        Resource(BODY, chunked=True),
        raw(["Connection: close"], BODY),
        raw([f"Content-Length: {len(BODY)}"], BODY),
    ],
    ids=["with a length", "in chunks", "until the end", "without more"],
)
def test_a_body_arrives_however_it_is_framed(source, tmp_path, resource):
    uri = source.put("/a", resource)

    fetched = fetching.fetch(uri, tmp_path / "a")

    assert (tmp_path / "a").read_bytes() == BODY
    assert fetched.size == len(BODY)
    assert fetched.digests == {
        "md5": hashlib.md5(BODY, usedforsecurity=False).hexdigest(),
        "sha512": hashlib.sha512(BODY).hexdigest(),
    }


def test_an_empty_file_is_a_file(source, tmp_path):
    uri = source.put("/a", Resource(b""))

    fetched = fetching.fetch(uri, tmp_path / "a", algorithms=("sha256",))

    assert fetched.size == 0
    assert fetched.digests == {"sha256": hashlib.sha256().hexdigest()}


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (204, "source_unavailable"),
        (206, "source_invalid"),
        (304, "source_unavailable"),
        (400, "source_unavailable"),
        (401, "source_denied"),
        (403, "source_denied"),
        (404, "source_not_found"),
        (410, "source_not_found"),
        (416, "source_invalid"),
        (418, "source_unavailable"),
    ],
)
def test_a_status_that_holds_no_file_is_final(source, tmp_path, status, code):
    uri = source.put("/a", Resource(BODY, status=status, content_range="x"))

    error = failing(uri, tmp_path / "a")

    assert error.code == code
    assert len(source.requests) == 1
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_status_that_passes_is_asked_again(source, tmp_path, status):
    uri = source.put("/a", Resource(BODY, statuses=[status] * 3))

    fetched = fetching.fetch(uri, tmp_path / "a")

    assert fetched.size == len(BODY)
    assert [r.status for r in source.requests] == [status] * 3 + [200]


def test_a_status_that_does_not_pass_ends_after_four_tries(source, tmp_path):
    uri = source.put("/a", Resource(status=503))

    error = failing(uri, tmp_path / "a")

    assert error.code == "source_unavailable"
    assert str(error) == f"{uri} answered 503; expected 200 or 206"
    assert len(source.requests) == 4


def test_nobody_listening_is_an_unavailable_source(tmp_path):
    with HttpSource() as gone:
        uri = gone.url("/a")

    error = failing(uri, tmp_path / "a")

    assert error.code == "source_unavailable"
    assert str(error) == f"{uri} could not be connected to"


@pytest.mark.parametrize(
    "head",
    [
        ["Content-Length: 10", "Content-Length: 20"],
        ["Content-Length: -1"],
        ["Content-Length: ten"],
        ["Content-Length: 1e3"],
        ["Content-Length: 10", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: gzip, chunked"],
        ["Content-Encoding: gzip", "Content-Length: 10"],
        [f"X-{number}: bomb" for number in range(200)],
        ["X: " + "b" * 70_000],
    ],
)
def test_a_head_that_breaks_the_rules_is_final(source, tmp_path, head):
    uri = source.put("/a", raw(head, b"x" * 10))

    error = failing(uri, tmp_path / "a")

    assert error.code == "source_invalid"
    assert len(source.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"220 mail.example ESMTP\r\n",
        b"\x16\x03\x01" + b"\x00" * 100 + b"\r\n\r\n",
    ],
)
def test_what_does_not_speak_http_is_final(source, tmp_path, answer):
    uri = source.put("/a", Resource(raw=answer))

    error = failing(uri, tmp_path / "a")

    assert error.code == "source_invalid"
    assert len(source.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Le"],
)
def test_a_head_that_is_cut_off_is_no_empty_file(source, tmp_path, answer):
    uri = source.put("/a", Resource(raw=answer))

    error = failing(uri, tmp_path / "a")

    assert error.code == "source_unavailable"
    assert len(source.requests) == 4


@pytest.mark.parametrize(
    "body",
    [b"zz\r\nxx\r\n0\r\n\r\n", b"5;" + b"x" * 70_000, b"\r\n\r\n"],
)
def test_malformed_chunks_are_final(source, tmp_path, body):
    uri = source.put("/a", raw(["Transfer-Encoding: chunked"], body))

    error = failing(uri, tmp_path / "a")

    assert error.code == "source_invalid"
    assert len(source.requests) == 1


def test_chunks_without_an_end_are_a_cut(source, tmp_path):
    uri = source.put("/a", raw(["Transfer-Encoding: chunked"], b"5\r\nabcde"))

    error = failing(uri, tmp_path / "a")

    assert error.code == "source_cut"


def test_more_bytes_than_announced_are_refused(source, tmp_path):
    uri = source.put("/a", Resource(BODY, surplus=b"more"))

    error = failing(uri, tmp_path / "a")

    assert error.code == "source_invalid"
    assert f"more than the {len(BODY)} bytes" in str(error)


def test_fewer_bytes_than_announced_are_a_cut(source, tmp_path):
    uri = source.put("/a", raw(["Content-Length: 100"], b"x" * 60))

    error = failing(uri, tmp_path / "a")

    assert error.code == "source_cut"
    assert "40 bytes before the end" in str(error)


def test_a_file_larger_than_allowed_is_refused_by_its_length(source, tmp_path):
    uri = source.put("/a", Resource(BODY))

    error = failing(uri, tmp_path / "a", max_bytes=len(BODY) - 1)

    assert error.code == "source_too_big"
    assert not (tmp_path / "a").exists()


def test_the_limit_of_the_rules_holds_too(source, tmp_path):
    uri = source.put("/a", Resource(BODY))
    limited = fetching.allowing(max_bytes=len(BODY) - 1)

    error = failing(uri, tmp_path / "a", max_bytes=limited.max_bytes)

    assert error.code == "source_too_big"


def test_a_body_without_length_or_end_is_refused_by_its_bytes(
    source, tmp_path
):
    uri = source.put("/a", Resource(BODY, endless=True))

    error = failing(uri, tmp_path / "a", max_bytes=4 << 20)

    assert error.code == "source_too_big"
    assert (tmp_path / "a").stat().st_size <= 4 << 20


def test_a_file_as_large_as_allowed_is_taken(source, tmp_path):
    uri = source.put("/a", Resource(BODY))

    fetched = fetching.fetch(uri, tmp_path / "a", max_bytes=len(BODY))

    assert fetched.size == len(BODY)


def test_the_environment_names_no_proxy(source, tmp_path, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    uri = source.put("/a", Resource(BODY))

    fetched = fetching.fetch(uri, tmp_path / "a")

    assert fetched.size == len(BODY)


def test_the_bytes_are_asked_for_as_they_are(source, tmp_path):
    uri = source.put("/a", Resource(BODY))

    fetching.fetch(uri, tmp_path / "a")

    headers = source.requests[0].headers
    assert headers["accept-encoding"] == "identity"
    assert headers["host"] == f"127.0.0.1:{source.port}"
    assert "cookie" not in headers


def test_a_path_that_is_not_ascii_is_quoted(source, tmp_path):
    source.put("/h%C3%A4%20b?c=%C3%A4", Resource(BODY))
    uri = source.url("/hä%20b?c=ä#fragment")

    fetched = fetching.fetch(uri, tmp_path / "a")

    assert fetched.size == len(BODY)
