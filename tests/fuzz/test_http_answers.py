# SPDX-License-Identifier: Apache-2.0
"""Whatever a source answers: the whole of one version, or a clear refusal."""

from email import message
import hashlib
import re
import string

import hypothesis
from hypothesis import strategies as st
import pytest

from glance_tasks import exceptions
from glance_tasks import ledger
from glance_tasks.testing import doubles
from glance_tasks.transfer import answer
from tests.support import fetching
from tests.support import fuzzing
from tests.support import outgoing
from tests.support import wire

URI = "http://images.example/a"
CHUNK = 64 << 10
VERSIONS = {
    tag: hashlib.shake_128(tag.encode()).digest(3 * CHUNK + size)
    for tag, size in (('"one"', 17), ('"two"', 17), ('"three"', 0))
}


@pytest.fixture(scope="module")
def server():
    with wire.Wire(lambda head: b"") as running:
        yield running


# --- heads -------------------------------------------------------------------

numbers = st.one_of(
    st.integers(0, 200).map(str),
    st.sampled_from(["-1", "+5", " 7", "1_0", "٣", "0x10", "9" * 19, "1e3"]),
)


def ordered(first, more, rest, claimed):
    """Give a range that makes sense, and perhaps another length for it."""
    last = first + more
    length = last - first + 1 if claimed is None else claimed
    return [
        ("Content-Range", f"bytes {first}-{last}/{last + 1 + rest}"),
        ("Content-Length", str(length)),
    ]


parts = st.builds(
    ordered, *[st.integers(0, 9)] * 3, st.none() | st.integers(0, 20)
)
ranges = st.one_of(
    st.builds("bytes {}-{}/{}".format, numbers, numbers, numbers),
    st.builds("bytes {}-{}/*".format, numbers, numbers),
    st.text("bytes 0123-/*", max_size=14),
)
printable = st.text(string.printable, max_size=20)
headers = {
    "Content-Length": numbers,
    "Content-Range": ranges,
    "Content-Encoding": st.sampled_from(["identity", "gzip", " Identity ", ""])
    | printable,
    "Transfer-Encoding": st.sampled_from(["chunked", "gzip, chunked", ""]),
    "ETag": st.sampled_from(['"a"', 'W/"a"', '"', '""', '"a\x7f"', "a"]),
    "Last-Modified": st.sampled_from(
        ["Wed, 21 Oct 2026 12:00:00 GMT", "Wed, 21 Oct 99999 12:00:00 GMT"]
    )
    | printable,
    "Date": st.sampled_from(
        ["Wed, 21 Oct 2026 12:00:01 GMT", "Wed, 21 Oct 2026 12:00:00 +9999"]
    )
    | printable,
}
heads = st.lists(
    st.sampled_from(sorted(headers)).flatmap(
        lambda name: st.tuples(st.just(name), headers[name])
    ),
    max_size=6,
)


@fuzzing.examples(600)
@hypothesis.given(
    st.sampled_from([200, 206]),
    heads | st.builds(lambda a, b: a + b, parts, heads.map(lambda x: x[:1])),
)
def test_a_head_is_understood_or_refused(status, fields):
    head = message.Message()
    for name, value in fields:
        head[name] = value

    try:
        found = answer.read(URI, status, head)
    except exceptions.FetchError as error:
        assert error.code == "source_invalid"
        return

    if found is not None:
        total = found.identity.length
        assert (status == 206) or found.offset == 0
        assert found.length is None or found.length >= 0
        assert total is None or found.offset + (found.length or 0) <= total
        assert re.fullmatch(r'"[!#-~]+"|\w.*|', found.identity.validator or "")


# --- bytes on the wire -------------------------------------------------------

lines = st.sampled_from(
    [
        *(b"HTTP/1.1 200 OK", b"HTTP/1.1 206 Part", b"HTTP/1.1 416 No"),
        *(b"HTTP/1.1 100 Continue\r\n", b"HTTP/1.0 200", b"HTTP/9.9 200 OK"),
        *(b"HTTP/1.1 -1 X", b"HTTP/1.1 302 Found", b"ICY 200 OK", b""),
        *(b"Content-Length: 5", b"Content-Length: 0", b"Content-Length:"),
        *(b"Content-Length: -5", b"Content-Length: 5, 6", b" folded: 1"),
        *(b"Transfer-Encoding: chunked", b"Content-Range: bytes 0-4/5"),
        *(b"Content-Encoding: gzip", b'ETag: "one"', b"Location: /image"),
        *(b"", b"5", b"hello", b"0", b"ffffffffffffffffff", b"-5", b"5;x=y"),
        *(b"0x5", b"5 ", b"\x00", b"\xff" * 9, b": no name", b"no colon"),
    ]
)
raw_answers = st.builds(
    lambda found, end, tail: end.join(found) + tail,
    st.lists(lines | st.binary(max_size=20), max_size=12),
    st.sampled_from([b"\r\n", b"\r\n", b"\n", b"\r"]),
    st.binary(max_size=8),
)


