# SPDX-License-Identifier: Apache-2.0
"""A double of what Swift's clients ask of Keystone: a login, a catalogue."""

from collections.abc import Mapping
import http.server
import json
import threading
import types
from typing import Any
from typing import Self


class Keystone(http.server.ThreadingHTTPServer):
    """The double; a context that runs it on a free port of loopback.

    :ivar identity: that a login must have, as Keystone's version 3 has it
    :ivar storage_url: that the catalogue has, in the region ``north``
    :ivar tokens: handed out in this order; the last one again and again
    :ivar asked: what was asked, in its order
    """

    def __init__(
        self,
        identity: Mapping[str, Any],
        storage_url: str,
        tokens: list[str],
    ) -> None:
        """Bind; logins are answered inside the context."""
        super().__init__(("127.0.0.1", 0), _Handler)
        self.identity, self.storage_url = identity, storage_url
        self.tokens = tokens
        self.asked: list[Any] = []
        self._thread = threading.Thread(
            target=self.serve_forever, args=(0.05,), name="keystone"
        )

    @property
    def auth_url(self) -> str:
        """Where to log in."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def catalogue(self) -> list[dict[str, Any]]:
        """The services, with wrong endpoints before the right one."""
        elsewhere = "http://127.0.0.1:1/elsewhere"
        places = [
            {"interface": "public", "region": "south", "url": elsewhere},
            {"interface": "admin", "region": "north", "url": elsewhere},
            {
                "interface": "public",
                "region": "north",
                "url": self.storage_url,
            },
        ]
        image = {"interface": "public", "region": "north", "url": elsewhere}
        return [
            {"type": "image", "endpoints": [image]},
            {"type": "object-store", "endpoints": places},
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
        self.shutdown()
        self.server_close()
        self._thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Keystone

    def do_POST(self) -> None:
        """Answer a login."""
        size = int(self.headers["Content-Length"])
        asked = json.loads(self.rfile.read(size))
        self.server.asked.append(asked)
        if self.path != "/v3/auth/tokens":
            return self._answer(404, {})
        if asked["auth"]["identity"] != self.server.identity:
            return self._answer(401, {})
        tokens = self.server.tokens
        token = tokens.pop(0) if len(tokens) > 1 else tokens[0]
        found = {"token": {"catalog": self.server.catalogue}}
        return self._answer(201, found, {"X-Subject-Token": token})

    def _answer(
        self,
        status: int,
        found: Mapping[str, Any],
        headers: Mapping[str, str] | None = None,
    ) -> None:
        body = json.dumps(found).encode()
        self.send_response(status)
        for name, text in (headers or {}).items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Keep the tests' output free of the server's log."""
