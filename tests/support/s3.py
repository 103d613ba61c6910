# SPDX-License-Identifier: Apache-2.0
"""Buckets to send to, and sending that a test can meddle with.

Beside moto's server any S3 can be tested that GLANCE_TASKS_S3 names, as
``URL ACCESS_KEY SECRET_KEY``; whoever sets it knows that it may be written to.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import dataclasses
import hashlib
import os
import pathlib
import secrets
from typing import Any
from urllib import parse

import pytest

from glance_tasks import exceptions
from glance_tasks import ports
from glance_tasks.testing import doubles
from glance_tasks.testing import s3_server
from glance_tasks.testing import servers
from glance_tasks.transfer import client
from glance_tasks.transfer import fetcher
from glance_tasks.transfer import patience
from glance_tasks.transfer import resolution
from glance_tasks.transfer import rules
from glance_tasks.transfer import sender
from glance_tasks.transfer.s3 import access as s3_access
from glance_tasks.transfer.s3 import client as s3_client
from glance_tasks.transfer.s3 import scheme

TOKEN = "6d0c4f6e"
PART = 5 << 20

#: Answers a request; ``ask`` gives what the server says.
Alter = Callable[["Asked", Callable[[], client.Reply]], client.Reply]


def allowing(**changes: Any) -> rules.SendRules:
    """Give rules that allow the loopback, with the smallest parts."""
    given: dict[str, Any] = {
        "schemes": ("s3",),
        "ports": (),
        "networks": ("127.0.0.0/8",),
        "chunk_size": PART,
        "parts_at_once": 2,
    }
    return rules.SendRules(**{**given, **changes})


@dataclasses.dataclass(frozen=True)
class Asked:
    """A request on its way to the server.

    :ivar query: of its address, the last of each name
    """

    method: str
    host: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]

    @property
    def part(self) -> int | None:
        """The number of the part it sends, if it does."""
        number = self.query.get("partNumber")
        return int(number) if number and self.method == "PUT" else None


class Altered(client.HttpClient):
    """What asks, with answers that a test alters."""

    def __init__(self, web: client.HttpClient, alter: Alter) -> None:
        """Pass on what ``alter`` does not answer by itself."""
        self._web, self._alter = web, alter

    def call(
        self,
        method: str,
        uri: str,
        stop: ports.StopSignal,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | memoryview = b"",
    ) -> client.Reply:
        """Let the test answer."""
        found = parse.urlsplit(uri)
        query = dict(parse.parse_qsl(found.query, keep_blank_values=True))
        return self._alter(
            Asked(method, found.netloc, found.path, query, headers or {}),
            lambda: self._web.call(
                method, uri, stop, headers=headers, body=body
            ),
        )


def endpoint(alter: Alter) -> Callable[..., scheme.S3Endpoint]:
    """Give a factory of endpoints whose answers are altered."""
    return lambda rules, web: scheme.S3Endpoint(rules, Altered(web, alter))


def send(
    parcel: ports.Parcel,
    path: pathlib.Path,
    *,
    alter: Alter = lambda asked, ask: ask(),
    allowed: rules.SendRules | None = None,
    **changes: Any,
) -> ports.Sent:
    """Send a file."""
    given: dict[str, Any] = {
        "stop": doubles.NeverStop(),
        "progress": doubles.RecordingProgress(),
        "fence": doubles.OpenFence(),
    }
    factories = {"s3": endpoint(alter)}
    return sender.GuardedSender(
        allowed or allowing(), factories=factories
    ).send(parcel, path, **{**given, **changes})


def fails(
    parcel: ports.Parcel, path: pathlib.Path, code: str, **changes: Any
) -> str:
    """Send a file, which must fail with a code; give the text."""
    with pytest.raises(exceptions.SendError) as caught:
        send(parcel, path, **changes)
    assert caught.value.code == code, caught.value
    return str(caught.value)


def remove(
    parcel: ports.Parcel, *, alter: Alter = lambda asked, ask: ask()
) -> None:
    """Remove what was sent."""
    factories = {"s3": endpoint(alter)}
    sender.GuardedSender(allowing(), factories=factories).remove(
        parcel, stop=doubles.NeverStop()
    )


def fetch(
    uri: str,
    path: pathlib.Path,
    credentials: Mapping[str, Any],
    **changes: Any,
) -> ports.Fetched:
    """Fetch an object."""
    given: dict[str, Any] = {
        "stop": doubles.NeverStop(),
        "progress": doubles.RecordingProgress(),
    }
    return fetcher.GuardedFetcher(
        allowing(chunk_size=1 << 20), factories={"s3": scheme.S3Endpoint}
    ).fetch(
        uri,
        path,
        algorithms=("md5",),
        max_bytes=1 << 40,
        credentials=credentials,
        **{**given, **changes},
    )


class Bucket:
    """A bucket of its own, and what somebody else sees in it."""

    def __init__(self, credentials: Mapping[str, str]) -> None:
        """Make it."""
        self.credentials, self.name = credentials, f"b{secrets.token_hex(8)}"
        allowed = allowing()
        web = client.HttpClient(allowed.web, resolution.system)
        self._client = s3_client.make(
            s3_access.Access.of(credentials, allowed), web, "the bucket"
        )
        self.ask("create_bucket")

    def ask(self, operation: str, **asked: Any) -> Mapping[str, Any]:
        """Ask for an operation on it."""
        return self._client.call(
            operation, doubles.NeverStop(), Bucket=self.name, **asked
        )

    def parcel(
        self, path: pathlib.Path, name: str = f"disk-{TOKEN}", **changes: Any
    ) -> ports.Parcel:
        """Give what is to be sent under the prefix ``out``."""
        given: dict[str, Any] = {
            "token": TOKEN,
            "size": path.stat().st_size,
            "md5": md5(path),
            "credentials": self.credentials,
        }
        uri = f"s3://{self.name}/out/{parse.quote(name)}"
        return ports.Parcel(uri=uri, **{**given, **changes})

    def objects(self) -> dict[str, int]:
        """Give the sizes of all objects, by key."""
        found = self.ask("list_objects_v2").get("Contents", ())
        return {entry["Key"]: entry["Size"] for entry in found}

    def uploads(self) -> list[str]:
        """Give the keys of all open uploads."""
        found = self.ask("list_multipart_uploads").get("Uploads", ())
        return [entry["Key"] for entry in found]

    def open_parts(self) -> dict[int, int]:
        """Give the sizes of the parts of the only open upload."""
        (upload,) = self.ask("list_multipart_uploads")["Uploads"]
        asked = {"Key": upload["Key"], "UploadId": upload["UploadId"]}
        found = self.ask("list_parts", **asked).get("Parts", ())
        return {entry["PartNumber"]: entry["Size"] for entry in found}

    def others(self, name: str = f"disk-{TOKEN}") -> None:
        """Put somebody else's object there."""
        body = s3_client.Piece(memoryview(b"precious"))
        self.ask("put_object", Key=f"out/{name}", Body=body)