@hypothesis.given(st.lists(raw_answers, min_size=1, max_size=4))
@hypothesis.example([b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"])
def test_any_bytes_are_a_file_or_a_refusal(server, tmp_path, answers):
    path = tmp_path / "fetched"
    waiting = list(answers)

    def say(head):
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]

    server.script = say
    ledger.remove(path)
    try:
        fetched = fetching.fetch(server.url(), path, max_bytes=1 << 20)
    except exceptions.FetchError as error:
        assert error.code in exceptions.FAILURES
        return

    data = path.read_bytes()
    assert fetched.size == len(data)
    assert fetched.digests["md5"] == hashlib.md5(data).hexdigest()  # noqa: S324
    assert any(data in given for given in answers)


# --- versions and parts ------------------------------------------------------


@st.composite
def behaviours(draw):
    """Draw how one request is answered: honestly but for what is told.

    No source here gives the bytes of one version under another's tag: nobody
    could tell.
    """
    return {
        "tag": draw(st.sampled_from(['"one"'] * 4 + sorted(VERSIONS))),
        "status": draw(st.sampled_from([None] * 8 + [500, 503, 416, 408])),
        "ranges": draw(st.sampled_from(["honest"] * 4 + ["none", "any"])),
        "shift": draw(st.sampled_from([0] * 6 + [-1, 1, CHUNK])),
        "total": draw(st.sampled_from([0] * 6 + [-1, 1, None])),
        "chunked": draw(st.booleans()),
        "length": draw(st.sampled_from([0] * 6 + [1, -1])),
        "cut": draw(st.one_of(st.none(), st.integers(0, 4 * CHUNK))),
        "surplus": draw(st.sampled_from([b""] * 6 + [b"x", b"0\r\n\r\n"])),
    }


def told(way, head):
    """Give the answer to a request in such a way."""
    if way["status"]:
        return b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % way["status"]
    data, tag = VERSIONS[way["tag"]], way["tag"].encode()
    asked = re.search(rb"Range: bytes=(\d+)-\r\n", head)
    known = b"If-Range: %s\r\n" % tag in head
    # A part where the whole was asked for is a lie that is easily seen.
    part = asked and way["ranges"] != "none"
    start = int(asked[1]) if part and (known or way["ranges"] == "any") else 0
    if start >= len(data):
        return b"HTTP/1.1 416 No\r\nContent-Length: 0\r\n\r\n"
    lines = [b"HTTP/1.1 200 OK", b"ETag: " + tag]
    if start:
        total = way["total"]
        size = b"*" if total is None else b"%d" % (len(data) + total)
        begin = max(0, start + way["shift"])
        # Part, range and tag are of one version, only perhaps another one.
        data, end = data[begin:], len(data) - 1
        lines[0] = b"HTTP/1.1 206 Part"
        lines.append(b"Content-Range: bytes %d-%d/%s" % (begin, end, size))
    if way["chunked"]:
        lines.append(b"Transfer-Encoding: chunked")
        data = b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data)
    else:
        lines.append(b"Content-Length: %d" % (len(data) + way["length"]))
    # A wrong length that the body then has would be another file.
    honest = way["chunked"] or not way["length"]
    body = (data + way["surplus"])[: way["cut"]] if honest else data
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


@pytest.mark.fuzz(weight=2.0)
@fuzzing.examples(200)
@hypothesis.given(
    st.lists(behaviours(), min_size=1, max_size=6), st.integers(1, 60)
)
def test_a_file_is_never_made_of_two_versions(server, tmp_path, ways, checks):
    path, waiting = tmp_path / "fetched", list(ways)
    honest = {**ways[-1], "tag": '"one"', "status": None, "cut": None}

    def say(head):
        return told(waiting.pop(0) if waiting else honest, head)

    server.script = say
    ledger.remove(path)
    # Two runs: the first is interrupted, the second goes on.
    for stop in (doubles.StopAfter(checks), doubles.NeverStop()):
        try:
            fetched = fetching.fetch(
                server.url(), path, chunk_size=CHUNK, stop=stop
            )
        except exceptions.LeaseLost:
            continue
        except exceptions.FetchError as error:
            assert error.code in exceptions.FAILURES
            return
        whole = path.read_bytes()
        assert whole in VERSIONS.values()
        assert fetched.size == len(whole)


# --- redirects ---------------------------------------------------------------

targets = st.tuples(
    st.sampled_from(["http://", "//", "https://", "", "HTTP://", "http:/"]),
    st.sampled_from(["", "", "u:p@", "@"]),
    st.sampled_from(
        [
            *("127.0.0.2", "10.0.0.1", "2130706434", "0x7f.2", "[::1]"),
            *("[::ffff:7f00:2]", "localhost", "127.0.0.1", "", "\\\\[::1]"),
        ]
    ),
    st.sampled_from([":{port}", ":{port}", "", ":22"]),
    st.sampled_from(["/image", "", "/\r\nX: y", "?q", "/é"]),
).map("".join)


@hypothesis.given(st.lists(targets, min_size=1, max_size=7))
def test_a_redirect_leads_nowhere_else(server, tmp_path, locations):
    path, waiting = tmp_path / "fetched", list(locations)

    def say(head):
        if not waiting:
            return b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
        place = waiting.pop(0).replace("{port}", str(server.port)).encode()
        return b"HTTP/1.1 302 X\r\nLocation: %s\r\n\r\n" % place

    server.script = say
    ledger.remove(path)
    with outgoing.watched() as begun:
        try:
            fetching.fetch(
                server.url(),
                path,
                networks=("127.0.0.1/32",),
                ports=(server.port,),
                # As a name service does that knows nothing of loopback.
                resolver=lambda host, port: (
                    ["127.0.0.3"] if host == "localhost" else [host]
                ),
            )
        except exceptions.FetchError as error:
            assert error.code in exceptions.FAILURES

    assert set(begun) == {("127.0.0.1", server.port)}
