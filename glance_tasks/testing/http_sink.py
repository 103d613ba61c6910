# SPDX-License-Identifier: Apache-2.0
"""A real HTTP server that takes what is PUT, and lies as it is told to."""

import dataclasses
import hashlib
import http.server
import itertools
import threading
import types
from typing import Any
from typing import Self

_PIECE = 64 << 10
_MARK = "X-Object-Meta-Glance-Task"


@dataclasses.dataclass
class Taken:
    """What one path holds.

    :ivar mark: what the sender said of itself
    """

    body: bytes
    mark: str | None

    @property
    def etag(self) -> str:
        """The MD5 of the bytes, as most servers tell it."""
        return hashlib.md5(self.body, usedforsecurity=False).hexdigest()


@dataclasses.dataclass
class Manners:
    """How the server behaves. It may be changed between requests.

    :ivar statuses: answered first, one a request, before all else
    :ivar methods: those that are allowed; others are answered 403
    :ivar etag: told instead of the true one; empty tells none
    :ivar loses: bytes at the end that are not kept
    :ivar forgets: whether what is PUT is gone at once
    :ivar keeps_marks: whether the sender's mark is told again
    :ivar cut_after: bytes of a body after which the connection is cut
    :ivar login: the Authorization that must come
    """

    statuses: list[int] = dataclasses.field(default_factory=list)
    methods: frozenset[str] = frozenset({"PUT", "HEAD", "DELETE"})
    etag: str | None = None
    loses: int = 0
    forgets: bool = False
    keeps_marks: bool = True
    cut_after: int | None = None
    login: str | None = None


class HttpSink:
    """The server; a context manager. Safe to look at from any thread.

    :ivar objects: what it holds, by path
    :ivar manners: how it behaves
    :ivar requests: ``METHOD path`` of every one so far
    """

    def __init__(self) -> None:
        """Listen on a free port of the loopback."""
        self.objects: dict[str, Taken] = {}
        self.manners = Manners()
        self.requests: list[str] = []
        sink = self

        class Handler(_Handler):
            owner = sink

        self._server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), Handler
        )
        self._server.daemon_threads = True

    def uri(self, path: str) -> str:
        """Give the address of a path."""
        return f"http://127.0.0.1:{self._server.server_port}{path}"

    def __enter__(self) -> Self:
        """Begin to answer."""
        threading.Thread(
            target=self._server.serve_forever,
            args=(0.02,),
            name="http sink",
            daemon=True,
        ).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: types.TracebackType | None,
    ) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: HttpSink

    def do_PUT(self) -> None:
        length = int(self.headers["Content-Length"])
        manners = self.owner.manners
        body = self._read(length, manners.cut_after)
        if len(body) < length or self._is_refused():
            return
        held = self.owner.objects
        if self.headers["If-None-Match"] == "*" and self.path in held:
            self._answer(412)
            return
        mark = self.headers[_MARK] if manners.keeps_marks else None
        taken = Taken(body[: length - manners.loses], mark)
        if not manners.forgets:
            held[self.path] = taken
        self._answer(201, self._told(taken))

    def do_HEAD(self) -> None:
        self._of_object()

    def do_DELETE(self) -> None:
        found = self._of_object()
        if found is not None:
            del self.owner.objects[self.path]

    def _of_object(self) -> Taken | None:
        if self._is_refused():
            return None
        found = self.owner.objects.get(self.path)
        if found is None:
            self._answer(404)
            return None
        length = len(found.body) if self.command == "HEAD" else 0
        self._answer(200, self._told(found), length)
        return found

    def _read(self, length: int, cut_after: int | None) -> bytes:
        most = length if cut_after is None else min(length, cut_after)
        pieces = []
        while most:
            piece = self.rfile.read(min(_PIECE, most))
            if not piece:
                break
            pieces.append(piece)
            most -= len(piece)
        if cut_after is not None and cut_after < length:
            self.close_connection = True
        return b"".join(pieces)

    def _is_refused(self) -> bool:
        self.owner.requests.append(f"{self.command} {self.path}")
        manners = self.owner.manners
        if manners.statuses:
            self._answer(manners.statuses.pop(0))
        elif self.command not in manners.methods:
            self._answer(403)
        elif manners.login not in (None, self.headers["Authorization"]):
            self._answer(401)
        else:
            return False
        return True

    def _told(self, taken: Taken) -> dict[str, str]:
        told = self.owner.manners.etag
        headers = {"ETag": f'"{taken.etag if told is None else told}"'}
        if taken.mark is not None:
            headers[_MARK] = taken.mark
        return headers

    def _answer(
        self,
        status: int,
        headers: dict[str, str] | None = None,
        length: int = 0,
    ) -> None:
        self.send_response(status)
        for name, value in itertools.chain(
            (headers or {}).items(), [("Content-Length", str(length))]
        ):
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        """Say nothing."""
