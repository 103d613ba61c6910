# SPDX-License-Identifier: Apache-2.0
"""What an HTTP source answers, and what is made of it."""

import email.utils
import hashlib
import time

import pytest

from glance_tasks import exceptions
from glance_tasks.transfer import pace
from tests.support import doubles
from tests.support import fetching
from tests.support.http_source import HttpSource
from tests.support.http_source import Resource

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


# --- cuts -------------------------------------------------------------------


def old_date():
    return email.utils.formatdate(time.time() - 3600, usegmt=True)


def new_date():
    return email.utils.formatdate(time.time() + 3600, usegmt=True)


@pytest.mark.parametrize(
    "told", [{"etag": '"v7"'}, {"etag": None, "last_modified": old_date()}]
)
def test_a_cut_transfer_goes_on_with_the_next_byte(source, tmp_path, told):
    uri = source.put("/a", Resource(BODY, cut_after=50_000, cuts=3, **told))

    fetched = fetching.fetch(uri, tmp_path / "a")

    assert (tmp_path / "a").read_bytes() == BODY
    assert [r.start for r in source.requests] == [0, 50_000, 100_000, 150_000]
    assert source.asked_again("/a") == [0, 0, 0]
    assert fetched.refetched == 0


@pytest.mark.parametrize(
    "told",
    [
        {"ranges": False},
        {"etag": 'W/"v7"'},
        {"etag": None},
        {"etag": None, "last_modified": new_date()},
        {"etag": None, "last_modified": "yesterday"},
        {"content_range": "bytes 7-9/10"},
        {"content_range": "nonsense"},
    ],
    ids=str,
)
def test_a_cut_transfer_that_cannot_go_on_begins_anew(source, tmp_path, told):
    uri = source.put("/a", Resource(BODY, cut_after=50_000, cuts=1, **told))

    fetched = fetching.fetch(uri, tmp_path / "a")

    assert (tmp_path / "a").read_bytes() == BODY
    assert fetched.refetched == 50_000


def test_a_source_that_is_cut_for_ever_is_given_up(source, tmp_path):
    resource = Resource(BODY, ranges=False, cut_after=50_000)
    uri = source.put("/a", resource)

    error = failing(uri, tmp_path / "a")

    assert error.code == "source_cut"
    assert len(source.requests) == 5


def test_a_source_that_gives_a_little_each_time_is_not_given_up(
    source, tmp_path
):
    uri = source.put("/a", Resource(BODY, cut_after=20_000))

    fetched = fetching.fetch(uri, tmp_path / "a")

    assert fetched.size == len(BODY)
    assert len(source.requests) == 14


def test_a_source_that_is_cut_after_each_byte_is_given_up(source, tmp_path):
    uri = source.put("/a", Resource(BODY, cut_after=1))

    error = failing(uri, tmp_path / "a", min_rate=1 << 20)

    assert error.code == "source_cut"
    assert len(source.requests) == 4


class Changing(Resource):
    """Another file, with another tag, for each request."""

    version = 0

    @property
    def etag(self):
        self.version += 1
        return f'"{self.version}"'

    @etag.setter
    def etag(self, value):
        pass


def test_a_source_that_keeps_changing_is_given_up(source, tmp_path):
    uri = source.put("/a", Changing(BODY, cut_after=50_000))

    error = failing(uri, tmp_path / "a")

    assert error.code == "source_changed"


def swapped(source, other):
    """Have another file at the source once the first was cut."""
    first = Resource(BODY, etag='"old"', cut_after=50_000, then=other)
    return source.put("/a", first)


def test_a_source_that_changed_is_read_from_its_start(source, tmp_path):
    uri = swapped(source, Resource(BODY[::-1], etag='"new"'))

    fetching.fetch(uri, tmp_path / "a")

    assert (tmp_path / "a").read_bytes() == BODY[::-1]
    assert [r.status for r in source.requests] == [200, 200]


def test_a_part_of_a_file_that_changed_is_not_taken(source, tmp_path):
    # This server does not care for If-Range: it takes the old tag for a date.
    careless = Resource(BODY[::-1], etag='"new"', last_modified='"old"')
    uri = swapped(source, careless)

    fetching.fetch(uri, tmp_path / "a")

    assert (tmp_path / "a").read_bytes() == BODY[::-1]
    assert [r.status for r in source.requests] == [200, 206, 200]


