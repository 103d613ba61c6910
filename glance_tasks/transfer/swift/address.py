# SPDX-License-Identifier: Apache-2.0
"""Addresses of objects in Swift: ``swift://CONTAINER/OBJECT``."""

import dataclasses
import re
from urllib import parse

from glance_tasks.transfer import rules as fetch_rules

#: What follows a container's name in that of its segments, as Swift's own
#: client has it.
SEGMENTS = "_segments"

#: Swift's defaults, in bytes of UTF-8.
MAX_CONTAINER, MAX_OBJECT = 256 - len(SEGMENTS), 1024

_FORM = re.compile(r"(?i:swift)://([^/?#]+)(?:/([^?#]*))?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclasses.dataclass(frozen=True, slots=True)
class Address:
    """An address taken apart, without its percent-encoding.

    :ivar name: of the object, or a prefix of objects' names; may be empty
    """

    container: str
    name: str

    @property
    def segments(self) -> str:
        """The container in which the object's segments lie."""
        return self.container + SEGMENTS


def parse_prefix(uri: str) -> Address:
    """Take the address of an object, or of a prefix of objects, apart.

    :raises FetchError: when it is none
    """
    found = _FORM.fullmatch(uri)
    if found is None:
        # Not the address: what is no part of one may be a secret.
        raise fetch_rules.refusal(
            "the address is no place in Swift; expected such as"
            " swift://container/prefix, with ? and # as %3F and %23"
        )
    if "@" in found[1]:
        raise fetch_rules.refusal(
            "the address holds a user before its container; expected"
            " swift://container/prefix, and credentials beside it"
        )
    container = _decoded(found[1], "container", MAX_CONTAINER)
    if "/" in container:
        raise fetch_rules.refusal(
            "the address has a slash in its container's name; expected none"
        )
    return Address(container, _decoded(found[2] or "", "object", MAX_OBJECT))


def parse_object(uri: str) -> Address:
    """Take the address of one object apart.

    :raises FetchError: when it is none
    """
    address = parse_prefix(uri)
    if not address.name:
        raise fetch_rules.refusal(
            f"swift://{parse.quote(address.container)} names no object;"
            " expected such as swift://container/object"
        )
    return address


def join(uri: str, name: str) -> str:
    """Give the address of an object under a prefix.

    :raises FetchError: when the prefix is none, or too long for the name
    """
    joined = f"{uri.rstrip('/')}/{parse.quote(name, safe='')}"
    parse_object(joined)
    return joined


def _decoded(text: str, what: str, limit: int) -> str:
    try:
        raw = parse.unquote_to_bytes(text)
        decoded = raw.decode()
    except UnicodeError as error:
        raise fetch_rules.refusal(
            f"the address has a name of its {what} that is not UTF-8"
        ) from error
    if _CONTROL.search(decoded):
        raise fetch_rules.refusal(
            f"the address has control characters in the name of its {what};"
            " expected none"
        )
    if len(raw) > limit:
        raise fetch_rules.refusal(
            f"the address has a name of {len(raw)} bytes for its {what};"
            f" expected at most {limit}"
        )
    return decoded
