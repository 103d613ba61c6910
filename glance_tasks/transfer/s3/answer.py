# SPDX-License-Identifier: Apache-2.0
"""What S3 answers: entries that must be there, and errors in words."""

from collections.abc import Mapping
import re
from typing import Any

from botocore import exceptions as aws_errors
from botocore import parsers

from glance_tasks import exceptions
from glance_tasks.transfer import endpoint

#: What botocore raises of an answer that it cannot read.
GARBLED = (
    aws_errors.BotoCoreError,
    parsers.ResponseParserError,
    ValueError,
)

_CODE = re.compile(r"[A-Za-z0-9._-]{1,64}")
_DENIED = frozenset({401, 403})
_PASSING_STATUS = frozenset({408, 425, 429})
_PASSING = frozenset(
    {
        # RequestTimeout: the body came too slowly. BadDigest: it was damaged
        # on its way. The rest are others' requests in the way of ours.
        *("RequestTimeout", "BadDigest", "SlowDown", "OperationAborted"),
        "ConditionalRequestConflict",
    }
)
_FULL = frozenset({"QuotaExceeded", "XMinioStorageFull"})


class Refused(exceptions.SendError):
    """S3 has answered with an error that asking again does not mend.

    :ivar status: of the answer
    :ivar answer: S3's own word, such as ``NoSuchUpload``; where an answer has
        no body it is the status
    """

    def __init__(self, text: str, code: str, status: int, answer: str) -> None:
        """Keep what S3 said."""
        super().__init__(text, code=code)
        self.status, self.answer = status, answer


class Answer(dict[str, Any]):
    """What S3 has answered, or an entry of that."""

    def __init__(self, found: Mapping[str, Any], shown: str) -> None:
        """Take over what botocore read."""
        super().__init__(found)
        self._shown = shown

    def __missing__(self, name: str) -> Any:
        """Say that it lacks what every S3 tells.

        :raises SendError: always
        """
        raise invalid(self._shown, f"answers without {name}")


def refusal(
    shown: str, error: aws_errors.ClientError
) -> Refused | endpoint.Interrupted:
    """Make the error for an answer that is an error.

    :param shown: the address that it is about
    """
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    found = str(error.response.get("Error", {}).get("Code"))
    # It is the server's text, and an owner reads it.
    answer = found if _CODE.fullmatch(found) else "unknown"
    said = f"{shown} answers {error.operation_name} with {status}"
    if answer != str(status):
        said += f" {answer}"
    if answer in _FULL or status == 507:
        return Refused(said, "destination_full", status, answer)
    if _may_pass(status) or answer in _PASSING:
        return endpoint.Interrupted(said)
    if status in _DENIED:
        said += "; expected credentials that may do that there"
        return Refused(said, "destination_denied", status, answer)
    if answer == "NoSuchBucket":
        said += "; expected a bucket that was made before"
        return Refused(said, "destination_not_found", status, answer)
    return Refused(said, "destination_invalid", status, answer)


def moved(shown: str, status: int) -> Refused:
    """Make the error for an answer that tells of another place."""
    return Refused(
        f"{shown} answers with {status}; expected a bucket that is there, by"
        " the endpoint_url and the region in the credentials",
        "destination_invalid",
        status,
        str(status),
    )


def garbled(
    shown: str, status: int, error: Exception
) -> exceptions.SendError | endpoint.Interrupted:
    """Make the error for an answer that cannot be read.

    :param status: of that answer; 0 when there was none
    """
    if _may_pass(status):
        # A proxy's page, say.
        return endpoint.Interrupted(f"{shown} answers with {status}")
    kind = type(error).__name__
    return invalid(shown, f"answers as no S3 does: {kind}")


def invalid(shown: str, said: str) -> exceptions.SendError:
    """Make the error for an answer that is none of S3's."""
    return exceptions.SendError(f"{shown} {said}", code="destination_invalid")


def _may_pass(status: int) -> bool:
    return (status >= 500 and status != 501) or status in _PASSING_STATUS