def test_another_part_than_was_asked_for_is_not_taken(source, tmp_path):
    part = BODY[60_000:]
    head = f"""HTTP/1.1 206 Partial Content
Content-Length: {len(part)}
Content-Range: bytes 60000-{len(BODY) - 1}/{len(BODY)}

"""
    answer = head.replace("\n", "\r\n").encode() + part
    whole = Resource(BODY, etag='"old"')
    uri = swapped(source, Resource(raw=answer, then=whole))

    fetching.fetch(uri, tmp_path / "a")

    assert (tmp_path / "a").read_bytes() == BODY


def test_a_source_that_shrank_is_read_from_its_start(source, tmp_path):
    uri = swapped(source, Resource(BODY[:1000], etag='"old"'))

    fetched = fetching.fetch(uri, tmp_path / "a")

    assert fetched.size == 1000
    assert [r.status for r in source.requests] == [200, 416, 200]


# --- slowness ---------------------------------------------------------------


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


# --- redirects --------------------------------------------------------------


def moved(source, start, *targets, status=302):
    """Chain redirects; gives the address of the first."""
    paths = [start, *(f"/hop{i}" for i in range(1, len(targets)))]
    for path, target in zip(paths, targets, strict=True):
        source.put(path, Resource(status=status, location=target))
    return source.url(start)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed(source, tmp_path, status):
    source.put("/b", Resource(BODY))
    uri = moved(source, "/a", "b", status=status)

    fetched = fetching.fetch(uri, tmp_path / "a")

    assert fetched.size == len(BODY)


def test_five_redirects_are_followed_and_no_more(source, tmp_path):
    hops = [f"/hop{i}" for i in range(1, 6)]
    source.put("/end", Resource(BODY))

    fetched = fetching.fetch(
        moved(source, "/a", *hops[:4], "/end"), tmp_path / "a"
    )
    error = failing(moved(source, "/z", *hops, "/end"), tmp_path / "z")

    assert fetched.size == len(BODY)
    assert error.code == "source_invalid"
    assert "more than 5 times" in str(error)


@pytest.mark.parametrize(
    ("location", "code"),
    [
        ("http://169.254.169.254/latest/meta-data", "source_not_allowed"),
        ("http://0xa9fea9fe/latest/meta-data", "source_not_allowed"),
        ("http://[::1]/a", "source_not_allowed"),
        ("file:///etc/passwd", "source_not_allowed"),
        ("file://localhost/etc/passwd", "source_not_allowed"),
        ("ftp://images.example/a", "source_not_allowed"),
        ("http://[bad/a", "source_invalid"),
        ("http://user:secret@images.example/a", "source_invalid"),
        (None, "source_invalid"),
    ],
)
def test_a_redirect_is_checked_as_the_first_address_was(
    source, tmp_path, location, code
):
    uri = source.put("/a", Resource(status=302, location=location))

    error = failing(uri, tmp_path / "a")

    assert error.code == code
    assert "secret" not in str(error)
    assert len(source.requests) == 1


def test_a_redirect_to_a_port_that_is_not_allowed_is_refused(source, tmp_path):
    with HttpSource() as other:
        target = other.put("/a", Resource(BODY))
        uri = source.put("/a", Resource(status=302, location=target))

        error = failing(uri, tmp_path / "a", ports=(source.port,))

    assert error.code == "source_not_allowed"
    assert other.requests == []


def with_login(uri):
    return uri.replace("http://", "http://us%65r:p%40ss@")


def test_credentials_of_an_address_are_sent_to_its_origin(source, tmp_path):
    source.put("/b", Resource(BODY, login="user:p@ss"))
    uri = moved(source, "/a", "/b")

    fetched = fetching.fetch(with_login(uri), tmp_path / "a")

    assert fetched.size == len(BODY)


def test_credentials_are_not_sent_to_another_origin(source, tmp_path):
    with HttpSource() as other:
        target = other.put("/a", Resource(BODY))
        uri = source.put("/a", Resource(status=302, location=target))

        fetching.fetch(with_login(uri), tmp_path / "a")

    assert "authorization" in source.requests[0].headers
    assert "authorization" not in other.requests[0].headers


def test_an_error_shows_neither_credentials_nor_the_query(source, tmp_path):
    uri = source.put("/a?sig=secret", Resource(status=403))

    error = failing(
        uri.replace("http://", "http://user:secret@"), tmp_path / "a"
    )

    assert "secret" not in str(error) + str(error.detail)


# --- the surroundings -------------------------------------------------------


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
