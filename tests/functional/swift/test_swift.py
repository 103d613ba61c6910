# SPDX-License-Identifier: Apache-2.0
"""Sending to a real Swift, and taking away what was sent."""

from concurrent import futures
import dataclasses
import os

import pytest

from glance_tasks import exceptions
from glance_tasks.testing import doubles
from glance_tasks.transfer import client
from tests.support import swift as swifts

PART = swifts.PART


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
        swifts.send(parcel, file, fence=doubles.LostFence(after=1))

    sent = swifts.send(parcel, file, chunk_size=2 * PART)

    assert sent.sent == parcel.size
    assert account.objects(f"{container}_segments") == {
        "out/a disk/task-1/00000001": 2 * PART,
        "out/a disk/task-1/00000002": 7,
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
