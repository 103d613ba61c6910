# SPDX-License-Identifier: Apache-2.0
"""http and https sources: one GET, redirects followed by our own rules."""

from collections.abc import Mapping
import contextlib
import http.client
from urllib import parse

from glance_tasks import exceptions
from glance_tasks import ports
from glance_tasks import redaction
from glance_tasks.transfer import answer
from glance_tasks.transfer import body
from glance_tasks.transfer import client
from glance_tasks.transfer import endpoint
from glance_tasks.transfer import http_destination
from glance_tasks.transfer import rules as fetch_rules

MAX_REDIRECTS = 5


class HttpEndpoint:
    """Opens http and https addresses. Shared between threads."""

    def __init__(
        self, rules: fetch_rules.FetchRules, web: client.HttpClient
    ) -> None:
        """Keep the rules and what asks by them; nobody is asked yet."""
        self._rules, self._client = rules, web

    def preflight(self, uri: str) -> None:
        """Check the address; no name is resolved."""
        self._rules.target(uri)

    def open(
        self,
        uri: str,
        offset: int,
        known: endpoint.Identity | None,
        stop: ports.StopSignal,
        credentials: endpoint.Credentials | None = None,
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

    def location(self, uri: str, name: str) -> str:
        """Give the address itself: it stands for one object."""
        return uri

    def preflight_send(
        self, uri: str, credentials: endpoint.Credentials | None
    ) -> None:
        """Check the address and the names of the credentials."""
        self._rules.target(uri)
        given = set(credentials or {})
        if given not in (set(), {"token"}, {"username", "password"}):
            raise exceptions.SendError(
                f"credentials with {', '.join(sorted(given))} are of no use"
                " for http; expected token, or username and password",
                code="destination_denied",
            )

    def destination(
        self, parcel: ports.Parcel
    ) -> http_destination.HttpDestination:
        """Give the object behind the address."""
        return http_destination.HttpDestination(
            parcel, self._rules, self._client
        )

    def _get(
        self, uri: str, wanted: Mapping[str, str], stop: ports.StopSignal
    ) -> body.HttpStream | None:
        """Ask for ``uri``; None when what was wanted of it makes no sense."""
        first = target = self._rules.target(uri)
        for _ in range(MAX_REDIRECTS + 1):
            headers = {**_headers(first, target), **wanted}
            request = self._client.begin("GET", target, headers, stop)
            with contextlib.ExitStack() as cleanup:
                cleanup.callback(request.close)
                response = request.answer()
                if response.status in answer.REDIRECTS:
                    target = self._follow(target, response)
                    continue
                head = _head(target.uri, response)
                if head is None:
                    return None
                cleanup.pop_all()
                return body.HttpStream(
                    target.uri, request.wire, response, head, self._rules
                )
        raise answer.invalid(uri, f"redirects more than {MAX_REDIRECTS} times")

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
    headers = {"Accept-Encoding": "identity"}
    if first.userinfo is not None and target.origin == first.origin:
        headers["Authorization"] = client.basic(first.userinfo)
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
