# SPDX-License-Identifier: Apache-2.0
"""Logging in: credentials become a token and the address of an account."""

from collections.abc import Mapping
import dataclasses
import json
import re
from typing import Any

from glance_tasks import exceptions
from glance_tasks import ports
from glance_tasks import redaction
from glance_tasks.transfer import answer
from glance_tasks.transfer import client
from glance_tasks.transfer import endpoint
from glance_tasks.transfer.swift import login as logins

# A token of Keystone's has 200 characters, one with a catalogue in it 8,000.
_TOKEN = re.compile(r"[\x21-\x7e]{1,8192}")

# What taking JSON of another shape apart raises.
_NOT_AS_EXPECTED = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    RecursionError,
)


@dataclasses.dataclass(frozen=True, slots=True)
class Access:
    """Leave to ask for what is in one account, for some hours."""

    storage_url: str = dataclasses.field(repr=False)
    token: str = dataclasses.field(repr=False)


def log_in(
    web: client.HttpClient, login: logins.Login, stop: ports.StopSignal
) -> Access:
    """Give access to the account that the credentials are for.

    :raises FetchError: when they are not good, or it breaks the rules
    :raises Interrupted: when it is worth asking again
    """
    values = login.values
    if login.way is logins.TOKEN:
        token = header(values["token"])
        return Access(values["storage_url"].rstrip("/"), token)
    if login.way is logins.V1:
        return _first_version(web, values, stop)
    return _keystone(web, login, stop)


def _first_version(
    web: client.HttpClient, values: Mapping[str, str], stop: ports.StopSignal
) -> Access:
    url = values["auth_url"]
    headers = {
        "X-Auth-User": header(values["user"]),
        "X-Auth-Key": header(values["key"]),
    }
    reply = web.call("GET", url, stop, headers=headers)
    _require(url, reply, (200, 204))
    return Access(
        _checked(url, reply.headers.get("x-storage-url")),
        _token(url, reply.headers.get("x-auth-token")),
    )


def _keystone(
    web: client.HttpClient, login: logins.Login, stop: ports.StopSignal
) -> Access:
    url = login.values["auth_url"].rstrip("/")
    url = url if url.endswith("/v3") else f"{url}/v3"
    reply = web.call(
        "POST",
        f"{url}/auth/tokens",
        stop,
        headers={"Content-Type": "application/json"},
        body=json.dumps({"auth": _question(login)}).encode(),
    )
    _require(url, reply, (201,))
    try:
        catalogue = json.loads(reply.body)["token"]["catalog"]
        found = _storage(catalogue, login.values.get("region"))
    except _NOT_AS_EXPECTED as error:
        raise answer.invalid(
            url, "answers a login with no catalogue; expected Keystone's"
        ) from error
    if found is None:
        raise logins.denied(
            f"{redaction.plain_uri(url)} knows no public object-store for"
            " these credentials; expected one, in the region if one is given"
        )
    token = _token(url, reply.headers.get("x-subject-token"))
    return Access(_checked(url, found), token)


def _question(login: logins.Login) -> dict[str, Any]:
    """Give what Keystone's version 3 asks of those who log in."""
    values = login.values
    if login.way is logins.APPLICATION:
        method = "application_credential"
        known = {
            "id": values["application_credential_id"],
            "secret": values["application_credential_secret"],
        }
        return {"identity": {"methods": [method], method: known}}
    user = _named(values, "user_id", "username", "user_domain")
    user["password"] = values["password"]
    project = _named(values, "project_id", "project_name", "project_domain")
    return {
        "identity": {"methods": ["password"], "password": {"user": user}},
        "scope": {"project": project},
    }


def _named(
    values: Mapping[str, str], id_key: str, name_key: str, domain: str
) -> dict[str, Any]:
    if id_key in values:
        return {"id": values[id_key]}
    kinds = ("id", "name")
    known = {kind: values.get(f"{domain}_{kind}") for kind in kinds}
    return {
        "name": values[name_key],
        "domain": {kind: text for kind, text in known.items() if text},
    }


def _storage(catalogue: Any, region: str | None) -> str | None:
    """Give the first public object-store's address, in a region if given."""
    for service in catalogue:
        if service.get("type") != "object-store":
            continue
        for place in service.get("endpoints", ()):
            here = region in (
                None,
                place.get("region"),
                place.get("region_id"),
            )
            if place.get("interface") == "public" and here:
                return str(place["url"])
    return None


def _checked(auth_url: str, storage_url: str | None) -> str:
    if not storage_url or "?" in storage_url or "#" in storage_url:
        raise answer.invalid(
            auth_url, "answers a login with no address to store at"
        )
    if auth_url.lower().startswith("https:") and not (
        storage_url.lower().startswith("https:")
    ):
        # The token would travel in clear.
        raise exceptions.FetchError(
            f"{redaction.plain_uri(auth_url)} leads from https to http;"
            " expected https",
            code="source_not_allowed",
        )
    return storage_url.rstrip("/")


def _token(auth_url: str, token: str | None) -> str:
    if token is None or not _TOKEN.fullmatch(token):
        raise answer.invalid(
            auth_url, "answers a login with no token of printable ASCII"
        )
    return token


def _require(url: str, reply: client.Reply, expected: tuple[int, ...]) -> None:
    if reply.status in expected:
        return
    shown = redaction.plain_uri(url)
    if reply.status in (401, 403):
        raise logins.denied(
            f"{shown} answered {reply.status} to a login; expected"
            " credentials that it knows"
        )
    text = (
        f"{shown} answered {reply.status} to a login; expected"
        f" {' or '.join(map(str, expected))}"
    )
    if passing(reply.status):
        raise endpoint.Interrupted(text)
    raise exceptions.FetchError(text, code="source_invalid")


def passing(status: int) -> bool:
    """Tell whether an answer says "later" by its very meaning.

    498 is what Swift's own rate limit answers, 499 what its proxy answers
    when it saw a request cut.
    """
    return status >= 500 or status in (408, 425, 429, 498, 499)


def header(text: str) -> str:
    """Give a text so that http.client sends it as UTF-8."""
    return text.encode().decode("latin-1")
