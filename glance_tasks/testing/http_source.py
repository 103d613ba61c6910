# SPDX-License-Identifier: Apache-2.0
"""A real HTTP/1.1 server whose resources misbehave as they are told to.

It keeps an account of every request: which bytes were asked for, and how many
were handed to the kernel.
"""

import base64
from collections.abc import Iterator
import dataclasses
import http.server
import itertools
import pathlib
import re
import socket
import ssl
import sys
import threading
import time
import types
from typing import Any
from typing import Self

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_PIECE = 64 << 10


@dataclasses.dataclass
class Resource:
    """How one path is answered. It may be changed between requests.

    :ivar body: the bytes, or the file that holds them
    :ivar etag: sent with the body, and compared with ``If-Range``
    :ivar status: answered when nothing else here decides it
    :ivar statuses: answered first, one a request, before all else
    :ivar last_modified: HTTP date; the answer's own date is always now
    :ivar location: where to redirect to, with ``status``
    :ivar login: ``user:password`` that must be given
    :ivar ranges: whether parts may be asked for
    :ivar content_range: sent with a part instead of the true one
    :ivar chunked: whether the body comes in chunks, without its length
    :ivar length: sent as Content-Length instead of the true one
    :ivar surplus: sent behind the body
    :ivar headers: sent besides those that the rest makes
    :ivar raw: sent instead of everything else
    :ivar drip: sent behind ``raw`` for ever, a hundred times a second
    :ivar rate: bytes per second; None as fast as it goes
    :ivar cut_after: bytes of a body after which the connection is cut
    :ivar cuts: how many answers are cut; None cuts all
    :ivar stall_after: bytes of a body after which nothing more comes
    :ivar then: what takes its place after one request
    :ivar endless: whether the body is repeated for ever, in chunks
    """

    body: bytes | pathlib.Path = b""
    etag: str | None = '"1"'
    last_modified: str | None = None
    status: int = 200
    statuses: list[int] = dataclasses.field(default_factory=list)
    location: str | None = None
    login: str | None = None
    ranges: bool = True
    content_range: str | None = None
    chunked: bool = False
    length: int | None = None
    surplus: bytes = b""
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    raw: bytes | None = None
    drip: bytes = b""
    rate: int | None = None
    cut_after: int | None = None
    cuts: int | None = None
    stall_after: int | None = None
    endless: bool = False
    then: "Resource | None" = None

    @property
    def size(self) -> int:
        """Bytes of the body."""
        if isinstance(self.body, bytes):
            return len(self.body)
        return self.body.stat().st_size

    @property
    def is_plain(self) -> bool:
        """Whether the kernel can send the body by itself."""
        odd = (self.rate, self.cut_after, self.stall_after)
        return (
            isinstance(self.body, pathlib.Path)
            and all(value is None for value in odd)
            and not (self.chunked or self.endless or self.surplus)
        )


@dataclasses.dataclass
class Request:
    """One request and what became of it.

    :ivar start: the first byte of the body that was sent
    :ivar sent: bytes of the body that the kernel took
    """

    path: str
    headers: dict[str, str]
    status: int = 0
    start: int = 0
    sent: int = 0


