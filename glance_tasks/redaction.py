# SPDX-License-Identifier: Apache-2.0
"""Takes credentials out of text before anybody stores, logs or shows it."""

from collections.abc import Iterable
from collections.abc import Iterator
import html
import json
import re
import threading
from urllib import parse
import weakref

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
    r"|password|credential|expires)[\w.-]{0,64}=)(?P<value>[^&;\s'\"#]+)"
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


def clean(text: str, limit: int, hidden: "Hidden | None" = None) -> str:
    """Give ``text`` redacted, no longer than ``limit`` characters or so, and
    in a form that every database takes.

    :param hidden: what must not be in it besides
    """
    if hidden is not None:
        # First of all: half of a secret would not be known any more.
        text = hidden.out_of(text)
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


# --- texts that are known to be secret ---------------------------------------

# A shorter one is part of too many words.
_LEAST = 4
# In results, where a number that fits by chance would fail the task.
_LEAST_RESULT = 8

_HIDING: "weakref.WeakSet[Hidden]" = weakref.WeakSet()
_HIDING_LOCK = threading.Lock()


class Hidden:
    """Texts of one run that nothing may show: its secrets, once revealed.

    They are in memory only, and gone with :meth:`clear`. Texts of fewer than
    four characters are not known again. Safe to share between threads.
    """

    __slots__ = ("__weakref__", "_forms", "_lock", "_pattern")

    def __init__(self, texts: Iterable[str] = ()) -> None:
        """Hide ``texts``."""
        self._lock = threading.Lock()
        self._forms: frozenset[str] = frozenset()
        self._pattern: re.Pattern[str] | None = None
        self.add(texts)
        with _HIDING_LOCK:
            _HIDING.add(self)

    def __repr__(self) -> str:
        return "Hidden(***)"

    def add(self, texts: Iterable[str]) -> None:
        """Hide ``texts`` too, also as JSON, Python or a URL has them."""
        forms = {form for text in texts for form in _forms(text)}
        with self._lock:
            if forms <= self._forms:
                return
            self._forms |= forms
            # The longest first: one may be the beginning of another.
            ordered = sorted(self._forms, key=len, reverse=True)
            self._pattern = re.compile("|".join(map(re.escape, ordered)))

    def clear(self) -> None:
        """Hide nothing any more."""
        with self._lock:
            self._forms, self._pattern = frozenset(), None

    def out_of(self, text: str) -> str:
        """Give ``text`` with ``***`` for each of them."""
        pattern = self._pattern
        return text if pattern is None else pattern.sub("***", text)

    def is_in(self, text: str) -> bool:
        """Tell whether one of eight characters or more is in ``text``."""
        return any(
            form in text for form in self._forms if len(form) >= _LEAST_RESULT
        )


def _forms(text: str) -> Iterator[str]:
    """Give the ways in which a text may be written in another one."""
    lines = text.splitlines() if len(text.splitlines()) > 1 else []
    for piece in (text, *lines):
        raw = piece.encode("utf-8", "surrogatepass")
        once = {
            *(piece, piece.strip(), html.escape(piece), parse.unquote(piece)),
            *(parse.quote(raw), parse.quote(raw, safe="")),
            *(parse.quote_plus(raw), *_escaped(piece)),
            # Of bytes; which quotes are around them, others decide.
            *(repr(raw)[2:-1], repr(b'"' + raw)[3:-1]),
        }
        # Texts that hold texts: the representation of an error's arguments.
        twice = {form for one in once for form in _escaped(one)}
        yield from (f for f in once | twice if len(f) >= _LEAST)


def _escaped(text: str) -> Iterator[str]:
    yield repr(text)[1:-1]
    yield repr('"' + text)[2:-1]
    yield json.dumps(text)[1:-1]
    yield json.dumps(text, ensure_ascii=False)[1:-1]


def secret_parts(uri: str) -> list[str]:
    """Give what of an address must be hidden, itself first.

    :returns: an empty list when it may be shown as it is
    """
    if not _has_secret(uri):
        return []
    parts = [uri]
    for found in _USERINFO.findall(uri):
        userinfo = found[2:-1]
        parts += [userinfo, userinfo.partition(":")[2]]
    parts += [
        found["value"]
        for found in _SIGNED.finditer(uri)
        if "expires" not in found["name"].lower()
    ]
    return [part for part in parts if len(part) >= _LEAST]


def _has_secret(uri: str) -> bool:
    try:
        # Not anywhere: a path may have "//a@b" in it, and is not to change.
        login = "@" in parse.urlsplit(uri).netloc
    except ValueError:
        return redact(uri) != uri
    return login or _SIGNED.search(uri) is not None


def redact_all(text: str) -> str:
    """Give ``text`` without credentials and whatever any run here hides."""
    with _HIDING_LOCK:
        hiding = list(_HIDING)
    for hidden in hiding:
        text = hidden.out_of(text)
    return redact(text)
