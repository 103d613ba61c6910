# SPDX-License-Identifier: Apache-2.0
"""Takes credentials out of text before anybody stores, logs or shows it."""

import re
from urllib import parse

from oslo_utils import strutils

_USERINFO = re.compile(r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*://)[^/\s@'\"]*@")
# The names under which object stores sign addresses; whoever has the value
# has the object.
_SIGNED = re.compile(
    r"(?i)(?P<name>[?&;](?:[\w.-]*(?:signature|sig|token|key|secret|password"
    r"|credential|expires)[\w.-]*)=)[^&;\s'\"#]+"
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
    return strutils.mask_password(text)


def plain_uri(uri: str) -> str:
    """Give an address that may be shown: no user, no query, no fragment."""
    try:
        parts = parse.urlsplit(uri)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "(an address that cannot be parsed)"
    return parse.urlunsplit((parts.scheme, host, parts.path, "", ""))
