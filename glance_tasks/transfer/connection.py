# SPDX-License-Identifier: Apache-2.0
"""A connection that never waits long without looking at the stop signal.

http.client reads through a buffered file over the socket, and that file is
of no more use after a timeout. So it gets a file of ours, which waits in
slices and knows one deadline: until when the next byte of the body must come,
however many bytes of headers, empty answers or chunk lengths come first.
"""

import http.client
import io
import math
import socket
import ssl
import time
from typing import Any

from glance_tasks import ports
from glance_tasks import redaction
from glance_tasks.transfer import endpoint
from glance_tasks.transfer import rules
from glance_tasks.transfer import throttle as throttling

# Of the head of an answer; larger reads go past it into the caller's buffer.
_HEAD_BUFFER = 64 << 10

# Bytes handed to the kernel, or to TLS, at once: within one slice, and large
# enough that a system call does not count.
_SEND = 1 << 20

# Signed addresses and cookies come to a few KiB.
MAX_HEAD = 1 << 20


class Overdue(Exception):
    """The deadline passed."""


class Overlong(Exception):
    """The head of an answer, with interim answers before it, has no end."""


def silence(uri: str, seconds: float) -> endpoint.Interrupted:
    """Make the error for a source that let the deadline pass."""
    return endpoint.Interrupted(
        f"{redaction.plain_uri(uri)} sent nothing for {seconds:g} seconds",
        code="source_too_slow",
    )


class _Incoming(io.RawIOBase):
    def __init__(self, wire: "Wire") -> None:
        self._wire = wire

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._wire.receive(buffer)


class Wire:
    """One connected socket, as http.client wants it. For one thread.

    :ivar deadline: by the monotonic clock
    :ivar budget: bytes that may still come; the body has no such limit
    :ivar ended: whether the other side has sent all it ever will
    """

    def __init__(
        self,
        connection: socket.socket,
        stop: ports.StopSignal,
        throttle: throttling.Throttle,
    ) -> None:
        """Take over a socket that has a timeout of one slice."""
        self._socket, self._stop = connection, stop
        self._throttle = throttle
        self.deadline = math.inf
        self.budget: float = MAX_HEAD
        self.ended = False
        self.reader = io.BufferedReader(_Incoming(self), _HEAD_BUFFER)

    def allow(self, seconds: float) -> None:
        """Set the deadline that far from now."""
        self.deadline = time.monotonic() + seconds

    def pause(self) -> None:
        """Look at the stop signal and at the deadline.

        :raises Overdue: when the deadline has passed
        """
        self._stop.check()
        if time.monotonic() >= self.deadline:
            raise Overdue

    def _let_pass(self, count: int) -> None:
        # The other side is not late while we wait.
        self.deadline += self._throttle.take(count, self._stop.check)

    def receive(self, buffer: memoryview) -> int:
        """Receive at least a byte, 0 at the end.

        :raises Overdue: when the deadline passes first
        :raises Overlong: when more has come than may
        """
        while True:
            self.pause()
            share = self._throttle.share(len(buffer))
            try:
                count = self._socket.recv_into(buffer, share)
            except TimeoutError:
                continue
            self._let_pass(count)
            self.ended = not count
            self.budget -= count
            if self.budget < 0:
                raise Overlong
            return count

    def secure(self, context: ssl.SSLContext, name: str) -> None:
        """Make it TLS, with a certificate for ``name``.

        :raises ssl.SSLError: when there is none, or no TLS at all
        :raises Overdue: when the deadline passes first
        """
        wrapped = context.wrap_socket(
            self._socket,
            server_hostname=name,
            do_handshake_on_connect=False,
            # A close without TLS's own farewell may be a cut by anybody.
            suppress_ragged_eofs=False,
        )
        self._socket = wrapped
        while True:
            self.pause()
            try:
                return wrapped.do_handshake()
            except TimeoutError:
                continue

    def sendall(self, data: Any) -> None:
        """Send a request; it is small, so that it fits the kernel's buffer."""
        self._socket.sendall(data)

    def send_body(self, data: bytes | memoryview, seconds: float) -> None:
        """Send the body of a request, however large.

        What refuses it may answer and close before it has all of it: then
        the rest is not sent, and the answer tells.

        :param seconds: that the other side may take nothing
        :raises Overdue: when it takes nothing for longer
        """
        left = memoryview(data)
        while left:
            self.pause()
            share = self._throttle.share(_SEND)
            try:
                count = self._socket.send(left[:share])
            except TimeoutError:
                continue
            except (BrokenPipeError, ConnectionResetError):
                return
            left = left[count:]
            self._let_pass(count)
            self.allow(seconds)

    def makefile(self, *args: Any, **kwargs: Any) -> io.BufferedIOBase:
        """Give the file that http.client reads from."""
        return self.reader

    def close(self) -> None:
        """Do nothing: http.client closes before the body has been read."""

    def hang_up(self) -> None:
        """Close the connection."""
        self._socket.close()

    def has_more(self) -> bool:
        """Tell whether bytes come that should not, after the last one."""
        self.allow(endpoint.SLICE)
        try:
            return bool(self.reader.peek(1))
        except (Overdue, OSError, ValueError):
            return False


class Exchange(http.client.HTTPConnection):
    """One request and its answer over a wire that exists already."""

    def __init__(self, wire: Wire, target: rules.Target) -> None:
        """Prepare; the Host header is that of ``target``."""
        super().__init__(target.host, target.port)
        self.default_port = rules.DEFAULT_PORTS[target.scheme]
        self.sock: Any = wire

    def connect(self) -> None:
        """Refuse: a second connection would not have been checked."""
        raise http.client.NotConnected
