# SPDX-License-Identifier: Apache-2.0
"""The scheme ``swift://``: reads and writes OpenStack Swift."""

import contextlib
import dataclasses

from glance_tasks import ports
from glance_tasks.transfer import answer
from glance_tasks.transfer import body
from glance_tasks.transfer import client
from glance_tasks.transfer import endpoint
from glance_tasks.transfer import rules as fetch_rules
from glance_tasks.transfer.swift import address as addresses
from glance_tasks.transfer.swift import login as logins
from glance_tasks.transfer.swift import object as objects
from glance_tasks.transfer.swift import session as sessions


class SwiftEndpoint:
    """Opens and fills ``swift://`` addresses. Shared between threads.

    Fills in :class:`endpoint.Endpoint` and :class:`destination.Writable`.
    Tokens are kept as long as one upload, or one try to read, takes.
    """

    def __init__(
        self, rules: fetch_rules.FetchRules, web: client.HttpClient
    ) -> None:
        """Keep the rules and what asks by them; nobody is asked yet."""
        self._rules, self._web = rules, web

    # --- reading -------------------------------------------------------------

    def preflight(self, uri: str) -> None:
        """Check the address; see :class:`endpoint.Endpoint`."""
        addresses.parse_object(uri)

    def open(
        self,
        uri: str,
        offset: int,
        known: endpoint.Identity | None,
        stop: ports.StopSignal,
        credentials: endpoint.Credentials | None = None,
    ) -> body.HttpStream:
        """Ask for the object; see :class:`endpoint.Endpoint`."""
        session = self._session(uri, credentials)
        if offset and known and known.validator:
            # Swift knows no If-Range.
            wanted = {
                "Range": f"bytes={offset}-",
                "If-Match": known.validator,
            }
            stream = self._get(session, uri, wanted, stop)
            if stream and (
                not stream.offset
                or (stream.offset, stream.identity) == (offset, known)
            ):
                return stream
            if stream:
                stream.close()
        stream = self._get(session, uri, {}, stop)
        if stream is None or stream.offset:
            if stream:
                stream.close()
            raise answer.invalid(
                uri, "answers with a part of the object; expected all of it"
            )
        return stream

    def _get(
        self,
        session: sessions.Session,
        uri: str,
        wanted: dict[str, str],
        stop: ports.StopSignal,
    ) -> body.HttpStream | None:
        """Ask for the object; None when what was wanted is another one's."""
        address = addresses.parse_object(uri)
        request = session.begin(
            sessions.path(address.container, address.name),
            {"Accept-Encoding": "identity", **wanted},
            stop,
        )
        with contextlib.ExitStack() as cleanup:
            cleanup.callback(request.close)
            response = request.answer()
            if wanted and response.status in (412, 416):
                return None
            if response.status not in (200, 206):
                raise answer.failure(uri, response.status)
            head = answer.read(uri, response.status, response.headers)
            if head is None:
                return None
            head = _identified(head, response.headers.get("ETag", ""))
            cleanup.pop_all()
            return body.HttpStream(
                uri, request.wire, response, head, self._rules
            )

    # --- writing -------------------------------------------------------------

    def location(self, uri: str, name: str) -> str:
        """Give the address of an object under a prefix."""
        return addresses.join(uri, name)

    def preflight_send(
        self, uri: str, credentials: endpoint.Credentials | None
    ) -> None:
        """Check address and credentials."""
        addresses.parse_prefix(uri)
        logins.check(credentials, self._rules.web)

    def destination(self, parcel: ports.Parcel) -> objects.SwiftObject:
        """Give the object to be; nobody is asked yet."""
        if not isinstance(self._rules, fetch_rules.SendRules):
            raise TypeError("an endpoint that writes is made with SendRules")
        session = self._session(parcel.uri, parcel.credentials)
        return objects.SwiftObject(parcel, self._rules, session)

    def _session(
        self, uri: str, credentials: endpoint.Credentials | None
    ) -> sessions.Session:
        web = self._rules.web
        login = logins.check(credentials, web)
        return sessions.Session(self._web, web, login, uri)


def _identified(head: answer.Answer, etag: str) -> answer.Answer:
    """Take Swift's ETag for what it is.

    It is a digest of the content, without quotes where the object is plain.
    """
    tag = etag.strip().strip('"')
    if not (tag.isascii() and tag.isalnum()):
        return head
    identity = endpoint.Identity(f'"{tag}"', head.identity.length)
    return dataclasses.replace(head, identity=identity)
