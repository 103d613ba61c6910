# SPDX-License-Identifier: Apache-2.0
"""Which addresses and credentials for Swift are taken, asking nobody."""

import hypothesis
from hypothesis import strategies
import pytest

from glance_tasks import exceptions
from glance_tasks import ports
from glance_tasks.transfer.swift import address
from tests.support import swift

TOKEN = {"token": "t", "storage_url": "http://127.0.0.1/v1/a"}
V1 = {"auth_url": "http://127.0.0.1/auth/v1.0", "user": "a:b", "key": "k"}
PASSWORD = {
    "auth_url": "http://127.0.0.1:5000",
    "username": "u",
    "user_domain_name": "d",
    "password": "p",
    "project_name": "n",
    "project_domain_name": "d",
    "region": "r",
}
BY_ID = {
    "auth_url": "http://127.0.0.1:5000/v3",
    "user_id": "u",
    "password": "p",
    "project_id": "n",
}
APPLICATION = {
    "auth_url": "https://127.0.0.1:5000/v3/",
    "application_credential_id": "a",
    "application_credential_secret": "s",
}
#: In whatever is told of refused credentials it must not be.
CANARY = "canary-5b1f"


def without(credentials, *keys):
    return {k: v for k, v in credentials.items() if k not in keys}


def refused(uri, credentials, **changes):
    """Give the error for an address with credentials."""
    with pytest.raises(exceptions.SendError) as caught:
        swift.sending(**changes).preflight(uri, credentials)
    return caught.value


@pytest.mark.parametrize(
    "credentials", [TOKEN, V1, PASSWORD, BY_ID, APPLICATION]
)
def test_each_way_to_log_in_is_taken(credentials):
    swift.sending().preflight("swift://container/prefix", credentials)


@pytest.mark.parametrize(
    ("credentials", "missing"),
    [
        (without(TOKEN, "token"), "token"),
        (without(TOKEN, "storage_url"), "storage_url"),
        (without(V1, "auth_url"), "auth_url"),
        (without(V1, "key"), "key"),
        ({**V1, "key": ""}, "key"),
        (without(PASSWORD, "password"), "password"),
        (without(PASSWORD, "username"), "username or user_id"),
        (
            without(PASSWORD, "user_domain_name"),
            "user_domain_name or user_domain_id",
        ),
        (without(PASSWORD, "project_name"), "project_name or project_id"),
        (
            without(PASSWORD, "project_domain_name"),
            "project_domain_name or project_domain_id",
        ),
        (
            without(APPLICATION, "application_credential_secret"),
            "application_credential_secret",
        ),
    ],
)
def test_what_is_missing_is_named(credentials, missing):
    error = refused("swift://container/prefix", credentials)

    assert error.code == "destination_denied"
    assert f"lack {missing};" in str(error)


@pytest.mark.parametrize(
    "credentials",
    [
        {**V1, CANARY: "x"},
        {**V1, "key": CANARY, "region": "r"},
        {**V1, "key": f"{CANARY}\r\nX-Evil: 1"},
        {**V1, "key": [CANARY]},
        {**V1, "key": CANARY + "x" * 9000},
        {**V1, "key": f"{CANARY}\ud800"},
        {CANARY: CANARY},
    ],
)
def test_what_is_refused_is_not_shown(credentials):
    error = refused("swift://container/prefix", credentials)

    assert error.code == "destination_denied"
    assert CANARY not in f"{error!r} {error} {error.detail}"


@pytest.mark.parametrize("credentials", [None, {}])
def test_without_credentials_the_ways_to_log_in_are_told(credentials):
    error = refused("swift://container/prefix", credentials)

    assert error.code == "destination_denied"
    assert "token, storage_url" in str(error)


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/auth",
        "http://10.0.0.1/auth",
        "file:///etc/passwd",
        "http://127.0.0.1:99999/",
        f"http://u:{CANARY}@127.0.0.1/auth",
        f"http://127.0.0.1/auth?{CANARY}",
        "nothing",
    ],
)
@pytest.mark.parametrize("key", ["auth_url", "storage_url"])
def test_addresses_in_credentials_keep_the_rules(key, url):
    credentials = {**(V1 if key == "auth_url" else TOKEN), key: url}

    error = refused("swift://container/prefix", credentials)

    assert error.code == "destination_not_allowed"
    assert CANARY not in str(error)


@pytest.mark.parametrize(
    "uri",
    [
        "swift://",
        "swift:///object",
        f"swift://user:{CANARY}@container/x",
        f"swift://container/x?temp_url_sig={CANARY}",
        "swift://container/x#fragment",
        "swift://con%2Ftainer/x",
        "swift://container/%00",
        "swift://container/%ff",
        f"swift://{'c' * 248}/x",
        f"swift://container/{'x' * 1025}",
    ],
)
def test_what_is_no_place_in_swift_is_refused(uri):
    error = refused(uri, V1)

    assert error.code == "destination_not_allowed"
    assert CANARY not in str(error)


@pytest.mark.parametrize(
    ("prefix", "location"),
    [
        ("swift://c", "swift://c/na%20me"),
        ("swift://c/", "swift://c/na%20me"),
        ("swift://c/p/q/", "swift://c/p/q/na%20me"),
        ("SWIFT://c/%C3%A4", "SWIFT://c/%C3%A4/na%20me"),
    ],
)
def test_an_object_lies_under_its_prefix(prefix, location):
    assert swift.sending().location(prefix, "na me") == location


@hypothesis.given(strategies.text(min_size=1, max_size=300))
def test_any_name_comes_back_as_it_was_or_is_refused(name):
    try:
        location = swift.sending().location("swift://c/p", name)
    except exceptions.SendError as error:
        assert error.code == "destination_not_allowed"
    else:
        assert address.parse_object(location).name == f"p/{name}"


def parcel(uri, size):
    return ports.Parcel(
        uri=uri, token="task-1", size=size, md5="0" * 32, credentials=V1
    )


@pytest.mark.parametrize(
    ("uri", "size"),
    [
        ("swift://container", 1),
        (f"swift://container/{'x' * 1020}", 1),
        ("swift://container/x", (5000 << 30) + 1),
    ],
)
def test_an_object_that_cannot_be_is_refused_before_it_is_sent(uri, size):
    with pytest.raises(exceptions.SendError) as caught:
        swift.remove(parcel(uri, size))

    assert caught.value.code == "destination_not_allowed"


@pytest.mark.parametrize(
    ("size", "part_size", "width"),
    [
        (0, 64, 4),
        (1 << 30, 64, 4),
        (1000 * 64 << 20, 64, 4),
        ((1000 * 64 << 20) + 1, 65, 3),
        (1 << 40, 1049, 1),
    ],
)
def test_an_object_of_any_size_is_of_a_thousand_parts(size, part_size, width):
    rules = swift.allowing(chunk_size=64 << 20, parts_at_once=4)
    endpoint = swift.FACTORIES["swift"](rules, None)

    found = endpoint.destination(parcel("swift://container/x", size))

    assert (found.part_size >> 20, found.width) == (part_size, width)
    assert found.part_size * 1000 >= size
