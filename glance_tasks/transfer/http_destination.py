# SPDX-License-Identifier: Apache-2.0
"""An object behind an address that takes one PUT, such as a temporary URL.

Its bytes go out over one connection in their order: what is cut begins anew.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import re

from glance_tasks import exceptions
from glance_tasks import ports
from glance_tasks import redaction
from glance_tasks.transfer import client
from glance_tasks.transfer import destination
from glance_tasks.transfer import endpoint
from glance_tasks.transfer import rules as fetch_rules

# Bytes read, hashed and sent at once, at most.
_PIECE = 8 << 20

# Swift keeps it, and tells it when it is asked; others ignore it.
_MARK = "X-Object-Meta-Glance-Task"
_MD5 = re.compile(r"[0-9a-f]{32}")

_DENIED = frozenset({401, 403})
_NONE = frozenset({404, 410})
_TAKEN = frozenset({200, 201, 204})
_FULL = frozenset({413, 507})
_PASSING = frozenset({408, 425, 429})


class HttpDestination:
    """One PUT; see :class:`destination.Destination`. For one thread."""

    # The pieces of one body have an order, and nobody compares their digests.
    algorithm = "sha256"
    width = 1

    def __init__(
        self,
        parcel: ports.Parcel,
        rules: fetch_rules.FetchRules,
        web: client.HttpClient,
    ) -> None:
        """Prepare; nobody is asked yet.

        :raises FetchError: when the address is refused
        """
        self._parcel, self._web = parcel, web
        self.part_size = min(_PIECE, rules.chunk_size)
        self._shown = redaction.plain_uri(parcel.uri)
        self._target = rules.target(parcel.uri)
        self._request: client.Request | None = None
        self._last = memoryview(b"")
        # What the answer to the PUT said of the object.
        self._answered: str | None = None

    def parts(self, stop: ports.StopSignal) -> Mapping[int, destination.Part]:
        """Give nothing: half an object cannot be gone on with."""
        return {}

    def put(
        self, part: destination.Part, data: memoryview, stop: ports.StopSignal
    ) -> None:
        """Send the next piece of the body; the last one waits.

        With it the object is there, so it is :meth:`complete`'s to send.
        """
        if part.number == 1:
            self.close()
            self._request = self._begin(stop)
        if part.number * self.part_size >= self._parcel.size:
            self._last = data
        else:
            self._send(data)

    def _requested(self) -> client.Request:
        if self._request is None:
            raise exceptions.SendError(f"{self._shown} cut the transfer")
        return self._request

    def _send(self, data: memoryview) -> None:
        try:
            self._requested().send(data)
        except BaseException:
            # Also a stop: the rest of the body will not follow.
            self.close()
            raise

    def _begin(self, stop: ports.StopSignal) -> client.Request:
        headers = {
            **self._login(),
            "Content-Type": "application/octet-stream",
            "Content-Length": str(self._parcel.size),
            _MARK: self._parcel.token,
        }
        if not self._parcel.overwrite:
            headers["If-None-Match"] = "*"
        return self._web.begin("PUT", self._target, headers, stop)

    def complete(
        self, parts: Sequence[destination.Part], stop: ports.StopSignal
    ) -> None:
        """Send the last piece, and read the answer to the PUT."""
        self._send(self._last)
        try:
            reply = self._requested().reply()
        finally:
            self.close()
        if reply.status not in _TAKEN:
            raise self._refused(reply.status, "PUT")
        self._answered = _tag(reply)

    def look(
        self, parts: Sequence[destination.Part], stop: ports.StopSignal
    ) -> destination.Found | None:
        """Ask by HEAD; where that is denied, by what the PUT was answered."""
        reply = self._call("HEAD", stop)
        if reply.status in _NONE:
            return None
        if reply.status != 200:
            return self._by_answer()
        tag = _tag(reply) or self._answered
        proof = None if tag is None else tag == self._parcel.md5
        size = reply.headers.get("content-length", "")
        mark = reply.headers.get(_MARK.lower())
        return destination.Found(
            size=int(size) if size.isdecimal() else -1,
            ours=mark == self._parcel.token or (mark is None and bool(proof)),
            proof=proof,
        )

    def _by_answer(self) -> destination.Found | None:
        if self._answered is None:
            return None
        proof = self._answered == self._parcel.md5
        return destination.Found(self._parcel.size, True, proof)

    def remove(self, stop: ports.StopSignal) -> None:
        """Delete the object, where the address allows that."""
        found = self.look([], stop)
        if found is None or not found.ours:
            return
        reply = self._call("DELETE", stop)
        if reply.status in _NONE or 200 <= reply.status < 300:
            return
        raise self._refused(reply.status, "DELETE")

    def _call(self, method: str, stop: ports.StopSignal) -> client.Reply:
        reply = self._web.call(
            method, self._parcel.uri, stop, headers=self._login()
        )
        if reply.status >= 500 or reply.status in _PASSING:
            raise endpoint.Interrupted(
                f"{self._shown} answers {method} with {reply.status}"
            )
        return reply

    def _login(self) -> dict[str, str]:
        given = self._parcel.credentials or {}
        if "token" in given:
            return {"Authorization": f"Bearer {given['token']}"}
        if "username" in given:
            login = f"{given['username']}:{given['password']}"
            return {"Authorization": client.basic(login, quoted=False)}
        if self._target.userinfo is not None:
            return {"Authorization": client.basic(self._target.userinfo)}
        return {}

    def _refused(
        self, status: int, method: str
    ) -> exceptions.FetchError | exceptions.SendError:
        text = f"{self._shown} answers {method} with {status}"
        if status == 412:
            return exceptions.SendError(
                f"{self._shown} holds another object; expected a place that"
                " is free, or to be told to overwrite it",
                code="destination_exists",
            )
        if status in _NONE:
            return exceptions.SendError(text, code="destination_not_found")
        if status in _FULL:
            return exceptions.SendError(text, code="destination_full")
        if status in _DENIED:
            return exceptions.SendError(text, code="destination_denied")
        return exceptions.SendError(text)

    def close(self) -> None:
        """Hang up, wherever the request is."""
        if self._request is not None:
            self._request.close()
            self._request = None


def _tag(reply: client.Reply) -> str | None:
    """Give the MD5 that an answer's entity tag is, if it is one."""
    tag = reply.headers.get("etag", "").strip().strip('"').lower()
    return tag if _MD5.fullmatch(tag) else None
