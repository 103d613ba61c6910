# SPDX-License-Identifier: Apache-2.0
"""Whatever became of a ledger or its file, what it vouches for is true."""

import contextlib
import functools
import hashlib
import json
import os
import pathlib
import tempfile

import hypothesis
from hypothesis import strategies as st
import pytest

from glance_tasks import exceptions
from glance_tasks import ledger
from glance_tasks.testing import doubles
from tests.support import fetching
from tests.support import fuzzing
from tests.support import wire

CHUNK = 64 << 10
BODY = hashlib.shake_128(b"body").digest(5 * CHUNK + 17)
ALGORITHMS = ("md5", "sha512")


def honest(head):
    """Answer as a good source does, parts too."""
    tag, start = b'ETag: "one"\r\n', 0
    if b"Range: bytes=" in head:
        start = int(head.partition(b"bytes=")[2].partition(b"-")[0])
    line = b"HTTP/1.1 200 OK\r\n"
    if start:
        line = b"HTTP/1.1 206 Part\r\nContent-Range: bytes %d-%d/%d\r\n" % (
            *(start, len(BODY) - 1, len(BODY)),
        )
    length = b"Content-Length: %d\r\n\r\n" % (len(BODY) - start)
    return line + tag + length + BODY[start:]


@pytest.fixture(scope="module")
def url():
    with wire.Wire(honest) as running:
        # The ledger knows the address, and the remains outlive the server.
        yield running.url()


@functools.cache
def remains(url, checks):
    """Give the ledger and the file of a fetch cut at one of its checks."""
    with tempfile.TemporaryDirectory() as home:
        path = pathlib.Path(home) / "fetched"
        stop = doubles.StopAfter(checks)
        with contextlib.suppress(exceptions.LeaseLost):
            fetching.fetch(url, path, chunk_size=CHUNK, stop=stop)
        return ledger.beside(path).read_bytes(), path.read_bytes()


# The last of them never comes: that fetch is whole.
CHECKS = st.integers(4, 200) | st.just(100_000)

# --- what may become of it ---------------------------------------------------

values = st.one_of(
    st.sampled_from(
        [
            *("1e400", "NaN", "-1", "null", "true", '"5"', "1.5", "{}", "[]"),
            *("[" * 2000, "9" * 30, "9" * 5000, str(CHUNK), '{"a": 1e999}'),
        ]
    ),
    st.integers(0, 2 * len(BODY)).map(str),
    st.text(max_size=5).map(json.dumps),
)


@st.composite
def damaged(draw, text):
    """Draw what disk, cut or hand made of the text of a ledger."""
    lines = text.split(b"\n")
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(lines) - 1))
        change = draw(st.sampled_from([replaced, dropped, repeated, garbled]))
        change(draw, lines, place)
        if not lines:
            break
    found = b"\n".join(lines)
    if draw(st.booleans()):
        found = found[: draw(st.integers(0, len(found)))]
    return found


def replaced(draw, lines, place):
    """Put another value in the place of one of the line's."""
    key = draw(st.sampled_from(["offset", "offset", "digests", "done"]))
    begin, found, rest = lines[place].partition(b'"%s": ' % key.encode())
    if found:
        end = len(rest) - len(rest.lstrip(b'{"0123456789aeflrstu'))
        value = draw(values).encode()
        lines[place] = begin + found + value + rest[end:]


def dropped(draw, lines, place):
    """Leave a line out."""
    del lines[place]


def repeated(draw, lines, place):
    """Write a line once more, somewhere."""
    lines.insert(draw(st.integers(0, len(lines))), lines[place])


def garbled(draw, lines, place):
    """Write anything over a part of a line."""
    start = draw(st.integers(0, len(lines[place])))
    piece = draw(st.one_of(st.binary(max_size=9), values.map(str.encode)))
    line = lines[place]
    lines[place] = line[:start] + piece + line[start + len(piece) :]


@st.composite
def spoilt(draw, data):
    """Draw what became of the file: cut, longer, or with other bytes."""
    found = bytearray(data)
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(0, len(found)))
        piece = draw(st.one_of(st.binary(max_size=9), st.just(bytes(CHUNK))))
        found[place : place + len(piece)] = piece
    if draw(st.booleans()):
        del found[draw(st.integers(0, len(found))) :]
    return bytes(found)


# --- what must be true of it -------------------------------------------------


@fuzzing.examples(300)
@hypothesis.given(st.data(), CHECKS)
@hypothesis.example(None, 40)
def test_what_is_vouched_for_is_there(url, tmp_path, data, checks):
    path = tmp_path / "fetched"
    text, kept = remains(url, checks)
    if data is not None:
        text, kept = data.draw(damaged(text)), data.draw(spoilt(kept))
    ledger.beside(path).write_bytes(text)
    path.write_bytes(kept)

    record = ledger.read(path)

    if record is None:
        return
    assert list(record.marks) == sorted(record.marks, key=offset_of)
    json.dumps(record.header)
    good, states = vouched(path, record)
    for mark in good.marks:
        assert mark.digests == digests(kept[: mark.offset])
        assert len(kept) >= mark.offset
    assert {k: v.hexdigest() for k, v in states.items()} == digests(
        kept[: good.offset]
    )


def offset_of(mark):
    return mark.offset


def vouched(path, record):
    fd = os.open(path, os.O_RDONLY)
    try:
        return ledger.verified(fd, record, ALGORITHMS, lambda: None)
    finally:
        os.close(fd)


def digests(data):
    return {
        name: hashlib.new(name, data, usedforsecurity=False).hexdigest()
        for name in ALGORITHMS
    }


@pytest.mark.fuzz(weight=2.0)
@fuzzing.examples(120)
@hypothesis.given(st.data(), CHECKS)
def test_a_resumed_file_is_its_source(url, tmp_path, data, checks):
    path = tmp_path / "fetched"
    text, kept = remains(url, checks)
    text, kept = data.draw(damaged(text)), data.draw(spoilt(kept))
    ledger.remove(path)
    ledger.beside(path).write_bytes(text)
    if data.draw(st.integers(0, 9)):
        path.write_bytes(kept)

    fetched = fetching.fetch(url, path, chunk_size=CHUNK)

    assert path.read_bytes() == BODY
    assert fetched.size == len(BODY)
    assert fetched.digests == digests(BODY)


@fuzzing.examples(300)
@hypothesis.given(st.binary() | st.text().map(str.encode))
@hypothesis.example(b"[" * 100_000 + b"\n")
@hypothesis.example(b'{"ledger": 1, "header": {}}\n' + b"[" * 100_000 + b"\n")
def test_a_ledger_of_anything_can_be_read(tmp_path, text):
    ledger.beside(tmp_path / "file").write_bytes(text)

    record = ledger.read(tmp_path / "file")

    assert record is None or not record.marks
