# SPDX-License-Identifier: Apache-2.0
"""http and https sources: one GET, redirects followed by our own rules.

No proxy, cookie or .netrc of the environment has a part in it. http.client
is used without urllib3 over it, because connecting (to a checked address
only) and waiting (never long) are both ours; it is as fast, 2,300 MiB/s from
loopback here.
"""

import base64
from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import functools
import http.client
import math
import ssl
from urllib import parse

from glance_tasks import exceptions
from glance_tasks import ports
from glance_tasks import redaction
from glance_tasks.transfer import answer
from glance_tasks.transfer import body
from glance_tasks.transfer import connection
from glance_tasks.transfer import endpoint
from glance_tasks.transfer import resolution
from glance_tasks.transfer import rules as fetch_rules

MAX_REDIRECTS = 5


class HttpEndpoint:
    """Opens http and https addresses. Shared between threads."""

    def __init__(
        self, rules: fetch_rules.FetchRules, resolver: resolution.Resolver
    ) -> None:
        """Keep the rules; nobody is asked yet."""
        self._rules = rules
        self._dialer = resolution.Dialer(rules, resolver)

    @functools.cached_property
    def _context(self) -> ssl.SSLContext:
        # Reads the system's certificates, which takes 20 ms: once, and only
        # where https is used.
        return ssl.create_default_context()

    def preflight(self, uri: str) -> None:
        """Check the address; no name is resolved."""
        self._rules.target(uri)

    def open(
        self,
        uri: str,
        offset: int,
        known: endpoint.Identity | None,
        stop: ports.StopSignal,
    ) -> body.HttpStream:
        """Ask for the file; see :class:`endpoint.Endpoint`."""
        if offset and known and known.validator:
            wanted = {"Range": f"bytes={offset}-", "If-Range": known.validator}
            stream = self._get(uri, wanted, stop)
            if stream and _continues(stream, offset, known):
                return stream
            if stream:
                stream.close()
        stream = self._get(uri, {}, stop)
        if stream is None or stream.offset:
            if stream:
                stream.close()
            raise answer.invalid(
                uri, "answers with a part of the file; expected all of it"
            )
        return stream

    def _get(
        self, uri: str, wanted: Mapping[str, str], stop: ports.StopSignal
    ) -> body.HttpStream | None:
        """Ask for ``uri``; None when what was wanted of it makes no sense."""
        first = target = self._rules.target(uri)
        for _ in range(MAX_REDIRECTS + 1):
            headers = {**_headers(first, target), **wanted}
            wire, response = self._ask(target, headers, stop)
            with contextlib.ExitStack() as cleanup:
                cleanup.callback(wire.hang_up)
                if response.status in answer.REDIRECTS:
                    target = self._follow(target, response)
                    continue
                head = _head(target.uri, response)
                if head is None:
                    return None
                cleanup.pop_all()
                return body.HttpStream(
                    target.uri, wire, response, head, self._rules
                )
        raise answer.invalid(uri, f"redirects more than {MAX_REDIRECTS} times")

    def _ask(
        self,
        target: fetch_rules.Target,
        headers: Mapping[str, str],
        stop: ports.StopSignal,
    ) -> tuple[connection.Wire, http.client.HTTPResponse]:
        wire = connection.Wire(self._dialer.connect(target, stop), stop)
        with contextlib.ExitStack() as cleanup:
            cleanup.callback(wire.hang_up)
            with _in_words(target.uri, self._rules.read_timeout):
                wire.allow(self._rules.read_timeout)
                if target.scheme == "https":
                    wire.secure(self._context, target.host.rstrip("."))
                exchange = connection.Exchange(wire, target)
                exchange.request("GET", target.resource, headers=headers)
                response = exchange.getresponse()
                wire.budget = math.inf
            if wire.ended:
                # http.client takes the end of the connection for the end of
                # the head, which then lacks the length.
                raise _unanswered(target.uri)
            cleanup.pop_all()
        return wire, response

    def _follow(
        self, target: fetch_rules.Target, response: http.client.HTTPResponse
    ) -> fetch_rules.Target:
        location = response.headers.get("Location")
        if location is None:
            raise answer.invalid(target.uri, "redirects to nowhere")
        try:
            foreign_login = "@" in parse.urlsplit(location).netloc
            moved = self._rules.target(parse.urljoin(target.uri, location))
        except ValueError as error:
            raise answer.invalid(
                target.uri, "redirects to an address that is not valid"
            ) from error
        if (target.scheme, moved.scheme) == ("https", "http"):
            raise fetch_rules.refusal(
                f"{redaction.plain_uri(target.uri)} redirects from https to"
                " http; expected https"
            )
        if foreign_login:
            raise answer.invalid(
                target.uri, "redirects to an address that holds credentials"
            )
        return moved


def _headers(
    first: fetch_rules.Target, target: fetch_rules.Target
) -> dict[str, str]:
    headers = {
        "User-Agent": "glance-tasks",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Connection": "close",
    }
    if first.userinfo is not None and target.origin == first.origin:
        login = parse.unquote_to_bytes(first.userinfo)
        encoded = base64.b64encode(login).decode("ascii")
        headers["Authorization"] = f"Basic {encoded}"
    return headers


def _head(
    uri: str, response: http.client.HTTPResponse
) -> answer.Answer | None:
    if response.status == 416:
        return None
    if response.status not in (200, 206):
        raise answer.failure(uri, response.status)
    return answer.read(uri, response.status, response.headers)


def _continues(
    stream: body.HttpStream, offset: int, known: endpoint.Identity
) -> bool:
    """Tell whether a stream goes on with what is known, or starts anew."""
    if not stream.offset:
        return True
    found = stream.identity
    return (
        stream.offset == offset
        and found.validator in (None, known.validator)
        and (
            found.length == known.length
            or None in (found.length, known.length)
        )
    )


def _unanswered(uri: str) -> endpoint.Interrupted:
    return endpoint.Interrupted(
        f"{redaction.plain_uri(uri)} closed the connection without an answer"
    )


@contextlib.contextmanager
def _in_words(uri: str, timeout: float) -> Iterator[None]:
    """Say in our words what goes wrong until the head has come."""
    shown = redaction.plain_uri(uri)
    try:
        yield
    except connection.Overdue as error:
        raise connection.silence(uri, timeout) from error
    except ssl.SSLCertVerificationError as error:
        raise exceptions.FetchError(
            f"{shown} shows a certificate that is not valid for it:"
            f" {error.verify_message}"
        ) from error
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
        raise _unanswered(uri) from error
    except ssl.SSLError as error:
        raise exceptions.FetchError(
            f"{shown} does not speak TLS as we do"
        ) from error
    except OSError as error:
        raise _unanswered(uri) from error
    except connection.Overlong as error:
        raise answer.invalid(
            uri, f"sends a head of more than {connection.MAX_HEAD} bytes"
        ) from error
    except http.client.HTTPException as error:
        raise answer.invalid(uri, "does not answer as HTTP demands") from error
