# SPDX-License-Identifier: Apache-2.0
"""S3 as botocore speaks it, over our own connections.

botocore writes the requests, signs them and reads the answers; it hands each
request to us before it would connect by itself, and gets the answer from us.
So every rule for the way out holds, redirects are checked like any other
address, and a large body goes from its buffer to the socket uncopied.
"""

from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import functools
import io
import itertools
import logging
import os
import threading
from typing import Any

import botocore
from botocore import awsrequest
from botocore import config
from botocore import configprovider
from botocore import exceptions as aws_errors
from botocore import session

from glance_tasks import ports
from glance_tasks.transfer import client
from glance_tasks.transfer import rules
from glance_tasks.transfer.s3 import access as s3_access
from glance_tasks.transfer.s3 import answer as s3_answer

#: Seconds for which a signed address may be asked for.
SIGNED_S = 900

# A listing that does not end after so many answers never will: it is 1,000
# entries an answer.
_MAX_PAGES = 100

# Ours say the same, or it is not for us to say.
_NOT_SENT = frozenset({"user-agent", "expect", "connection"})

# Answers that botocore takes for those of another region.
_MOVED = frozenset({301, 302, 307})

_CONFIG: Mapping[str, Any] = {
    # A signed address would have the older form in some regions.
    "signature_version": "s3v4",
    # Trying again is our callers'.
    "retries": {"mode": "standard", "total_max_attempts": 1},
    # Either would cost a pass over the bytes, and breaks against older
    # servers.
    "request_checksum_calculation": "when_required",
    "response_checksum_validation": "when_required",
    "use_fips_endpoint": False,
    "use_dualstack_endpoint": False,
    "ignore_configured_endpoint_urls": True,
}