def md5(path: pathlib.Path) -> str:
    """Give the digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


@contextlib.contextmanager
def running() -> Iterator[Mapping[str, str]]:
    """Give the credentials of a server that runs for the block.

    Where it is not installed the test is skipped, and fails with CI=true.
    """
    if given := os.environ.get("GLANCE_TASKS_S3"):
        names = ("endpoint_url", "access_key", "secret_key")
        yield dict(zip(names, given.split(), strict=True))
        return
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(s3_server.S3Server())
        except servers.ServerAbsent as error:
            if os.environ.get("CI") == "true":
                pytest.fail(f"S3 cannot be tested: {error}")
            pytest.skip(f"S3 cannot be tested: {error}")
        yield server.credentials


@pytest.fixture(scope="module")
def s3_credentials() -> Iterator[Mapping[str, str]]:
    """Give the credentials of a server that a module's tests share."""
    with running() as credentials:
        yield credentials


@pytest.fixture
def bucket(s3_credentials: Mapping[str, str]) -> Bucket:
    """Give an empty bucket."""
    return Bucket(s3_credentials)


@pytest.fixture
def small(tmp_path: pathlib.Path) -> pathlib.Path:
    """Give a file that is sent at once."""
    path = tmp_path / "small"
    path.write_bytes(os.urandom(1000))
    return path


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Give a file of three parts, which nobody writes to."""
    path = tmp_path_factory.mktemp("large") / "disk"
    path.write_bytes(os.urandom(2 * PART + 7))
    return path


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody wait before asking again."""
    monkeypatch.setattr(patience, "_PAUSES_S", (0.0,) * 5)
