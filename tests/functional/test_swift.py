# SPDX-License-Identifier: Apache-2.0
"""Sending to a real Swift, and taking away what was sent."""

from concurrent import futures
import dataclasses
import os

import pytest

from glance_tasks import exceptions
from glance_tasks.testing import doubles
from glance_tasks.transfer import client
from glance_tasks.transfer import endpoint
from tests.support import keystone
from tests.support import swift as swifts
from tests.support.swift import swift

__all__ = ["swift"]

PART = swifts.PART


@pytest.fixture(scope="module")
def account(swift):
    return swifts.Account(swift)


@pytest.fixture
def container(account):
    return account.container()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "image"
    path.write_bytes(os.urandom(2 * PART + 7))
    return path


@pytest.fixture
def parcel(swift, container, file):
    return swifts.parcel(
        f"swift://{container}/out/a%20disk", file, swift.credentials
    )


class Meanwhile:
    """A fence that lets through, but something happens before."""

    number = 1

    def __init__(self, happens):
        self.check = happens


# --- what arrives ------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, PART, PART + 1, 5 * PART])
def test_a_file_of_any_size_arrives_whole(
    swift, account, container, file, size
):
    file.write_bytes(os.urandom(size))
    parcel = swifts.parcel(f"swift://{container}/x", file, swift.credentials)

    sent = swifts.send(parcel, file)

    assert (sent.size, sent.sent) == (size, size)
    assert account.objects(container) == {"x": size}
    assert account.md5(f"/{container}/x") == parcel.md5


def test_a_large_file_lies_in_segments_of_its_task(
    account, container, file, parcel
):
    swifts.send(parcel, file)

    assert account.objects(f"{container}_segments") == {
        "out/a disk/task-1/00000001": PART,
        "out/a disk/task-1/00000002": PART,
        "out/a disk/task-1/00000003": 7,
    }


def test_a_whole_upload_is_not_sent_again(file, parcel):
    swifts.send(parcel, file)

    sent = swifts.send(parcel, file)

    assert sent.sent == 0


def test_parts_of_another_size_are_sent_again_and_leave_nothing(
    account, container, file, parcel
):
    with pytest.raises(exceptions.LeaseLost):
        swifts.send(parcel, file, fence=doubles.LostFence())

    sent = swifts.send(parcel, file, chunk_size=2 * PART)

    assert sent.sent == parcel.size
    assert set(account.objects(f"{container}_segments").values()) == {
        2 * PART,
        7,
    }
    assert account.md5(f"/{container}/out/a%20disk") == parcel.md5


def test_a_file_that_changed_under_its_task_is_sent_anew(
    swift, account, container, file, parcel
):
    swifts.send(parcel, file)
    file.write_bytes(os.urandom(3 * PART))
    parcel = swifts.parcel(parcel.uri, file, swift.credentials)

    swifts.send(parcel, file)

    assert account.md5(f"/{container}/out/a%20disk") == parcel.md5


def test_the_segments_get_the_policy_of_their_container(
    container, file, parcel
):
    policies = []

    def alter(method, uri, ask):
        if method == "HEAD" and uri.endswith(container):
            return client.Reply(204, {"x-storage-policy": "gold"}, b"")
        if method == "PUT" and uri.endswith("_segments"):
            policies.append(ask.headers["X-Storage-Policy"])
            ask.headers.pop("X-Storage-Policy")
        return ask()

    swifts.send_altered(alter, parcel, file)

    assert set(policies) == {"gold"}


# --- what was there before ---------------------------------------------------