class _Cut(Exception):
    pass


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "_Server"

    def do_GET(self) -> None:
        headers = {name.lower(): text for name, text in self.headers.items()}
        request = Request(self.path, headers)
        self.server.requests.append(request)
        found = self.server.resources.get(self.path, Resource(status=404))
        if found.then is not None:
            self.server.resources[self.path] = found.then
        try:
            self._answer(request, found)
        except (OSError, _Cut):
            self.close_connection = True

    def _answer(self, request: Request, found: Resource) -> None:
        if found.raw is not None:
            self.wfile.write(found.raw)
            self.close_connection = True
            while found.drip and not self.server.closing.wait(0.01):
                self.wfile.write(found.drip)
            return
        request.status = self._status(request, found)
        if request.status not in (200, 206):
            self.send_response(request.status)
            if found.location is not None:
                self.send_header("Location", found.location)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self._send_head(request, found)
        self._send_body(request, found)

    def _status(self, request: Request, found: Resource) -> int:
        if found.statuses:
            return found.statuses.pop(0)
        if found.login is not None and not self._knows(request, found.login):
            return 401
        asked = _RANGE.fullmatch(request.headers.get("range", ""))
        condition = request.headers.get("if-range")
        current = condition in (None, found.etag, found.last_modified)
        if found.status != 200 or not (asked and found.ranges and current):
            return found.status
        request.start = int(asked[1])
        return 206 if request.start < found.size else 416

    @staticmethod
    def _knows(request: Request, login: str) -> bool:
        expected = base64.b64encode(login.encode()).decode()
        return request.headers.get("authorization") == f"Basic {expected}"

    def _send_head(self, request: Request, found: Resource) -> None:
        size = found.size
        self.send_response(request.status)
        for name, text in found.headers.items():
            self.send_header(name, text)
        if found.etag is not None:
            self.send_header("ETag", found.etag)
        if found.last_modified is not None:
            self.send_header("Last-Modified", found.last_modified)
        if request.status == 206:
            true = f"bytes {request.start}-{size - 1}/{size}"
            self.send_header("Content-Range", found.content_range or true)
        if found.chunked or found.endless:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            length = size - request.start
            stated = length if found.length is None else found.length
            self.send_header("Content-Length", str(stated))
        self.end_headers()

    def _send_body(self, request: Request, found: Resource) -> None:
        if found.is_plain:
            with open(str(found.body), "rb") as file:
                request.sent = self.connection.sendfile(file, request.start)
            return
        if found.rate is not None:
            # What the kernel would buffer is not sent at that rate.
            self.connection.setsockopt(
                socket.SOL_SOCKET, socket.SO_SNDBUF, _PIECE
            )
        began = time.monotonic()
        for piece in self._pieces(request, found):
            self._send(piece, found)
            request.sent += len(piece)
            if found.rate is not None:
                due = began + request.sent / found.rate
                self.server.closing.wait(max(0.0, due - time.monotonic()))
        if found.chunked:
            self.wfile.write(b"0\r\n\r\n")
        if found.surplus:
            self.wfile.write(found.surplus)

    def _pieces(self, request: Request, found: Resource) -> Iterator[bytes]:
        left = found.cut_after
        if left is not None and found.cuts is not None:
            if found.cuts == 0:
                left = None
            else:
                found.cuts -= 1
        stall = found.stall_after
        for piece in self._whole_pieces(request.start, found):
            if stall is not None and request.sent + len(piece) > stall:
                yield piece[: stall - request.sent]
                self.server.stalled.set()
                self.server.closing.wait()
                raise _Cut
            if left is not None and request.sent + len(piece) > left:
                yield piece[: left - request.sent]
                raise _Cut
            yield piece

    def _whole_pieces(self, start: int, found: Resource) -> Iterator[bytes]:
        body = found.body
        if not isinstance(body, bytes):
            with open(body, "rb") as file:
                file.seek(start)
                while piece := file.read(_PIECE):
                    yield piece
            return
        for _ in itertools.count() if found.endless else range(1):
            for offset in range(start, len(body), _PIECE):
                yield body[offset : offset + _PIECE]

    def _send(self, piece: bytes, found: Resource) -> None:
        if found.chunked or found.endless:
            piece = b"%x\r\n%s\r\n" % (len(piece), piece)
        self.connection.sendall(piece)

    def log_message(self, *args: Any) -> None:
        """Keep the tests' output free of the server's log."""


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 64

    def __init__(self, address: tuple[str, int]) -> None:
        self.resources: dict[str, Resource] = {}
        self.requests: list[Request] = []
        self.closing = threading.Event()
        self.stalled = threading.Event()
        super().__init__(address, _Handler)

    def handle_error(self, *args: Any) -> None:
        """Ignore clients that went away; the tests look at the account."""


class HttpSource:
    """The server; a context that runs it on a free port of loopback.

    :ivar port: where it listens
    :ivar requests: all there were, in their order
    :ivar stalled: set when a resource has begun to stall
    """

    def __init__(
        self,
        tls: ssl.SSLContext | None = None,
        port: int = 0,
        host: str = "127.0.0.1",
    ) -> None:
        """Bind; requests are answered inside the context."""
        self._server = _Server((host, port))
        self._scheme, self._host = "https" if tls else "http", host
        if tls is not None:
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True
            )
        self.port = int(self._server.server_address[1])
        self.requests = self._server.requests
        self.stalled = self._server.stalled
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="source"
        )

    def put(self, path: str, resource: Resource) -> str:
        """Answer ``path`` so from now on; gives its address."""
        self._server.resources[path] = resource
        return self.url(path)

    def url(self, path: str, host: str | None = None) -> str:
        """Give the address of ``path``, by another name of ours if given."""
        return f"{self._scheme}://{host or self._host}:{self.port}{path}"

    @property
    def sent(self) -> int:
        """Bytes of bodies sent so far, for all requests together."""
        return sum(request.sent for request in self.requests)

    def asked_again(self, path: str) -> list[int]:
        """Give, per request but the first, the bytes sent to an earlier one.

        :returns: how far the request before had come, less where this began
        """
        asked = [r for r in self.requests if r.path == path]
        return [
            max(0, before.start + before.sent - after.start)
            for before, after in itertools.pairwise(asked)
        ]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: types.TracebackType | None,
    ) -> None:
        self._server.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def main() -> None:
    """Serve the file named on the command line until standard input ends."""
    with HttpSource() as source:
        file = pathlib.Path(sys.argv[1])
        print(source.put(f"/{file.name}", Resource(file)), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
