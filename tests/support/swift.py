# SPDX-License-Identifier: Apache-2.0
"""A real Swift for the tests, and what they ask it beside the endpoint."""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import hashlib
import json
import os
import pathlib
from typing import Any
import urllib.error
import urllib.request
import uuid

import pytest

from glance_tasks import ports
from glance_tasks.testing import doubles
from glance_tasks.testing import servers
from glance_tasks.testing import swift_server
from glance_tasks.transfer import client
from glance_tasks.transfer import rules
from glance_tasks.transfer import sender
from glance_tasks.transfer.swift import scheme

#: The smallest parts there may be.
PART = rules.MIN_CHUNK

FACTORIES = {"swift": scheme.SwiftEndpoint}


@pytest.fixture(scope="session")
def swift() -> Iterator[swift_server.SwiftServer]:
    """Give the Swift server of this session, shared by its tests.

    Where it is not installed the test is skipped, and fails with CI=true.
    """
    with running() as server:
        yield server


@contextlib.contextmanager
def running() -> Iterator[swift_server.SwiftServer]:
    """Run a Swift server for the block; see :func:`swift`."""
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(swift_server.running())
        except servers.ServerAbsent as error:
            absent = f"Swift cannot be tested: {error}"
            if os.environ.get("CI") == "true":
                pytest.fail(absent)
            pytest.skip(absent)
        yield server


class Account:
    """What lies in the account, seen by other means than the endpoint's."""

    def __init__(self, server: swift_server.SwiftServer) -> None:
        """Log in."""
        self._url, self._token = server.access()

    def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Ask; gives the status, the headers and the body."""
        given = {
            name.replace("_", "-"): text for name, text in headers.items()
        }
        wanted = urllib.request.Request(
            f"{self._url}{path}",
            body,
            {**given, "X-Auth-Token": self._token},
            method=method,
        )
        try:
            with urllib.request.urlopen(wanted, timeout=60) as reply:
                return reply.status, reply.headers, reply.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, error.read()

    def container(self) -> str:
        """Make an empty container; gives its name."""
        name = f"c{uuid.uuid4().hex}"
        assert self.ask("PUT", f"/{name}")[0] == 201
        return name

    def containers(self) -> set[str]:
        """Give the names of all containers."""
        return {entry["name"] for entry in self._listing("")}

    def objects(self, container: str) -> dict[str, int]:
        """Give the sizes of the objects in a container, by name."""
        listing = self._listing(f"/{container}")
        return {entry["name"]: entry["bytes"] for entry in listing}

    def md5(self, path: str) -> str:
        """Read an object; gives the digest of what came."""
        status, _, content = self.ask("GET", path)
        assert status == 200
        return hashlib.md5(content, usedforsecurity=False).hexdigest()

    def _listing(self, path: str) -> list[dict[str, Any]]:
        status, _, body = self.ask("GET", f"{path}?format=json")
        return json.loads(body) if status == 200 else []


def allowing(**changes: Any) -> rules.SendRules:
    """Give rules under which loopback is allowed, with small parts."""
    defaults: dict[str, Any] = {
        "schemes": ("swift",),
        "ports": (),
        "networks": ("127.0.0.0/8",),
        "chunk_size": PART,
    }
    return rules.SendRules(**{**defaults, **changes})


def sending(**changes: Any) -> sender.GuardedSender:
    """Give what sends to loopback; ``changes`` are fields of the rules."""
    return sender.GuardedSender(allowing(**changes), factories=FACTORIES)


def parcel(
    uri: str,
    path: pathlib.Path,
    credentials: Mapping[str, Any],
    *,
    token: str = "task-1",
    overwrite: bool = False,
) -> ports.Parcel:
    """Describe a file that is to be sent."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "md5").hexdigest()
    return ports.Parcel(
        uri=uri,
        token=token,
        size=path.stat().st_size,
        md5=digest,
        overwrite=overwrite,
        credentials=credentials,
    )


def send(
    wanted: ports.Parcel,
    path: pathlib.Path,
    *,
    stop: ports.StopSignal | None = None,
    fence: ports.Fence | None = None,
    **changes: Any,
) -> ports.Sent:
    """Send a file; ``changes`` are fields of the rules."""
    return sending(**changes).send(
        wanted,
        path,
        stop=stop or doubles.NeverStop(),
        progress=doubles.RecordingProgress(),
        fence=fence or doubles.OpenFence(),
    )


def remove(wanted: ports.Parcel, **changes: Any) -> None:
    """Remove what was sent; ``changes`` are fields of the rules."""
    sending(**changes).remove(wanted, stop=doubles.NeverStop())


class Altered(client.HttpClient):
    """What asks, with answers that a test alters.

    ``alter`` is given the method, the address, and what asks in truth, which
    has the headers that are sent.
    """

    def __init__(self, web: client.HttpClient, alter: Callable[..., Any]):
        """Ask through ``web``."""
        self._web, self._alter = web, alter

    def call(
        self, method: str, uri: str, stop: ports.StopSignal, **words: Any
    ) -> client.Reply:
        """Ask, or do what the test does instead."""

        def ask() -> client.Reply:
            return self._web.call(method, uri, stop, **words)

        ask.headers = words.get("headers", {})  # type: ignore[attr-defined]
        reply: client.Reply = self._alter(method, uri, ask)
        return reply


def altered(alter: Callable[..., Any]) -> sender.GuardedSender:
    """Give what sends to loopback, with answers that are altered."""

    def factory(
        given: rules.FetchRules, web: client.HttpClient
    ) -> scheme.SwiftEndpoint:
        return scheme.SwiftEndpoint(given, Altered(web, alter))

    return sender.GuardedSender(allowing(), factories={"swift": factory})


def send_altered(
    alter: Callable[..., Any], wanted: ports.Parcel, path: pathlib.Path
) -> ports.Sent:
    """Send a file, with answers that are altered."""
    return altered(alter).send(
        wanted,
        path,
        stop=doubles.NeverStop(),
        progress=doubles.RecordingProgress(),
        fence=doubles.OpenFence(),
    )
