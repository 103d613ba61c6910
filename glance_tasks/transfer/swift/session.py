# SPDX-License-Identifier: Apache-2.0
"""Asking Swift for what is in one account, with a token kept fresh."""

from collections.abc import Mapping
import threading
from urllib import parse

from glance_tasks import ports
from glance_tasks import redaction
from glance_tasks.transfer import client
from glance_tasks.transfer import endpoint
from glance_tasks.transfer import rules as fetch_rules
from glance_tasks.transfer.swift import access as accesses
from glance_tasks.transfer.swift import login as logins


class Session:
    """Asks for what is in one account. Shared between threads."""

    def __init__(
        self,
        web: client.HttpClient,
        rules: fetch_rules.FetchRules,
        login: logins.Login,
        uri: str,
    ) -> None:
        """Keep the credentials; nobody is asked yet.

        :param rules: for http and https
        :param uri: the address that errors are about
        """
        self._web, self._rules, self._login = web, rules, login
        self._shown = redaction.plain_uri(uri)
        self._access: accesses.Access | None = None
        # Whoever waits for it waits for an answer that is waited for in
        # slices; a stop ends that one first, then this one.
        self._logging_in = threading.Lock()

    def call(
        self,
        method: str,
        path: str,
        stop: ports.StopSignal,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | memoryview = b"",
    ) -> client.Reply:
        """Ask, with a new token if the one at hand is no longer good.

        :param path: as :func:`path` gives it, with a query if there is one
        :returns: the answer, unless it is one of those raised
        :raises FetchError: ``source_denied``, when these credentials may not
        :raises Interrupted: when it is worth asking again
        """
        access = self._known(None, stop)
        reply = self._ask(access, method, path, stop, headers, body)
        if reply.status == 401:
            fresh = self._known(access, stop)
            if fresh != access:
                reply = self._ask(fresh, method, path, stop, headers, body)
        self._require_leave(method, path, reply.status)
        return reply

    def begin(
        self, path: str, headers: Mapping[str, str], stop: ports.StopSignal
    ) -> client.Request:
        """Ask for what lies at a path, to be read by the caller.

        In a session of its own the token is new, and not tried twice.
        """
        access = self._known(None, stop)
        target = self._rules.target(access.storage_url + path)
        given = {**headers, "X-Auth-Token": access.token}
        return self._web.begin("GET", target, given, stop)

    def _ask(
        self,
        access: accesses.Access,
        method: str,
        path: str,
        stop: ports.StopSignal,
        headers: Mapping[str, str] | None,
        body: bytes | memoryview,
    ) -> client.Reply:
        return self._web.call(
            method,
            access.storage_url + path,
            stop,
            headers={**(headers or {}), "X-Auth-Token": access.token},
            body=body,
        )

    def _known(
        self, refused: accesses.Access | None, stop: ports.StopSignal
    ) -> accesses.Access:
        """Give access, another one than was refused.

        Of several threads that were refused one logs in for all.
        """
        with self._logging_in:
            if self._access is None or self._access is refused:
                self._access = accesses.log_in(self._web, self._login, stop)
            return self._access

    def _require_leave(self, method: str, path: str, status: int) -> None:
        if status in (401, 403):
            container = parse.unquote(path.partition("?")[0].split("/")[1])
            raise logins.denied(
                f"{self._shown} answered {status} to {method} in the container"
                f" {container!r}; expected credentials with leave for that"
            )
        if accesses.passing(status):
            raise endpoint.Interrupted(
                f"{self._shown} answered {status} to {method}"
            )


def path(container: str, name: str = "", **query: str | int) -> str:
    """Give the path of a container, or of an object in it."""
    found = f"/{parse.quote(container, safe='')}"
    if name:
        found = f"{found}/{parse.quote(name)}"
    return f"{found}?{parse.urlencode(query)}" if query else found
