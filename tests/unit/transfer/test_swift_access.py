# SPDX-License-Identifier: Apache-2.0
"""What may come of a login: answers that are wrong, hostile or late."""

import json

import pytest

from glance_tasks import exceptions
from glance_tasks.testing import doubles
from glance_tasks.transfer import client
from glance_tasks.transfer import endpoint
from glance_tasks.transfer.swift import access
from glance_tasks.transfer.swift import login
from tests.support import swift

AUTH = "https://127.0.0.1/identity"
V1 = {"auth_url": AUTH, "user": "a:\u00fc", "key": "k"}
V3 = {
    "auth_url": AUTH,
    "application_credential_id": "a",
    "application_credential_secret": "s",
}
STORE = "https://127.0.0.1/v1/a"
LOGIN = {"x-storage-url": STORE, "x-auth-token": "t"}


class Answering(client.HttpClient):
    """What asks nobody and has one answer."""

    def __init__(self, reply):
        self.reply, self.asked = reply, []

    def call(self, method, uri, stop, **words):
        self.asked.append((method, uri, words))
        return self.reply


def log_in(credentials, reply):
    web = Answering(reply)
    known = login.check(credentials, swift.allowing().web)
    return web, access.log_in(web, known, doubles.NeverStop())


def catalogue(*endpoints, kind="object-store"):
    entry = {"type": kind, "endpoints": list(endpoints)}
    return json.dumps({"token": {"catalog": [entry]}}).encode()


def place(url=STORE, region="r", interface="public"):
    return {"url": url, "region": region, "interface": interface}


def test_a_name_that_is_not_latin_is_sent_as_utf_8():
    web, found = log_in(V1, client.Reply(200, LOGIN, b""))

    assert found == access.Access(STORE, "t")
    assert web.asked[0][2]["headers"]["X-Auth-User"] == "a:\u00c3\u00bc"


@pytest.mark.parametrize("auth_url", [AUTH, f"{AUTH}/", f"{AUTH}/v3/"])
def test_keystone_is_asked_at_its_third_version(auth_url):
    reply = client.Reply(201, {"x-subject-token": "t"}, catalogue(place()))

    web, found = log_in({**V3, "auth_url": auth_url}, reply)

    assert found == access.Access(STORE, "t")
    assert web.asked[0][:2] == ("POST", f"{AUTH}/v3/auth/tokens")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {**LOGIN, "x-auth-token": ""},
        {**LOGIN, "x-auth-token": "a b"},
        {**LOGIN, "x-auth-token": "a\r\nX-Evil: 1"},
        {**LOGIN, "x-auth-token": "t" * 8193},
        {**LOGIN, "x-storage-url": f"{STORE}?x"},
    ],
)
def test_a_login_without_token_and_store_is_none(headers):
    with pytest.raises(exceptions.FetchError) as caught:
        log_in(V1, client.Reply(200, headers, b""))

    assert caught.value.code == "source_invalid"


def test_a_login_over_https_leads_to_no_store_over_http():
    headers = {**LOGIN, "x-storage-url": "http://127.0.0.1/v1/a"}

    with pytest.raises(exceptions.FetchError) as caught:
        log_in(V1, client.Reply(200, headers, b""))

    assert caught.value.code == "source_not_allowed"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"token": {}}',
        b'{"token": {"catalog": 1}}',
        b'{"token": {"catalog": [1]}}',
        catalogue(1),
        catalogue({"interface": "public"}),
        b"[" * 100_000,
    ],
)
def test_an_answer_that_is_no_catalogue_is_invalid(body):
    reply = client.Reply(201, {"x-subject-token": "t"}, body)

    with pytest.raises(exceptions.FetchError) as caught:
        log_in(V3, reply)

    assert caught.value.code == "source_invalid"


@pytest.mark.parametrize(
    "body",
    [
        catalogue(),
        catalogue(place(), kind="image"),
        catalogue(place(interface="internal")),
        catalogue(place(region="s")),
    ],
)
def test_a_catalogue_without_the_store_is_told(body):
    reply = client.Reply(201, {"x-subject-token": "t"}, body)

    with pytest.raises(exceptions.FetchError) as caught:
        log_in({**V3, "region": "r"}, reply)

    assert caught.value.code == "source_denied"
    assert "no public object-store" in str(caught.value)


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (401, exceptions.FetchError, "source_denied"),
        (404, exceptions.FetchError, "source_invalid"),
        (302, exceptions.FetchError, "source_invalid"),
        (429, endpoint.Interrupted, "source_unavailable"),
        (503, endpoint.Interrupted, "source_unavailable"),
    ],
)
@pytest.mark.parametrize("credentials", [V1, V3])
def test_a_refused_login_has_a_code(credentials, status, kind, code):
    with pytest.raises(exceptions.FetchError) as caught:
        log_in(credentials, client.Reply(status, {}, b""))

    assert type(caught.value) is kind
    assert caught.value.code == code
