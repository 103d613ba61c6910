# SPDX-License-Identifier: Apache-2.0
"""A multipart upload to S3: found again, filled, made an object, aborted.

Which upload is ours is asked of S3, for nothing else outlives this process.
All of a key are where the key holds the task's token; where others may write
under the same name ours have one part more, with the token in it, that is
never made a piece of the object.
"""

import base64
from collections.abc import Mapping
from collections.abc import Sequence
import hashlib
from typing import Any

from glance_tasks import exceptions
from glance_tasks import ports
from glance_tasks.transfer import destination
from glance_tasks.transfer.s3 import answer as s3_answer
from glance_tasks.transfer.s3 import client as s3_client

#: Bytes that every part has at least, but the last.
MIN_PART = 5 << 20

#: Parts that AWS takes.
AWS_PARTS = 10_000

#: Parts that all others take: Swift's s3api by default no more.
PARTS = 1_000

#: How often what was removed may be there still, or again.
ROUNDS = 8


def part_size(size: int, chunk_size: int, most: int) -> int:
    """Give the bytes of a part, so that there are fewer than ``most``.

    The last number is for the part that holds the token.
    """
    least = -(-size // (most - 1))
    # In whole MiB, as other tools make them.
    least = -(-least // (1 << 20)) << 20
    return max(chunk_size, MIN_PART, least)


def md5_of(entry: Mapping[str, Any]) -> str:
    """Give what an answer's ETag says; mostly it is an MD5."""
    return str(entry.get("ETag", "")).strip('"').lower()


def content_md5(part: destination.Part) -> str:
    """Give the header by which S3 refuses a damaged body."""
    return base64.b64encode(bytes.fromhex(part.digest)).decode("ascii")


def wrong_tag(shown: str, what: str) -> exceptions.SendError:
    """Make the error for an ETag that is not what was sent."""
    return exceptions.SendError(
        f"{shown} answers {what} with another ETag than its MD5; expected a"
        " bucket whose default encryption is not SSE-KMS",
        code="destination_unverified",
    )


class S3Upload:
    """The upload of one object. ``put`` is called by several threads."""

    def __init__(
        self,
        client: s3_client.S3Client,
        place: Mapping[str, str],
        token: str,
        most: int,
        shown: str,
    ) -> None:
        """Prepare; nobody is asked yet.

        :param place: ``Bucket`` and ``Key``
        :param most: parts that there may be, with the one for the token
        :param shown: the address that errors are about
        """
        self._client, self._place, self._shown = client, place, shown
        self._token = token.encode()
        self._alone = token in place["Key"]
        digest = hashlib.md5(self._token, usedforsecurity=False).hexdigest()
        self._mark = destination.Part(most, len(self._token), digest)
        self._id: str | None = None
        self._strays: list[str] = []

    def pick_up(
        self, kind: Mapping[str, Any], stop: ports.StopSignal
    ) -> Mapping[int, destination.Part]:
        """Find the upload that was begun, or else begin one; give its parts.

        :param kind: what is said of the object when it is begun
        """
        found = self._ours(stop)
        if not found:
            self._id = self._begin(kind, stop)
            return {}
        self._id, *self._strays = found
        return {part.number: part for part in self._parts(self._id, stop)}

    def put(
        self, part: destination.Part, data: memoryview, stop: ports.StopSignal
    ) -> None:
        """Send one part; again replaces it.

        :raises SendError: when S3 has taken other bytes
        """
        self._send(self._picked, part, data, stop)

    def join(
        self,
        parts: Sequence[destination.Part],
        only_if: Mapping[str, str],
        stop: ports.StopSignal,
    ) -> None:
        """Make the object of all its parts appear, and end the upload.

        :param only_if: conditions on what is there
        :raises Refused: when it does not appear
        """
        listed = [
            {"PartNumber": part.number, "ETag": f'"{part.digest}"'}
            for part in parts
        ]
        self._client.call(
            "complete_multipart_upload",
            stop,
            **self._place,
            **only_if,
            UploadId=self._picked,
            MultipartUpload={"Parts": listed},
        )

    def abort_strays(self, stop: ports.StopSignal) -> None:
        """Abort what frozen runs began beside the upload."""
        for upload in self._strays:
            self._abort(upload, stop)

    def abort_all(self, stop: ports.StopSignal) -> None:
        """Abort every upload of ours; again is harmless.

        :raises SendError: when one stays
        """
        for _ in range(ROUNDS):
            found = self._ours(stop)
            if not found:
                return
            for upload in found:
                self._abort(upload, stop)
        raise exceptions.SendError(
            f"{self._shown} has an upload of ours after it was aborted"
            f" {ROUNDS} times"
        )

    @property
    def _picked(self) -> str:
        if self._id is None:
            raise AssertionError("the upload is picked up first")
        return self._id

    def _ours(self, stop: ports.StopSignal) -> list[str]:
        """Give the open uploads of ours, the oldest first."""
        entries = self._client.entries(
            "list_multipart_uploads",
            "Uploads",
            stop,
            Bucket=self._place["Bucket"],
            Prefix=self._place["Key"],
        )
        found = [
            (entry["Initiated"], str(entry["UploadId"]))
            for entry in entries
            if entry["Key"] == self._place["Key"]
        ]
        return [
            upload
            for _, upload in sorted(found)
            if self._alone or self._is_marked(upload, stop)
        ]

    def _is_marked(self, upload: str, stop: ports.StopSignal) -> bool:
        try:
            return self._mark in self._parts(upload, stop)
        except s3_answer.Refused as error:
            if error.answer == "NoSuchUpload":
                return False
            raise

    def _begin(self, kind: Mapping[str, Any], stop: ports.StopSignal) -> str:
        # One that a frozen run begins after its task has ended would stay.
        stop.check()
        answer = self._client.call(
            "create_multipart_upload", stop, **self._place, **kind
        )
        upload = str(answer["UploadId"])
        if not self._alone:
            self._claim(upload, stop)
        return upload

    def _claim(self, upload: str, stop: ports.StopSignal) -> None:
        try:
            self._send(upload, self._mark, memoryview(self._token), stop)
        except exceptions.TaskError:
            # Without the mark nobody would find it again.
            self._abort(upload, stop)
            raise

    def _send(
        self,
        upload: str,
        part: destination.Part,
        data: memoryview,
        stop: ports.StopSignal,
    ) -> None:
        answer = self._client.call(
            "upload_part",
            stop,
            **self._place,
            UploadId=upload,
            PartNumber=part.number,
            Body=s3_client.Piece(data),
            ContentMD5=content_md5(part),
        )
        if md5_of(answer) != part.digest:
            raise wrong_tag(self._shown, "a part")

    def _parts(
        self, upload: str, stop: ports.StopSignal
    ) -> list[destination.Part]:
        entries = self._client.entries(
            "list_parts", "Parts", stop, **self._place, UploadId=upload
        )
        return [
            destination.Part(entry["PartNumber"], entry["Size"], md5_of(entry))
            for entry in entries
        ]

    def _abort(self, upload: str, stop: ports.StopSignal) -> None:
        try:
            self._client.call(
                "abort_multipart_upload", stop, **self._place, UploadId=upload
            )
        except s3_answer.Refused as error:
            if error.answer != "NoSuchUpload":
                raise
