# SPDX-License-Identifier: Apache-2.0
"""Takes credentials out of text before anybody stores, logs or shows it."""

import re
from urllib import parse

from oslo_utils import strutils

# Bounded, and begun only where a word begins: without that a long text takes
# time by the square of its length.
_USERINFO = re.compile(
    r"(?<![a-zA-Z0-9+.-])(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]{0,30}://)"
    r"[^/\s]{1,1024}@"
)
# The names under which object stores sign addresses; whoever has the value
# has the object.
_SIGNED = re.compile(
    r"(?i)(?P<name>[?&;][\w.-]{0,64}?(?:signature|sig|token|key|secret"
    r"|password|credential|expires)[\w.-]{0,64}=)[^&;\s'\"#]+"
)
_HEADER = re.compile(
    r"(?i)(?P<name>\b(?:x-[a-z-]{0,32}token|authorization|cookie)['\"]?\s*[:=]"
    r"\s*['\"]?)[^\s'\",;]+"
)
_BEARER = re.compile(r"(?i)\b(?P<kind>bearer|basic)\s+[\w.~+/=-]{8,}")


def redact(text: str) -> str:
    """Give ``text`` without passwords, tokens and signatures of addresses.

    Knows ``user:password@`` in addresses, signed query parameters,
    ``Authorization`` values, and the key names of oslo.utils'
    ``mask_password``. The replacement is ``***``.
    """
    text = _USERINFO.sub(r"\g<scheme>***@", text)
    text = _SIGNED.sub(r"\g<name>***", text)
    text = _BEARER.sub(r"\g<kind> ***", text)
    text = _HEADER.sub(r"\g<name>***", text)
    return str(strutils.mask_password(text))


def clean(text: str, limit: int) -> str:
    """Give ``text`` redacted, no longer than ``limit`` characters or so, and
    in a form that every database takes.
    """
    # PostgreSQL takes no NUL in text, and lone surrogates are no UTF-8.
    text = text[: 2 * limit].replace("\0", "\\0")
    text = redact(text.encode("utf-8", "replace").decode())
    return text if len(text) <= limit else f"{text[:limit]} ..."


def plain_uri(uri: str) -> str:
    """Give an address that may be shown: no user, no query, no fragment."""
    try:
        parts = parse.urlsplit(uri)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "(an address that cannot be parsed)"
    return parse.urlunsplit((parts.scheme, host, parts.path, "", ""))
