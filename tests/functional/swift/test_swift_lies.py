# SPDX-License-Identifier: Apache-2.0
"""A Swift that lies, refuses, or answers late."""

import dataclasses
import os

import pytest

from glance_tasks import exceptions
from glance_tasks.transfer import client
from glance_tasks.transfer import endpoint
from tests.support import swift as swifts

PART = swifts.PART


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
def test_an_answer_that_is_lost_is_asked_for_once_more(
    swift, account, container, file, size
):
    asked = []
    file.write_bytes(os.urandom(size))
    parcel = swifts.parcel(f"swift://{container}/x", file, swift.credentials)

    def alter(method, uri, ask):
        reply = ask()
        if method == "PUT" and "_segments" not in uri:
            asked.append(uri)
            if len(asked) == 1:
                raise endpoint.Interrupted("the answer is lost")
        return reply

    swifts.send_altered(alter, parcel, file)

    assert account.md5(f"/{container}/x") == parcel.md5
    assert len(asked) == 2


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
