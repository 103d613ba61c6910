# SPDX-License-Identifier: Apache-2.0
"""The credentials that Swift's addresses come with, checked.

Nothing here, nor what it says, ever holds the value of a credential.
"""

from collections.abc import Mapping
import dataclasses
import re
from typing import Any

from glance_tasks import exceptions
from glance_tasks.transfer import endpoint
from glance_tasks.transfer import rules as fetch_rules

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_MAX_VALUE = 8192


@dataclasses.dataclass(frozen=True, slots=True)
class Way:
    """One way to log in.

    :ivar told_by: the keys that no other way has
    :ivar needs: sets of keys; one key of each set must be there
    :ivar takes: keys that may be there besides
    """

    told_by: tuple[str, ...]
    needs: tuple[tuple[str, ...], ...]
    takes: tuple[str, ...] = ()

    @property
    def keys(self) -> frozenset[str]:
        """Every key that may be there."""
        needed = {key for choice in self.needs for key in choice}
        return frozenset({*needed, *self.takes})


TOKEN = Way(("token", "storage_url"), (("token",), ("storage_url",)))
APPLICATION = Way(
    ("application_credential_id", "application_credential_secret"),
    (
        ("auth_url",),
        ("application_credential_id",),
        ("application_credential_secret",),
    ),
    ("region",),
)
V1 = Way(("user", "key"), (("auth_url",), ("user",), ("key",)))
PASSWORD = Way(
    ("username", "user_id", "password"),
    (
        ("auth_url",),
        ("username", "user_id"),
        ("password",),
        ("project_name", "project_id"),
    ),
    (
        *("user_domain_name", "user_domain_id"),
        *("project_domain_name", "project_domain_id", "region"),
    ),
)
_WAYS = (TOKEN, APPLICATION, V1, PASSWORD)
# A name alone is not unique: it is one of its domain.
_DOMAINS = {
    "username": ("user_domain_name", "user_domain_id"),
    "project_name": ("project_domain_name", "project_domain_id"),
}


def denied(text: str) -> exceptions.FetchError:
    """Make the error that says the credentials are not good."""
    return exceptions.FetchError(text, code="source_denied")


@dataclasses.dataclass(frozen=True, slots=True)
class Login:
    """Credentials that are complete.

    :ivar values: by key; secret
    """

    way: Way
    values: Mapping[str, str] = dataclasses.field(repr=False)


def check(
    credentials: endpoint.Credentials | None, rules: fetch_rules.FetchRules
) -> Login:
    """Check credentials without asking anybody.

    :param rules: for http and https, that the addresses in them must keep
    :raises FetchError: when they are not what is asked for
    """
    if not credentials:
        raise denied(
            "swift:// addresses need credentials and there are none; expected"
            f" {_choices()}"
        )
    way = _way(credentials)
    for choice in way.needs:
        _require(credentials, choice)
    for name, domain in _DOMAINS.items():
        if way is PASSWORD and name in credentials:
            _require(credentials, domain)
    # Not which: a secret in the wrong place may have become a key.
    if set(credentials) - way.keys:
        raise denied(
            "the credentials for Swift hold keys that are not known; expected"
            f" only {', '.join(sorted(way.keys))}"
        )
    values = {key: _text(key, value) for key, value in credentials.items()}
    for key in ("auth_url", "storage_url"):
        if key in values:
            check_url(key, values[key], rules)
    return Login(way, values)


def check_url(what: str, url: str, rules: fetch_rules.FetchRules) -> None:
    """Check an address that is asked with credentials.

    :param what: the words for it
    :raises FetchError: when the rules do not allow it
    """
    target = rules.target(url)
    if target.userinfo is not None or "?" in url or "#" in url:
        raise fetch_rules.refusal(
            f"the {what} for Swift holds a user, a query or a fragment;"
            " expected such as https://host:port/path"
        )


def _way(credentials: endpoint.Credentials) -> Way:
    for way in _WAYS:
        if any(key in credentials for key in way.told_by):
            return way
    raise denied(
        "the credentials for Swift hold no way to log in; expected"
        f" {_choices()}"
    )


def _choices() -> str:
    return "; or ".join(
        ", ".join(choice[0] for choice in way.needs) for way in _WAYS
    )


def _require(
    credentials: endpoint.Credentials, choice: tuple[str, ...]
) -> None:
    if not any(credentials.get(key) for key in choice):
        raise denied(
            f"the credentials for Swift lack {' or '.join(choice)}; expected"
            " it as a text"
        )


def _text(key: str, value: Any) -> str:
    # What stands in a header or an address must not end it.
    fits = (
        isinstance(value, str)
        and 0 < len(value) <= _MAX_VALUE
        and not _CONTROL.search(value)
        and _encodes(value)
    )
    if not fits:
        raise denied(
            f"the credentials for Swift have a {key} that is no text of 1 to"
            f" {_MAX_VALUE} characters on one line; expected one"
        )
    return str(value)


def _encodes(value: str) -> bool:
    try:
        value.encode()
    except UnicodeError:
        return False
    return True
