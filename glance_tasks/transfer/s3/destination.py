# SPDX-License-Identifier: Apache-2.0
"""An object in a bucket: sent in parts, or when it is small at once."""

from collections.abc import Mapping
from collections.abc import Sequence
import hashlib
from typing import Any

from glance_tasks import exceptions
from glance_tasks import ports
from glance_tasks import redaction
from glance_tasks.transfer import destination
from glance_tasks.transfer import rules as fetch_rules
from glance_tasks.transfer.s3 import access as s3_access
from glance_tasks.transfer.s3 import answer as s3_answer
from glance_tasks.transfer.s3 import client as s3_client
from glance_tasks.transfer.s3 import upload as s3_upload

# The key of the token in the object's metadata.
_TOKEN = "glance-task"

# How S3 refuses a list of parts that it does not have.
_PARTS_GONE = frozenset({"InvalidPart", "InvalidPartOrder", "EntityTooSmall"})


class S3Destination:
    """One object; see :class:`destination.Destination`."""

    # S3's ETag of a part.
    algorithm = "md5"

    def __init__(
        self,
        parcel: ports.Parcel,
        address: s3_access.Address,
        client: s3_client.S3Client,
        rules: fetch_rules.FetchRules,
        most: int,
    ) -> None:
        """Prepare; nobody is asked yet.

        :param most: parts that the server takes
        """
        self._parcel, self._client = parcel, client
        self._shown = redaction.plain_uri(parcel.uri)
        self._place = {"Bucket": address.bucket, "Key": address.key}
        self._upload = s3_upload.S3Upload(
            client, self._place, parcel.token, most, self._shown
        )
        self.part_size = s3_upload.part_size(
            parcel.size, rules.chunk_size, most
        )
        self.width = _width(rules, self.part_size)
        # Of an object that is sent at once, when it is to appear.
        self._whole: bytes | None = None

    @property
    def _small(self) -> bool:
        return self._parcel.size <= self.part_size

    @property
    def _kind(self) -> dict[str, Any]:
        return {
            "ContentType": "application/octet-stream",
            "Metadata": {_TOKEN: self._parcel.token},
        }

    def parts(self, stop: ports.StopSignal) -> Mapping[int, destination.Part]:
        """Find the upload that was begun, or else begin one."""
        return {} if self._small else self._upload.pick_up(self._kind, stop)

    def put(
        self, part: destination.Part, data: memoryview, stop: ports.StopSignal
    ) -> None:
        """Send a part; a small object waits for :meth:`complete`."""
        if self._small:
            # Copied, because the caller fills the buffer again. Sent later,
            # because it must not appear before the fence was asked.
            self._whole = bytes(data)
        else:
            self._upload.put(part, data, stop)

    def complete(
        self, parts: Sequence[destination.Part], stop: ports.StopSignal
    ) -> None:
        """Put a small object; make a large one of its parts."""
        found = self.look([], stop)
        if found and not found.ours and not self._parcel.overwrite:
            raise self._taken()
        free = found is None and not self._parcel.overwrite
        try:
            self._appear(parts, {"IfNoneMatch": "*"} if free else {}, stop)
        except s3_answer.Refused as error:
            self._explain(error, stop)
        self._upload.abort_strays(stop)

    def look(
        self, parts: Sequence[destination.Part], stop: ports.StopSignal
    ) -> destination.Found | None:
        """Ask for the head of the object; its ETag tells the digest."""
        head = self._head(stop)
        if head is None:
            return None
        proof = s3_upload.md5_of(head) == self._tag(parts) if parts else None
        return destination.Found(
            head["ContentLength"], self._is_ours(head), proof
        )

    def remove(self, stop: ports.StopSignal) -> None:
        """Abort our uploads and delete our object.

        Where the bucket keeps versions it is the version that is deleted, so
        that what was there before is there again.
        """
        try:
            self._upload.abort_all(stop)
            self._delete(stop)
        except s3_answer.Refused as error:
            # Without a bucket there is nothing.
            if error.code != "destination_not_found":
                raise

    def close(self) -> None:
        """Do nothing: no connection outlives its request."""

    # --- the object ----------------------------------------------------------

    def _appear(
        self,
        parts: Sequence[destination.Part],
        only_if: Mapping[str, str],
        stop: ports.StopSignal,
    ) -> None:
        try:
            if self._small:
                self._put_whole(parts[0], only_if, stop)
            else:
                self._upload.join(parts, only_if, stop)
        except s3_answer.Refused as error:
            # Servers that know no condition; it was looked just before.
            if not only_if or error.answer != "NotImplemented":
                raise
            self._appear(parts, {}, stop)

    def _put_whole(
        self,
        part: destination.Part,
        only_if: Mapping[str, str],
        stop: ports.StopSignal,
    ) -> None:
        if self._whole is None:
            raise AssertionError("the part is put first")
        self._client.call(
            "put_object",
            stop,
            **self._place,
            **self._kind,
            **only_if,
            Body=s3_client.Piece(memoryview(self._whole)),
            ContentMD5=s3_upload.content_md5(part),
        )

    def _explain(
        self, error: s3_answer.Refused, stop: ports.StopSignal
    ) -> None:
        """Say what a refusal to make the object means.

        Nothing, when the answer to an earlier request was lost.
        """
        if error.answer in _PARTS_GONE:
            raise exceptions.SendError(
                f"{error}, though it took all parts",
                code="destination_unverified",
            ) from error
        gone = error.answer == "NoSuchUpload"
        if not gone and error.status != 412:
            raise error
        found = self.look([], stop)
        if found and found.ours:
            return
        if gone:
            raise exceptions.SendError(
                f"{error}; the upload was aborted meanwhile"
            ) from error
        raise self._taken() from error

    def _taken(self) -> exceptions.SendError:
        return exceptions.SendError(
            f"{self._shown} holds another object; expected a place that is"
            " free, or to be told to overwrite it",
            code="destination_exists",
        )

    def _head(self, stop: ports.StopSignal) -> s3_answer.Answer | None:
        try:
            return self._client.call("head_object", stop, **self._place)
        except s3_answer.Refused as error:
            # Also where there is no bucket: this answer has no body.
            if error.status == 404:
                return None
            raise

    def _is_ours(self, head: Mapping[str, Any]) -> bool:
        return bool(head["Metadata"].get(_TOKEN) == self._parcel.token)

    def _tag(self, parts: Sequence[destination.Part]) -> str:
        if self._small:
            return parts[0].digest
        digests = b"".join(bytes.fromhex(part.digest) for part in parts)
        whole = hashlib.md5(digests, usedforsecurity=False).hexdigest()
        return f"{whole}-{len(parts)}"

    def _delete(self, stop: ports.StopSignal) -> None:
        for _ in range(s3_upload.ROUNDS):
            head = self._head(stop)
            if head is None or not self._is_ours(head):
                return
            version = head.get("VersionId")
            which = {"VersionId": version} if version else {}
            self._client.call("delete_object", stop, **self._place, **which)
        raise exceptions.SendError(
            f"{self._shown} has an object of ours after it was deleted"
            f" {s3_upload.ROUNDS} times"
        )


def _width(rules: fetch_rules.FetchRules, part_size: int) -> int:
    """Give how many parts go at once in the memory that there is for them."""
    if not isinstance(rules, fetch_rules.SendRules):
        return 1
    memory = rules.parts_at_once * max(rules.chunk_size, s3_upload.MIN_PART)
    return max(1, memory // part_size)
