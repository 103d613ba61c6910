# SPDX-License-Identifier: Apache-2.0
"""The segments of one upload: in a container of their own, under its name."""

from collections.abc import Mapping
import json
from typing import Any

from glance_tasks import exceptions
from glance_tasks import ports
from glance_tasks import redaction
from glance_tasks.transfer import answer
from glance_tasks.transfer import client
from glance_tasks.transfer import destination
from glance_tasks.transfer import endpoint
from glance_tasks.transfer.swift import address as addresses
from glance_tasks.transfer.swift import session as sessions

# Tells containers that we made from those of others.
_MARK = "X-Container-Meta-Glance-Tasks"

#: Segments that a manifest may name, and that are listed at once; Swift's
#: default for the first.
MAX_SEGMENTS = 1000

# Segments are sent in their order, a few at once; that many that are not
# there in a row are behind the last one.
_GAP = 16


class Segments:
    """The segments of one upload. Shared between threads."""

    def __init__(
        self,
        session: sessions.Session,
        address: addresses.Address,
        token: str,
        uri: str,
    ) -> None:
        """Choose where they lie; nobody is asked yet.

        :param uri: the address that errors are about
        """
        self._session, self._container = session, address.segments
        self._prefix = f"{address.name}/{token}/"
        self._uri = uri

    def name(self, number: int) -> str:
        """Give the name of a segment, counted from 1."""
        return f"{self._prefix}{number:08d}"

    def find(self, stop: ports.StopSignal) -> dict[int, destination.Part]:
        """Give those that are listed, by number."""
        where = sessions.path(
            self._container,
            format="json",
            prefix=self._prefix,
            limit=MAX_SEGMENTS,
        )
        reply = self._session.call("GET", where, stop)
        if reply.status == 404:
            return {}
        try:
            if reply.status not in (200, 204):
                raise ValueError(reply.status)
            entries = json.loads(reply.body or b"[]")
            if not isinstance(entries, list):
                raise TypeError(type(entries))
            parts = [self._part(entry) for entry in entries]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise answer.invalid(
                self._uri, "lists the segments not as Swift does"
            ) from error
        return {part.number: part for part in parts if part}

    def _part(self, entry: Mapping[str, Any]) -> destination.Part | None:
        name = str(entry["name"])
        number = name.removeprefix(self._prefix)
        if name == number or not (number.isascii() and number.isdigit()):
            return None
        return destination.Part(
            int(number), int(entry["bytes"]), str(entry["hash"])
        )

    def prepare(self, policy: str | None, stop: ports.StopSignal) -> None:
        """Make the container if it is not there.

        :param policy: its storage policy
        """
        where = sessions.path(self._container)
        if self._session.call("HEAD", where, stop).status != 404:
            return
        headers = {_MARK: "segments"}
        if policy is not None:
            headers["X-Storage-Policy"] = policy
        reply = self._session.call("PUT", where, stop, headers=headers)
        # 409: another made it meanwhile, with another policy.
        if reply.status not in (201, 202, 409):
            raise refused(self._uri, reply, "a container for its segments")

    def put(
        self,
        part: destination.Part,
        data: memoryview,
        policy: str | None,
        stop: ports.StopSignal,
    ) -> None:
        """Send one; the container is made again if it is gone.

        :param policy: the storage policy of a container that is made
        :raises SendError: when it has not taken these bytes
        """
        reply = self._send(part, data, stop)
        if reply.status == 404:
            # Another upload ended, and it was empty.
            self.prepare(policy, stop)
            reply = self._send(part, data, stop)
        require_taken(self._uri, reply, part.digest)

    def _send(
        self, part: destination.Part, data: memoryview, stop: ports.StopSignal
    ) -> client.Reply:
        where = sessions.path(self._container, self.name(part.number))
        headers = {"ETag": part.digest, "Content-Type": TYPE}
        return self._session.call(
            "PUT", where, stop, headers=headers, body=data
        )

    # --- taking them away ----------------------------------------------------

    def remove(self, last: int, stop: ports.StopSignal) -> None:
        """Remove them all, and the container if we made it and it is empty.

        A listing may lag behind, so those that may be there are asked for
        too.

        :param last: the number of the last that there may be
        :raises Interrupted: when some are still listed
        """
        where = sessions.path(self._container)
        head = self._session.call("HEAD", where, stop)
        if head.status == 404:
            return
        listed = self.find(stop)
        self._remove_up_to(last, max(listed, default=0), stop)
        self.drop([number for number in listed if number > last], stop)
        if left := len(self.find(stop)):
            raise endpoint.Interrupted(
                f"{redaction.plain_uri(self._uri)} still lists {left} segments"
                " that were removed"
            )
        if _MARK.lower() in head.headers:
            # With anything in it it stays: that answers 409.
            self._session.call("DELETE", where, stop)

    def _remove_up_to(
        self, last: int, listed: int, stop: ports.StopSignal
    ) -> None:
        absent = 0
        for number in range(1, last + 1):
            if number > listed and absent >= _GAP:
                return
            absent = 0 if self._remove(number, stop) else absent + 1

    def drop(self, numbers: list[int], stop: ports.StopSignal) -> None:
        """Remove those of these numbers."""
        for number in numbers:
            self._remove(number, stop)

    def _remove(self, number: int, stop: ports.StopSignal) -> bool:
        where = sessions.path(self._container, self.name(number))
        reply = self._session.call("DELETE", where, stop)
        if reply.status not in (200, 204, 404):
            raise refused(self._uri, reply, "the removal of a segment")
        return reply.status != 404


#: What an image's bytes are to those who only keep them.
TYPE = "application/octet-stream"


def refused(uri: str, reply: client.Reply, what: str) -> exceptions.SendError:
    """Make the error for an answer that is none of those expected."""
    full = reply.status == 413
    hint = "; expected room for it" if full else "; expected it to be taken"
    return exceptions.SendError(
        f"{redaction.plain_uri(uri)} answered {reply.status} to {what}{hint}",
        code="destination_full" if full else "destination_invalid",
    )


def require_taken(uri: str, reply: client.Reply, md5: str) -> None:
    """Check that bytes were taken as they are.

    :raises Interrupted: when they were not, on the way
    :raises SendError: when they were, and are others there
    """
    if reply.status == 422:
        raise endpoint.Interrupted(
            f"{redaction.plain_uri(uri)} was sent other bytes than announced"
        )
    if reply.status != 201:
        raise refused(uri, reply, f"{md5} as its MD5")
    if (found := etag(reply)) != md5:
        raise exceptions.SendError(
            f"{redaction.plain_uri(uri)} took bytes with the MD5 {md5} and"
            f" says that it has {found[:64]!r}; expected those very bytes",
            code="destination_unverified",
        )


def etag(reply: client.Reply) -> str:
    """Give the digest that an answer tells; Swift quotes only some."""
    return reply.headers.get("etag", "").strip().strip('"').lower()