class Piece(io.RawIOBase):
    """A view of a buffer as the file that botocore takes a body for.

    :ivar view: what is sent, without being read from here
    """

    def __init__(self, view: memoryview) -> None:
        """Keep a view; its buffer must not change until it is sent."""
        self.view = view
        self._at = 0

    def readable(self) -> bool:
        """Say yes."""
        return True

    def seekable(self) -> bool:
        """Say yes: botocore asks for the length by that."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move; see :class:`io.RawIOBase`."""
        starts = {os.SEEK_CUR: self._at, os.SEEK_END: len(self.view)}
        self._at = starts.get(whence, 0) + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Read; see :class:`io.RawIOBase`."""
        left = self.view[self._at : self._at + len(buffer)]
        buffer[: len(left)] = left
        self._at += len(left)
        return len(left)


class _Raw(io.BytesIO):
    """The body of an answer, as botocore reads one."""

    def stream(self) -> Iterator[bytes]:
        yield self.getvalue()


# botocore's sessions are not safe to share between threads.
_MAKING = threading.Lock()


def make(
    access: s3_access.Access, web: client.HttpClient, shown: str
) -> "S3Client":
    """Make a client for an access; nobody is asked. Takes 0.07 s.

    :param web: what asks
    :param shown: the address that errors are about
    :raises FetchError: when it cannot be made
    """
    login = {
        "aws_access_key_id": access.access_key,
        "aws_secret_access_key": access.secret_key,
        "aws_session_token": access.session_token,
    }
    with _MAKING:
        try:
            made = _session().create_client(
                "s3",
                region_name=access.region,
                endpoint_url=access.endpoint_url,
                config=_config(access),
                **(login if access.access_key else {}),
            )
        except (ValueError, aws_errors.BotoCoreError) as error:
            raise rules.refusal(
                "the credentials for s3:// have an endpoint_url or a region"
                " that botocore does not take"
            ) from error
    return S3Client(made, web, shown)


@functools.cache
def _session() -> Any:
    """Make a session that takes nothing from this process's surroundings.

    One for all: it holds the description of S3, which takes 0.2 s to load.

    The environment and the files of its account may name logins, endpoints
    and proxies of the operator's.
    """
    made = session.Session()
    settings = configprovider.ConfigValueStore()
    for name, (_, _, default, _) in made.session_var_map.items():
        settings.set_config_variable(name, default)
    for name in ("config_file", "credentials_file"):
        settings.set_config_variable(name, os.devnull)
    settings.set_config_variable("defaults_mode", "legacy")
    made.register_component("config_store", settings)
    talk = logging.getLogger("botocore")
    if talk.level == logging.NOTSET:
        # For DEBUG it logs what it signs, a session token among that.
        talk.setLevel(logging.INFO)
    return made


def _config(access: s3_access.Access) -> config.Config:
    nobody = {"signature_version": botocore.UNSIGNED}
    changes = {} if access.access_key else nobody
    style = access.addressing_style
    if style == "auto" and access.endpoint_url is None:
        # "auto" signs addresses for reading at s3.amazonaws.com, which knows
        # no younger regions.
        style = "virtual"
    return config.Config(
        **{**_CONFIG, **changes},
        s3={
            "addressing_style": style,
            # Signed by its Content-MD5, which is computed anyway, instead of
            # by its SHA-256, which would be one more pass.
            "payload_signing_enabled": False,
        },
    )


class S3Client:
    """One access to S3. Shared between threads."""

    def __init__(self, made: Any, web: client.HttpClient, shown: str) -> None:
        """Take over one of botocore's clients and its way out."""
        self._client, self._web, self._shown = made, web, shown
        self._asked = threading.local()
        made.meta.events.register_first("before-send.s3", self._send)

    def signed(self, address: s3_access.Address) -> str:
        """Give an http or https address that reads an object."""
        return str(
            self._client.generate_presigned_url(
                "get_object",
                Params={"Bucket": address.bucket, "Key": address.key},
                ExpiresIn=SIGNED_S,
            )
        )

    def call(
        self, operation: str, stop: ports.StopSignal, **asked: Any
    ) -> s3_answer.Answer:
        """Ask for one operation, such as ``head_object``; give its answer.

        :raises Refused: when S3 answers with an error
        :raises SendError: when the answer is none of S3's
        :raises Interrupted: when it is worth asking again
        :raises FetchError: when its address is not allowed
        """
        with self._asking(stop):
            found = getattr(self._client, operation)(**asked)
        return s3_answer.Answer(found, self._shown)

    def entries(
        self,
        operation: str,
        member: str,
        stop: ports.StopSignal,
        **asked: Any,
    ) -> list[s3_answer.Answer]:
        """Ask for a listing; give all entries of one of its members.

        :raises Refused: as :meth:`call`
        """
        with self._asking(stop):
            asking = self._client.get_paginator(operation).paginate(**asked)
            pages = list(itertools.islice(asking, _MAX_PAGES + 1))
        if len(pages) > _MAX_PAGES:
            raise s3_answer.invalid(
                self._shown, "answers with a list without an end"
            )
        return [
            s3_answer.Answer(entry, self._shown)
            for page in pages
            for entry in page.get(member, ())
        ]

    @contextlib.contextmanager
    def _asking(self, stop: ports.StopSignal) -> Iterator[None]:
        # botocore calls us back in this very thread.
        self._asked.stop, self._asked.status = stop, 0
        try:
            yield
        except aws_errors.ClientError as error:
            raise s3_answer.refusal(self._shown, error) from error
        except s3_answer.GARBLED as error:
            raise s3_answer.garbled(
                self._shown, self._asked.status, error
            ) from error
        finally:
            del self._asked.stop

    def _send(
        self, request: awsrequest.AWSPreparedRequest, **_: Any
    ) -> awsrequest.AWSResponse:
        body = request.body or b""
        reply = self._web.call(
            request.method,
            request.url,
            self._asked.stop,
            headers=_sent(request.headers),
            body=body.view if isinstance(body, Piece) else body,
        )
        self._asked.status = reply.status
        if (
            reply.status in _MOVED
            and "x-amz-bucket-region" not in reply.headers
        ):
            # botocore asks where the bucket is, is answered the same, asks.
            raise s3_answer.moved(self._shown, reply.status)
        return awsrequest.AWSResponse(
            request.url, reply.status, reply.headers, _Raw(reply.body)
        )


def _sent(headers: Mapping[str, str | bytes]) -> dict[str, str]:
    """Give the headers of botocore's that go out."""
    return {
        name: value.decode() if isinstance(value, bytes) else value
        for name, value in headers.items()
        if name.lower() not in _NOT_SENT
    }
