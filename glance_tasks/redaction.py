# SPDX-License-Identifier: Apache-2.0
"""Takes credentials out of text before anybody stores, logs or shows it."""

import re
from urllib import parse

from oslo_utils import strutils

# From the slashes on, so that what stands before the scheme does not matter.
# No other "//" is passed over, so a long text takes time by its length.
_USERINFO = re.compile(r"//[^/\s]+@")
# Where a text was cut off the "@" may be missing.
_CUT_USERINFO = re.compile(r"//[^/\s]+\Z")
# The names under which object stores sign addresses; whoever has the value
# has the object.
_SIGNED = re.compile(
    r"(?i)(?P<name>[?&;][\w.-]{0,64}?(?:signature|sig|token|key|secret"
    r"|password|credential|expires)[\w.-]{0,64}=)[^&;\s'\"#]+"
)
_HEADER = re.compile(
    r"(?i)(?P<name>x-[a-z-]{0,32}(?:token|key)\\?['\"]?\s*[:=]"
    r"\s*\\?['\"]?)[^\s'\",;\\]+"
)
# These may hold blanks, commas and quotes: "Digest username=..., response=".
_LINE = re.compile(
    r"(?i)(?P<name>(?:authorization|cookie)\\?['\"]?[ \t]*[:=][ \t]*)"
    r"(?:(?P<quote>\\?['\"])(?:(?!(?P=quote))[^\r\n])+|[^\r\n]+)"
)
# oslo's mask_password takes the name itself for the value of what stands
# before it: "password'password': 'x'".
_NAMED = re.compile(
    r"(?i)(?P<name>(?P<q>\\?['\"])[\w.-]{0,64}?(?:password|passwd|secret|token"
    r"|credential|signature)[\w.-]{0,64}(?P=q)\s*:\s*)u?(?P<quote>\\?['\"])"
    r"(?:(?!(?P=quote))[^\r\n])+"
)
_BEARER = re.compile(r"(?i)\b(?P<kind>bearer|basic)\s+[\w.~+/=-]{8,}")

# More than that a text is not looked at behind its limit.
_MARGIN = 4096


def redact(text: str) -> str:
    """Give ``text`` without passwords, tokens and signatures of addresses.

    Knows ``user:password@`` in addresses, signed query parameters,
    ``Authorization`` values, cookies, and the key names of oslo.utils'
    ``mask_password``. The replacement is ``***``.
    """
    text = _USERINFO.sub("//***@", text)
    # Headers before parameters: "?sig=Cookie: a" would lose its name.
    text = _LINE.sub(_without_line, text)
    text = _HEADER.sub(r"\g<name>***", text)
    text = _BEARER.sub(r"\g<kind> ***", text)
    text = _NAMED.sub(r"\g<name>\g<quote>***", text)
    text = str(strutils.mask_password(text))
    return _SIGNED.sub(r"\g<name>***", text)


def _without_line(found: re.Match[str]) -> str:
    return f"{found['name']}{found['quote'] or ''}***"


def clean(text: str, limit: int) -> str:
    """Give ``text`` redacted, no longer than ``limit`` characters or so, and
    in a form that every database takes.
    """
    if len(text) > limit + _MARGIN:
        text = _CUT_USERINFO.sub("//***", text[: limit + _MARGIN])
    # PostgreSQL takes no NUL in text, and lone surrogates are no UTF-8.
    text = text.replace("\0", "\\0")
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
