# SPDX-License-Identifier: Apache-2.0
"""One object to be in Swift: a static large object, or a plain one."""

from collections.abc import Mapping
from collections.abc import Sequence
import hashlib
import json

from glance_tasks import exceptions
from glance_tasks import ports
from glance_tasks import redaction
from glance_tasks.transfer import answer
from glance_tasks.transfer import client
from glance_tasks.transfer import destination
from glance_tasks.transfer import rules as fetch_rules
from glance_tasks.transfer.swift import address as addresses
from glance_tasks.transfer.swift import segments as pieces
from glance_tasks.transfer.swift import session as sessions

# Tells our objects from those of others.
_MARK = "X-Object-Meta-Glance-Task"

# Bytes of one object or segment; Swift's default.
_MAX_PART = 5 << 30

_STEP = 1 << 20


class SwiftObject:
    """An object to be; fills in :class:`destination.Destination`."""

    # Swift's ETag of a segment.
    algorithm = "md5"

    def __init__(
        self,
        parcel: ports.Parcel,
        rules: fetch_rules.SendRules,
        session: sessions.Session,
    ) -> None:
        """Choose its parts; nobody is asked yet.

        :raises FetchError: when its address is none
        :raises SendError: when it is larger than Swift's objects are
        """
        self._parcel, self._session = parcel, session
        self._address = addresses.parse_object(parcel.uri)
        self._segments = pieces.Segments(
            session, self._address, parcel.token, parcel.uri
        )
        self._require_short_names()
        self.part_size = _part_size(parcel.size, rules.chunk_size)
        # Larger parts take no more memory, but for one alone.
        room = rules.parts_at_once * rules.chunk_size
        self.width = max(1, room // self.part_size)
        self._policy: str | None = None
        # Of an earlier run, whose parts had another size.
        self._stale: list[int] = []
        self._only: memoryview | None = None

    def parts(self, stop: ports.StopSignal) -> Mapping[int, destination.Part]:
        """Give the segments that are there; see the protocol."""
        where = sessions.path(self._address.container)
        reply = self._session.call("HEAD", where, stop)
        if reply.status == 404:
            raise self._no_container()
        self._policy = reply.headers.get("x-storage-policy")
        found = self._segments.find(stop)
        self._stale = [number for number in found if number > self._last]
        if self._is_plain:
            return {}
        # Not by the first segment: its bytes would go to nowhere.
        self._segments.prepare(self._policy, stop)
        return found

    def put(
        self,
        part: destination.Part,
        data: memoryview,
        stop: ports.StopSignal,
    ) -> None:
        """Send a segment; see the protocol.

        The only part is the object itself: it is kept until it may appear.
        """
        if self._is_plain:
            self._only = data
        else:
            self._segments.put(part, data, self._policy, stop)

    def complete(
        self, parts: Sequence[destination.Part], stop: ports.StopSignal
    ) -> None:
        """Make the object appear; see the protocol."""
        fresh = {} if self._parcel.overwrite else {"If-None-Match": "*"}
        reply = self._make(parts, fresh, stop)
        if reply.status == 412:
            found = self.look(parts, stop)
            if found and found.ours and found.proof:
                # The answer to the first try was lost.
                return
            if found and not found.ours:
                raise self._exists()
            reply = self._make(parts, {}, stop)
        self._require_made(reply, parts)
        self._segments.drop(self._stale, stop)

    def look(
        self, parts: Sequence[destination.Part], stop: ports.StopSignal
    ) -> destination.Found | None:
        """Tell what is at the address; see the protocol."""
        # Of copies that do not agree yet the last one written.
        headers = {"X-Newest": "true"}
        reply = self._session.call("HEAD", self._where, stop, headers=headers)
        if reply.status == 404:
            return None
        length = reply.headers.get("content-length", "")
        if reply.status != 200 or not (length.isascii() and length.isdigit()):
            raise answer.invalid(
                self._parcel.uri,
                f"answers {reply.status} and no length to HEAD; expected 200",
            )
        return destination.Found(
            size=int(length),
            ours=reply.headers.get(_MARK.lower()) == self._parcel.token,
            proof=bool(parts) and pieces.etag(reply) == _digest(parts),
        )

    def remove(self, stop: ports.StopSignal) -> None:
        """Remove object and segments; see the protocol."""
        found = self.look([], stop)
        if found and found.ours:
            reply = self._session.call("DELETE", self._where, stop)
            if reply.status not in (200, 204, 404):
                raise pieces.refused(
                    self._parcel.uri, reply, "the removal of the object"
                )
        self._segments.remove(self._last, stop)

    def close(self) -> None:
        """Do nothing: no connection outlives its request."""

    # --- the parts of all that -----------------------------------------------

    @property
    def _where(self) -> str:
        return sessions.path(self._address.container, self._address.name)

    @property
    def _is_plain(self) -> bool:
        return self._parcel.size <= self.part_size

    @property
    def _last(self) -> int:
        """The number of the last segment."""
        count = -(-self._parcel.size // self.part_size)
        return 0 if self._is_plain else count

    def _make(
        self,
        parts: Sequence[destination.Part],
        condition: Mapping[str, str],
        stop: ports.StopSignal,
    ) -> client.Reply:
        headers = {
            _MARK: self._parcel.token,
            "Content-Type": pieces.TYPE,
            **condition,
        }
        if not self._is_plain:
            return self._session.call(
                "PUT",
                f"{self._where}?multipart-manifest=put",
                stop,
                headers=headers,
                body=self._manifest(parts),
            )
        if self._only is None:
            raise AssertionError("the only part is put before it is completed")
        headers["ETag"] = parts[0].digest
        return self._session.call(
            "PUT", self._where, stop, headers=headers, body=self._only
        )

    def _manifest(self, parts: Sequence[destination.Part]) -> bytes:
        entries = [
            {
                "path": f"/{self._address.segments}"
                f"/{self._segments.name(part.number)}",
                "etag": part.digest,
                "size_bytes": part.size,
            }
            for part in parts
        ]
        return json.dumps(entries).encode()

    def _require_made(
        self, reply: client.Reply, parts: Sequence[destination.Part]
    ) -> None:
        if reply.status == 412:
            raise self._exists()
        if reply.status == 404:
            raise self._no_container()
        if self._is_plain:
            pieces.require_taken(self._parcel.uri, reply, parts[0].digest)
        elif reply.status in (400, 409):
            raise exceptions.SendError(
                f"{self._shown} does not find all of the {len(parts)} segments"
                " that it took; expected to find them",
                code="destination_unverified",
            )
        elif reply.status not in (201, 202):
            raise pieces.refused(self._parcel.uri, reply, "the manifest")

    def _require_short_names(self) -> None:
        size = len(self._segments.name(1).encode())
        if size > addresses.MAX_OBJECT:
            over = size - addresses.MAX_OBJECT
            raise fetch_rules.refusal(
                "the address has a name for its object that is"
                f" {over} bytes longer than its segments' names allow"
            )

    def _no_container(self) -> exceptions.SendError:
        return exceptions.SendError(
            f"{self._shown} lies in no container: there is no"
            f" {self._address.container!r} in this account; expected one that"
            " exists",
            code="destination_not_found",
        )

    def _exists(self) -> exceptions.SendError:
        return exceptions.SendError(
            f"{self._shown} holds another object; expected a place that is"
            " free, or to be told to overwrite it",
            code="destination_exists",
        )

    @property
    def _shown(self) -> str:
        return redaction.plain_uri(self._parcel.uri)


def _part_size(size: int, wanted: int) -> int:
    """Give the bytes of each part, so that a manifest can name them all.

    :raises SendError: when there is no such size
    """
    if size > _MAX_PART * pieces.MAX_SEGMENTS:
        raise exceptions.SendError(
            f"the image has {size} bytes; expected at most"
            f" {_MAX_PART * pieces.MAX_SEGMENTS} for an object in Swift",
            code="destination_not_allowed",
        )
    least = -(-size // pieces.MAX_SEGMENTS)
    if least > wanted:
        wanted = -(-least // _STEP) * _STEP
    return min(wanted, _MAX_PART)


def _digest(parts: Sequence[destination.Part]) -> str:
    """Give the digest that Swift tells of an object of these parts."""
    if len(parts) == 1:
        return parts[0].digest
    joined = "".join(part.digest for part in parts)
    return hashlib.md5(joined.encode(), usedforsecurity=False).hexdigest()
