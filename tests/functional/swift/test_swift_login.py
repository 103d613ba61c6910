# SPDX-License-Identifier: Apache-2.0
"""Logging in to a real Swift, by itself and by a double of Keystone."""

import os

import pytest

from glance_tasks import exceptions
from tests.support import keystone
from tests.support import swift as swifts


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "image"
    path.write_bytes(os.urandom(1000))
    return path


def test_who_may_not_write_is_told_so(swift, file, container):
    parcel = swifts.parcel(f"swift://{container}/x", file, swift.powerless)

    with pytest.raises(exceptions.SendError) as caught:
        swifts.send(parcel, file)

    assert caught.value.code == "destination_denied"
    assert f"403 to HEAD in the container {container!r}" in str(caught.value)


def test_a_wrong_key_is_denied_and_not_shown(swift, file, container):
    wrong = {**swift.credentials, "key": "wrong-canary"}
    parcel = swifts.parcel(f"swift://{container}/x", file, wrong)

    with pytest.raises(exceptions.SendError) as caught:
        swifts.send(parcel, file)

    assert caught.value.code == "destination_denied"
    assert "canary" not in f"{caught.value!r} {parcel!r}"


def test_a_token_by_itself_is_enough(swift, account, file, container):
    url, token = swift.access()
    parcel = swifts.parcel(
        f"swift://{container}/x", file, {"storage_url": url, "token": token}
    )

    swifts.send(parcel, file)

    assert account.md5(f"/{container}/x") == parcel.md5


PASSWORD = {
    "username": "u",
    "password": "p",
    "user_domain_name": "d",
    "project_name": "n",
    "project_domain_id": "i",
}
APPLICATION = {
    "application_credential_id": "a",
    "application_credential_secret": "s",
}
IDENTITIES = {
    "password": {
        "methods": ["password"],
        "password": {
            "user": {"name": "u", "domain": {"name": "d"}, "password": "p"}
        },
    },
    "application": {
        "methods": ["application_credential"],
        "application_credential": {"id": "a", "secret": "s"},
    },
}


@pytest.mark.parametrize(
    ("given", "way"),
    [(PASSWORD, "password"), (APPLICATION, "application")],
)
def test_keystone_leads_to_the_store_of_a_region(
    swift, account, file, container, given, way
):
    url, token = swift.access()
    with keystone.Keystone(IDENTITIES[way], url, [token]) as double:
        given = {**given, "auth_url": double.auth_url, "region": "north"}
        parcel = swifts.parcel(f"swift://{container}/x", file, given)

        swifts.send(parcel, file)

    assert account.md5(f"/{container}/x") == parcel.md5
    assert len(double.asked) == 1


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/v1/a", "http://10.0.0.1/", "file:///etc"]
)
def test_a_catalogue_leads_only_where_the_rules_allow(swift, file, url):
    with keystone.Keystone(IDENTITIES["password"], url, ["t"]) as double:
        given = {**PASSWORD, "auth_url": double.auth_url, "region": "north"}
        parcel = swifts.parcel("swift://c/x", file, given)

        with pytest.raises(exceptions.SendError) as caught:
            swifts.send(parcel, file)

    assert caught.value.code == "destination_not_allowed"


def test_a_token_that_has_ended_is_renewed_once(
    swift, account, file, container
):
    url, token = swift.access()
    tokens = ["ended", token]
    with keystone.Keystone(IDENTITIES["password"], url, tokens) as double:
        given = {**PASSWORD, "auth_url": double.auth_url, "region": "north"}
        parcel = swifts.parcel(f"swift://{container}/x", file, given)

        swifts.send(parcel, file)

    assert account.md5(f"/{container}/x") == parcel.md5
    assert len(double.asked) == 2


def test_a_new_token_that_is_refused_too_ends_it(swift, file, container):
    url, _ = swift.access()
    tokens = ["bad", "worse", "never"]
    with keystone.Keystone(IDENTITIES["password"], url, tokens) as double:
        given = {**PASSWORD, "auth_url": double.auth_url, "region": "north"}
        parcel = swifts.parcel(f"swift://{container}/x", file, given)

        with pytest.raises(exceptions.SendError) as caught:
            swifts.send(parcel, file)

    assert caught.value.code == "destination_denied"
    assert len(double.asked) == 2