@pytest.mark.parametrize("parts", [1, 3])
def test_an_object_of_another_is_kept(account, container, file, parcel, parts):
    account.ask("PUT", f"/{container}/out/a%20disk", b"theirs")

    with pytest.raises(exceptions.SendError) as caught:
        swifts.send(parcel, file, chunk_size=4 * PART // parts)

    assert caught.value.code == "destination_exists"
    assert account.objects(container) == {"out/a disk": 6}


@pytest.mark.parametrize("parts", [1, 3])
def test_an_object_that_appears_meanwhile_is_kept(
    account, container, file, parcel, parts
):
    def happens():
        account.ask("PUT", f"/{container}/out/a%20disk", b"theirs")

    with pytest.raises(exceptions.SendError) as caught:
        swifts.send(
            parcel,
            file,
            fence=Meanwhile(happens),
            chunk_size=4 * PART // parts,
        )

    assert caught.value.code == "destination_exists"
    assert account.objects(container) == {"out/a disk": 6}


@pytest.mark.parametrize("parts", [1, 3])
def test_an_object_of_another_is_replaced_where_asked(
    account, container, file, parcel, parts
):
    account.ask("PUT", f"/{container}/out/a%20disk", b"theirs")
    parcel = dataclasses.replace(parcel, overwrite=True)

    swifts.send(parcel, file, chunk_size=4 * PART // parts)

    assert account.md5(f"/{container}/out/a%20disk") == parcel.md5


def test_a_container_that_is_not_there_is_named(swift, file):
    parcel = swifts.parcel("swift://nowhere/x", file, swift.credentials)

    with pytest.raises(exceptions.SendError) as caught:
        swifts.send(parcel, file)

    assert caught.value.code == "destination_not_found"
    assert "no 'nowhere' in this account" in str(caught.value)


def test_two_uploads_under_one_prefix_do_not_meet(
    swift, account, container, file
):
    prefix = f"swift://{container}/out/"
    parcels = [
        swifts.parcel(
            swifts.sending().location(prefix, name),
            file,
            swift.credentials,
            token=f"task-{name}",
        )
        for name in ("a", "b")
    ]
    with futures.ThreadPoolExecutor() as crew:
        list(crew.map(lambda parcel: swifts.send(parcel, file), parcels))

    swifts.remove(parcels[0])

    assert account.objects(container) == {"out/b": parcels[1].size}
    assert account.md5(f"/{container}/out/b") == parcels[1].md5


# --- a destination that lies -------------------------------------------------


def test_a_segment_with_another_digest_is_not_believed(file, parcel):
    def alter(method, uri, ask):
        reply = ask()
        if method == "PUT" and uri.endswith("/00000002"):
            return dataclasses.replace(reply, headers={"etag": "0" * 32})
        return reply

    with pytest.raises(exceptions.SendError) as caught:
        swifts.send_altered(alter, parcel, file)

    assert caught.value.code == "destination_unverified"


def test_a_segment_that_was_dropped_is_missed(
    account, container, file, parcel
):
    def alter(method, uri, ask):
        if method == "PUT" and uri.endswith("/00000002"):
            return client.Reply(201, {"etag": ask.headers["ETag"]}, b"")
        return ask()

    with pytest.raises(exceptions.SendError) as caught:
        swifts.send_altered(alter, parcel, file)

    assert caught.value.code == "destination_unverified"
    assert account.objects(container) == {}


@pytest.mark.parametrize(
    ("header", "lie"), [("etag", '"0"'), ("content-length", "17")]
)
def test_an_object_that_is_not_what_was_sent_is_not_believed(
    file, parcel, header, lie
):
    def alter(method, uri, ask):
        reply = ask()
        if method == "HEAD" and reply.status == 200 and "/out/" in uri:
            headers = {**reply.headers, header: lie}
            return dataclasses.replace(reply, headers=headers)
        return reply

    with pytest.raises(exceptions.SendError) as caught:
        swifts.send_altered(alter, parcel, file)

    assert caught.value.code == "destination_unverified"


@pytest.mark.parametrize("size", [PART, 2 * PART])
def test_an_answer_that_is_lost_is_asked_for_again(
    swift, account, container, file, size
):
    lost = []
    file.write_bytes(os.urandom(size))
    parcel = swifts.parcel(f"swift://{container}/x", file, swift.credentials)

    def alter(method, uri, ask):
        reply = ask()
        if method == "PUT" and "_segments" not in uri and not lost:
            lost.append(uri)
            raise endpoint.Interrupted("the answer is lost")
        return reply

    swifts.send_altered(alter, parcel, file)

    assert account.md5(f"/{container}/x") == parcel.md5


@pytest.mark.parametrize("status", [429, 503])
def test_an_answer_that_says_later_is_taken_at_its_word(file, parcel, status):
    said = []

    def alter(method, uri, ask):
        if method == "PUT" and uri.endswith("/00000002") and not said:
            said.append(uri)
            return client.Reply(status, {}, b"")
        return ask()

    sent = swifts.send_altered(alter, parcel, file)

    assert sent.sent == parcel.size


@pytest.mark.parametrize(
    ("status", "code"),
    [(413, "destination_full"), (405, "destination_invalid")],
)
def test_a_refusal_has_a_code_of_its_own(file, parcel, status, code):
    def alter(method, uri, ask):
        if method == "PUT" and uri.endswith("/00000002"):
            return client.Reply(status, {}, b"")
        return ask()

    with pytest.raises(exceptions.SendError) as caught:
        swifts.send_altered(alter, parcel, file)

    assert caught.value.code == code


@pytest.mark.parametrize(
    "listing",
    [
        b"[",
        b"{}",
        b"[1]",
        b'[{"name": "out/a disk/task-1/1"}]',
    ],
)
def test_a_listing_that_is_none_is_not_believed(file, parcel, listing):
    def alter(method, uri, ask):
        reply = ask()
        if method == "GET" and "prefix=" in uri:
            return client.Reply(200, {}, listing)
        return reply

    with pytest.raises(exceptions.SendError) as caught:
        swifts.send_altered(alter, parcel, file)

    assert caught.value.code == "destination_invalid"


# --- who may -----------------------------------------------------------------


def test_who_may_not_write_is_told_so(swift, file, container):
    parcel = swifts.parcel(f"swift://{container}/x", file, swift.powerless)

    with pytest.raises(exceptions.SendError) as caught:
        swifts.send(parcel, file)

    assert caught.value.code == "destination_denied"
    assert "answered 403 to HEAD" in str(caught.value)


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
