# SPDX-License-Identifier: Apache-2.0
"""The client against servers of a few lines, which may misbehave."""

import socket
import struct

import pytest

from glance_tasks.imagefile import nbd
from tests.support import nbd_server

PIECE = 1000


def serving(size, answer):
    greeting = nbd_server.information(size) + nbd_server.ACKNOWLEDGED
    return nbd_server.Server(greeting, answer)


def disk(size):
    return bytes(place % 251 for place in range(size))


def last_first(data):
    """Answer each four requests in the reverse order."""

    def answer(asked):
        last = asked[-1][0] + asked[-1][1] == len(data)
        if len(asked) % 4 and not last:
            return
        begin = (len(asked) - 1) // 4 * 4
        for offset, length in reversed(asked[begin:]):
            yield nbd_server.reply(offset, data[offset : offset + length])

    return answer


def client(server, idle=lambda: None):
    return nbd.Client(server.connection, idle)


def buffers():
    return memoryview(bytearray(PIECE))


@pytest.mark.parametrize("size", [1, PIECE, PIECE + 1, 10 * PIECE, 12_345])
def test_a_stream_is_in_order_whatever_the_order_of_replies(size):
    data = disk(size)

    with serving(
        size,
        last_first(data),
    ) as server:
        got = b"".join(client(server).stream(0, buffers))

    assert got == data


def test_a_stream_begins_where_it_is_told():
    data = disk(5000)

    with serving(
        5000,
        last_first(data),
    ) as server:
        got = b"".join(client(server).stream(1500, buffers))

    assert got == data[1500:]


def test_a_piece_is_read_from_anywhere():
    data = disk(5000)

    def answer(asked):
        offset, length = asked[-1]
        yield nbd_server.reply(offset, data[offset : offset + length])

    with serving(5000, answer) as server:
        got = client(server).read(4990, 10)

    assert got == data[4990:]
    assert server.asked == [(4990, 10)]


def test_information_that_was_not_asked_for_is_passed_over():
    greeting = (
        nbd_server.information(99, kind=3)
        + nbd_server.information(5)
        + nbd_server.ACKNOWLEDGED
    )

    with nbd_server.Server(greeting, last_first(b"")) as server:
        assert client(server).size == 5


@pytest.mark.parametrize(
    "greeting",
    [
        nbd_server.ACKNOWLEDGED,
        struct.pack(">QIII", 0x3E889045565A9, 7, 0x80000006, 0),
        struct.pack(">QIII", 1, 7, 1, 0),
        struct.pack(">QIII", 0x3E889045565A9, 7, 3, 1 << 31),
        b"",
    ],
)
def test_a_server_that_does_not_give_its_export_is_refused(greeting):
    def hang_up(asked):
        yield b""

    with (
        nbd_server.Server(greeting + b"\0" * 99, hang_up) as server,
        pytest.raises(nbd.ProtocolError),
    ):
        client(server, idle=server.connection.close)


def test_a_server_of_another_protocol_is_refused():
    ours, theirs = socket.socketpair()
    theirs.sendall(b"220 ready for mail\r\n")

    with pytest.raises(nbd.ProtocolError, match="began with"):
        nbd.Client(ours, lambda: None)

    ours.close()
    theirs.close()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (nbd_server.reply(0, b"", error=5), nbd.ReadFailed),
        (nbd_server.reply(77, bytes(10)), nbd.ProtocolError),
        (b"\0" * 16, nbd.ProtocolError),
    ],
)
def test_a_bad_reply_ends_a_read(answer, error):
    with (
        serving(
            10,
            lambda _: [answer],
        ) as server,
        pytest.raises(error),
    ):
        client(server).read(0, 10)


def test_a_server_that_hangs_up_in_the_middle_ends_a_read():
    short = nbd_server.reply(0, b"only")

    def answer(asked):
        yield short
        server.hang_up()

    with (
        serving(10, answer) as server,
        pytest.raises(nbd.ProtocolError, match="closed"),
    ):
        client(server).read(0, 10)


def test_waiting_for_a_silent_server_can_be_left():
    looks = []

    def idle():
        looks.append(1)
        if len(looks) == 3:
            raise InterruptedError

    with (
        serving(10, lambda _: []) as server,
        pytest.raises(InterruptedError),
    ):
        client(server, idle).read(0, 10)
