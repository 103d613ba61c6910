# SPDX-License-Identifier: Apache-2.0
"""The client told which parts of a disk are zeros, by servers of a few lines.

How qemu-nbd answers, tests/functional/test_content.py shows.
"""

import struct

import pytest

from glance_tasks.imagefile import nbd
from tests.support import nbd_server

SIZE = 5000
PROMISES = (
    nbd_server.option_reply(8, 1),
    nbd_server.option_reply(10, 4, b"\0\0\0\1base:allocation"),
    nbd_server.option_reply(10, 1),
)
GREETING = (
    b"".join(PROMISES) + nbd_server.information(SIZE) + nbd_server.ACKNOWLEDGED
)
OPTIONS = (0, 27, 6)


def server(answer, greeting=GREETING):
    return nbd_server.Server(greeting, answer, OPTIONS)


def client(server):
    return nbd.Client(server.connection, lambda: None, extents=True)


def status(offset, *extents):
    """Give a reply: lengths, and whether there are zeros."""
    data = b"".join(
        # What is a hole and not said to be zeros may hold anything.
        struct.pack(">II", length, 2 if zeros else 1)
        for length, zeros in extents
    )
    return nbd_server.chunk(5, offset, b"\0\0\0\1" + data)


def data(offset, content):
    place = struct.pack(">Q", offset)
    return nbd_server.chunk(1, offset, place + content)


def test_what_is_zeros_is_left_out():
    def answer(asked):
        yield status(asked[-1][0], (1000, False), (3000, True), (1000, False))

    with server(answer) as running:
        found = list(client(running).data(0, SIZE))

    assert found == [(0, 1000), (4000, 5000)]
    assert running.asked == [(0, SIZE)]


def test_a_server_that_tells_less_than_it_is_asked_is_asked_again():
    def answer(asked):
        begin = asked[-1][0]
        yield status(begin, (500, begin % 1000 == 0))

    with server(answer) as running:
        found = list(client(running).data(1000, 2700))

    assert found == [(1500, 2000), (2500, 2700)]
    assert running.asked[-1] == (2500, 200)


def test_a_read_is_answered_by_one_chunk():
    content = bytes(range(250)) * 20

    def answer(asked):
        offset, length = asked[-1]
        yield data(offset, content[offset : offset + length])

    with server(answer) as running:
        pieces = client(running).stream(
            1000, lambda: memoryview(bytearray(700)), 3000
        )
        got = b"".join(pieces)

    assert got == content[1000:3000]
    assert running.asked == [(1000, 700), (1700, 700), (2400, 600)]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (nbd_server.chunk(0x8001, 0, b"\0\0\0\5\0\0"), nbd.ReadFailed),
        (nbd_server.chunk(0x8001, 0, b""), nbd.ProtocolError),
        (nbd_server.reply(0, bytes(10)), nbd.ProtocolError),
        (data(7, bytes(10)), nbd.ProtocolError),
        (data(0, bytes(9)), nbd.ProtocolError),
        (data(0, bytes(11)), nbd.ProtocolError),
        (nbd_server.chunk(1, 0, bytes(18), flags=0), nbd.ProtocolError),
        (nbd_server.chunk(1, 0, b"\0" * 7 + b"\1" * 11), nbd.ProtocolError),
    ],
)
def test_a_bad_chunk_ends_a_read(answer, error):
    with server(lambda _: [answer]) as running, pytest.raises(error):
        client(running).read(0, 10)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (nbd_server.chunk(0x8001, 0, b"\0\0\0\5\0\0"), nbd.ReadFailed),
        (status(0), nbd.ProtocolError),
        (status(0, (0, True)), nbd.ProtocolError),
        (status(9, (SIZE, True)), nbd.ProtocolError),
        (data(0, bytes(8)), nbd.ProtocolError),
        (nbd_server.reply(0, b""), nbd.ProtocolError),
    ],
)
def test_a_bad_chunk_ends_a_question(answer, error):
    with server(lambda _: [answer]) as running, pytest.raises(error):
        list(client(running).data(0, SIZE))


@pytest.mark.parametrize(
    "greeting",
    [
        nbd_server.option_reply(8, 0x80000001),
        PROMISES[0] + nbd_server.option_reply(10, 0x80000001),
        PROMISES[0] + PROMISES[2],
    ],
)
def test_a_server_that_cannot_tell_is_refused(greeting):
    with (
        server(lambda _: [], greeting) as running,
        pytest.raises(nbd.ProtocolError, match="replied"),
    ):
        client(running)
