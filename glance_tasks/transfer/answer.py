# SPDX-License-Identifier: Apache-2.0
"""What the head of an HTTP answer says, and whether it may say so."""

from collections.abc import Mapping
import dataclasses
import datetime
from email import message
from email import utils as mail_dates
import re

from glance_tasks import exceptions
from glance_tasks import redaction
from glance_tasks.transfer import endpoint

REDIRECTS = frozenset({301, 302, 303, 307, 308})

_LENGTH = re.compile(r"[0-9]{1,18}")
_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")
_STRONG_TAG = re.compile(r'"[\x21\x23-\x7e]{1,256}"')
_REASONS: Mapping[int, str] = {
    401: "source_denied",
    403: "source_denied",
    404: "source_not_found",
    410: "source_not_found",
}
# Beside all of 500 and more: what says "later" by its very meaning.
_PASSING = frozenset({408, 425, 429})


def invalid(uri: str, why: str) -> exceptions.FetchError:
    """Make the error for a source that breaks the rules of HTTP."""
    return exceptions.FetchError(
        f"{redaction.plain_uri(uri)} {why}", code="source_invalid"
    )


def failure(uri: str, status: int) -> exceptions.FetchError:
    """Make the error for an answer that holds no file."""
    text = f"{redaction.plain_uri(uri)} answered {status}; expected 200 or 206"
    if status >= 500 or status in _PASSING:
        return endpoint.Interrupted(text)
    return exceptions.FetchError(
        text, code=_REASONS.get(status, "source_unavailable")
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """The head of an answer that holds a file, or the rest of one.

    :ivar offset: where in the file its bytes begin
    :ivar length: of its body, in bytes; None when the body tells by itself
    :ivar chunked: whether the body comes in chunks
    """

    identity: endpoint.Identity
    offset: int
    length: int | None
    chunked: bool = False


def read(uri: str, status: int, head: message.Message) -> Answer | None:
    """Read the head of a 200 or 206; None for a 206 that makes no sense.

    :raises FetchError: when it contradicts itself or hides the bytes
    """
    if head.defects:
        # What comes after a line that is no header would count as body.
        raise invalid(uri, "sends a head with a line that is no header")
    encoding = head.get("Content-Encoding", "identity").strip().lower()
    if encoding != "identity":
        raise invalid(
            uri,
            f"sends the content encoding {encoding[:40]!r}; expected none,"
            " as was asked for",
        )
    chunked = head.get("Transfer-Encoding") is not None
    length = _body_length(uri, head)
    if status == 200:
        return Answer(_identity(head, length), 0, length, chunked)
    found = _RANGE.fullmatch(head.get("Content-Range", "").strip())
    if found is None:
        return None
    first, last = int(found[1]), int(found[2])
    total = None if found[3] == "*" else int(found[3])
    if not first <= last < (last + 1 if total is None else total):
        return None
    if length not in (None, last - first + 1):
        return None
    return Answer(_identity(head, total), first, length, chunked)


def _body_length(uri: str, head: message.Message) -> int | None:
    lengths = set(head.get_all("Content-Length", []))
    encodings = head.get_all("Transfer-Encoding", [])
    if encodings:
        if lengths or [e.strip().lower() for e in encodings] != ["chunked"]:
            raise invalid(
                uri,
                "frames its answer in two ways; expected either a"
                " Content-Length or the transfer encoding chunked",
            )
        return None
    if not lengths:
        return None
    text = lengths.pop().strip()
    if lengths or not _LENGTH.fullmatch(text):
        raise invalid(uri, "sends no valid Content-Length; expected a number")
    return int(text)


def _identity(head: message.Message, total: int | None) -> endpoint.Identity:
    tag = head.get("ETag", "").strip()
    if _STRONG_TAG.fullmatch(tag):
        return endpoint.Identity(tag, total)
    return endpoint.Identity(_settled_date(head), total)


def _settled_date(head: message.Message) -> str | None:
    """Give Last-Modified where it can tell two versions apart.

    RFC 9110, 8.8.2.2: only when the answer is at least a second younger; a
    file may change twice within one.
    """
    modified = head.get("Last-Modified", "").strip()
    then, now = _moment(modified), _moment(head.get("Date", ""))
    if then is None or now is None or (now - then).total_seconds() < 1:
        return None
    return modified


def _moment(text: str) -> datetime.datetime | None:
    try:
        moment = mail_dates.parsedate_to_datetime(text.strip())
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
