# SPDX-License-Identifier: Apache-2.0
"""What an s3 address names, and what its owner gives to be let in."""

from collections.abc import Sequence
import dataclasses
import re
from urllib import parse

from glance_tasks import exceptions
from glance_tasks.transfer import endpoint
from glance_tasks.transfer import rules as fetch_rules

#: Where a bucket is looked for when nobody says; AWS's and Swift's default.
REGION = "us-east-1"

# Wider than AWS's rules of today, as older buckets and other servers are. No
# colon, so that no ARN of another service passes for a bucket; and none of
# AWS's directory buckets, which tell no MD5.
_BUCKET = re.compile(r"(?!.*--x-s3\Z)[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_REGION = re.compile(r"(?![0-9]+\Z)(?!-)[A-Za-z0-9-]{1,63}(?<!-)")
# XML 1.0 cannot hold them, so no listing could tell of such an object.
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_STYLES = ("auto", "path", "virtual")
_MAX_KEY = 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Address:
    """A bucket and the key of an object in it."""

    bucket: str
    key: str

    @classmethod
    def of(cls, uri: str) -> "Address":
        """Take ``s3://BUCKET/KEY`` apart; the key is percent-encoded.

        :raises FetchError: when it is not such an address
        """
        rest = uri.partition("://")[2]
        bucket, _, quoted = rest.partition("/")
        if not _BUCKET.fullmatch(bucket):
            # Not the address: before an "@" there may be a password.
            raise fetch_rules.refusal(
                "the address has no valid bucket; expected such as"
                " s3://images/exports"
            )
        if "?" in quoted or "#" in quoted:
            raise fetch_rules.refusal(
                "the address has a query or a fragment; expected a question"
                " mark as %3F and a number sign as %23"
            )
        return cls(bucket, _key(quoted))


def _key(quoted: str) -> str:
    try:
        key = parse.unquote_to_bytes(quoted).decode()
    except UnicodeDecodeError as error:
        raise fetch_rules.refusal(
            "the address has a key that is not UTF-8"
        ) from error
    if not key or key.endswith("/") or _CONTROL.search(key):
        raise fetch_rules.refusal(
            "the address has no valid key; expected the name of an object"
            " after the bucket, such as s3://images/exports/disk"
        )
    if {".", ".."}.intersection(key.split("/")):
        # Servers and proxies disagree on what they lead to.
        raise fetch_rules.refusal(
            "the address has a key with . or .. between slashes"
        )
    if len(key.encode()) > _MAX_KEY:
        raise fetch_rules.refusal(
            f"the address has a key of more than {_MAX_KEY} bytes"
        )
    return key


@dataclasses.dataclass(frozen=True, slots=True)
class Access:
    """Who asks, and where the bucket is looked for.

    :ivar access_key: None asks as nobody, which can only read
    :ivar endpoint_url: None for AWS's of the region
    :ivar addressing_style: whether the bucket stands in the host's name:
        ``virtual``; in the path: ``path``; as is usual there: ``auto``
    """

    access_key: str | None = dataclasses.field(default=None, repr=False)
    secret_key: str | None = dataclasses.field(default=None, repr=False)
    session_token: str | None = dataclasses.field(default=None, repr=False)
    region: str = REGION
    endpoint_url: str | None = None
    addressing_style: str = "auto"

    @classmethod
    def of(
        cls,
        given: endpoint.Credentials | None,
        rules: fetch_rules.FetchRules,
    ) -> "Access":
        """Check what an owner gave; nobody is asked.

        :param rules: by which ``endpoint_url`` is judged
        :raises FetchError: when something is missing or not permitted; it
            names keys and no value
        """
        found = dict(given or {})
        known = [field.name for field in dataclasses.fields(cls)]
        if not set(found) <= set(known):
            # Not which: who confuses key and value has put a secret there.
            raise _unfit(f"a key that is not known; expected {_list(known)}")
        for name, value in found.items():
            if not (isinstance(value, str) and _sendable(value)):
                raise _unfit(
                    f"no valid {name}; expected printable ASCII characters"
                    " without blanks"
                )
        access = cls(**found)
        access._check(rules)
        return access

    def require_login(self) -> None:
        """Check that somebody asks.

        :raises FetchError: when it is nobody
        """
        if self.access_key is None:
            raise _unfit("no access_key; expected access_key and secret_key")

    def _check(self, rules: fetch_rules.FetchRules) -> None:
        if self.access_key is None:
            if self.secret_key or self.session_token:
                self.require_login()
        elif self.secret_key is None:
            raise _unfit("no secret_key; expected access_key and secret_key")
        if not _REGION.fullmatch(self.region):
            raise _unfit(f"no valid region; expected such as {REGION}")
        if self.addressing_style not in _STYLES:
            raise _unfit(
                f"no valid addressing_style; expected {_list(_STYLES)}"
            )
        if self.endpoint_url is not None:
            _check_endpoint(self.endpoint_url, rules)


def _check_endpoint(url: str, rules: fetch_rules.FetchRules) -> None:
    target = rules.web.target(url)
    if target.userinfo is not None or "?" in url or "#" in url:
        raise _unfit(
            "an endpoint_url with a login, a query or a fragment; expected"
            " such as https://s3.example.org"
        )


def _sendable(value: str) -> bool:
    printable = value.isascii() and value.isprintable()
    return printable and value != "" and " " not in value


def _list(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


def _unfit(text: str) -> exceptions.FetchError:
    return exceptions.FetchError(
        f"the credentials for s3:// have {text}", code="source_denied"
    )
