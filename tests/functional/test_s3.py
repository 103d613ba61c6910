# SPDX-License-Identifier: Apache-2.0
"""Sending to an S3, and taking away what was sent."""

import dataclasses
import os

import pytest

from glance_tasks import exceptions
from glance_tasks.testing import doubles
from glance_tasks.transfer import client
from tests.support import s3
from tests.support.s3 import bucket
from tests.support.s3 import hurry
from tests.support.s3 import large
from tests.support.s3 import s3_credentials
from tests.support.s3 import small

__all__ = ["bucket", "hurry", "large", "s3_credentials", "small"]

PART, TOKEN = s3.PART, s3.TOKEN
KEY = f"out/disk-{TOKEN}"


class Meanwhile:
    """A fence that lets through, but something happens before."""

    number = 1

    def __init__(self, happens):
        self.check = happens


def cut(parcel, path):
    """Leave an upload with its parts, as a run does that is then killed."""
    with pytest.raises(exceptions.LeaseLost):
        s3.send(parcel, path, fence=doubles.LostFence(after=1))


# --- what arrives ------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, PART, PART + 1, 2 * PART])
def test_a_file_of_any_size_arrives_whole(bucket, tmp_path, size):
    path = tmp_path / "disk"
    path.write_bytes(os.urandom(size))

    sent = s3.send(bucket.parcel(path), path)

    assert (sent.size, sent.sent) == (size, size)
    assert bucket.objects() == {KEY: size}
    uri = bucket.parcel(path).uri
    fetched = s3.fetch(uri, tmp_path / "read", bucket.credentials)
    assert fetched.digests["md5"] == s3.md5(path)


def test_a_whole_upload_is_not_sent_again(bucket, large):
    s3.send(bucket.parcel(large), large)

    sent = s3.send(bucket.parcel(large), large)

    assert sent.sent == 0


@pytest.mark.parametrize("name", [f"disk-{TOKEN}", "given +% ü/disk"])
def test_an_upload_that_was_cut_goes_on_with_what_is_missing(
    bucket, large, name
):
    parcel = bucket.parcel(large, name)

    def without_third(asked, ask):
        if asked.part == 3:
            raise exceptions.LeaseLost("killed")
        return ask()

    with pytest.raises(exceptions.LeaseLost):
        s3.send(parcel, large, alter=without_third)
    there = sum(s for n, s in bucket.open_parts().items() if n <= 3)

    sent = s3.send(parcel, large)

    assert there > 0
    assert sent.sent == parcel.size - there
    assert bucket.objects() == {f"out/{name}": parcel.size}
    assert bucket.uploads() == []


def test_parts_of_another_size_are_sent_again(bucket, large):
    parcel = bucket.parcel(large)
    cut(parcel, large)

    sent = s3.send(parcel, large, allowed=s3.allowing(chunk_size=PART + 1))

    assert sent.sent == parcel.size


def test_an_object_that_became_another_version_is_sent_anew(bucket, tmp_path):
    path = tmp_path / "disk"
    for size in (PART + 1, PART + 2):
        path.write_bytes(os.urandom(size))
        s3.send(bucket.parcel(path), path)

    assert bucket.objects() == {KEY: PART + 2}


def test_two_exports_under_one_prefix_are_two_objects(bucket, large):
    parcels = [
        bucket.parcel(large, f"disk-{token}", token=token) for token in "ab"
    ]
    cut(parcels[0], large)
    s3.send(parcels[1], large)

    s3.remove(parcels[1])

    assert bucket.uploads() == ["out/disk-a"]
    assert s3.send(parcels[0], large).sent == 0
    assert bucket.objects() == {"out/disk-a": parcels[0].size}


# --- what is there already ---------------------------------------------------


@pytest.mark.parametrize("file", ["small", "large"])
def test_another_object_is_kept(request, bucket, file):
    path = request.getfixturevalue(file)
    bucket.others()

    text = s3.fails(bucket.parcel(path), path, "destination_exists")

    assert text.startswith(f"s3://{bucket.name}/{KEY} holds another object")
    assert bucket.objects() == {KEY: len(b"precious")}


@pytest.mark.parametrize("file", ["small", "large"])
def test_another_object_is_replaced_where_that_is_asked_for(
    request, bucket, file
):
    path = request.getfixturevalue(file)
    bucket.others()

    s3.send(bucket.parcel(path, overwrite=True), path)

    assert bucket.objects() == {KEY: path.stat().st_size}


@pytest.mark.parametrize("file", ["small", "large"])
def test_an_object_that_comes_meanwhile_is_kept(request, bucket, file):
    path = request.getfixturevalue(file)
    parcel = bucket.parcel(path)

    s3.fails(
        parcel,
        path,
        "destination_exists",
        fence=Meanwhile(bucket.others),
    )
    s3.remove(parcel)

    assert bucket.objects() == {KEY: len(b"precious")}
    assert bucket.uploads() == []


@pytest.mark.parametrize("file", ["small", "large"])
def test_the_server_itself_keeps_an_object_that_came_unseen(
    request, bucket, file
):
    path = request.getfixturevalue(file)
    looks = []

    def blind(asked, ask):
        if asked.method == "HEAD" and len(looks) < 2:
            looks.append(asked)
            return client.Reply(404, {}, b"")
        return ask()

    bucket.others()

    s3.fails(bucket.parcel(path), path, "destination_exists", alter=blind)

    assert bucket.objects() == {KEY: len(b"precious")}


def test_a_server_without_conditions_is_asked_without(bucket, small):
    refused = []

    def old(asked, ask):
        if "If-None-Match" in asked.headers:
            refused.append(asked)
            body = b"<Error><Code>NotImplemented</Code></Error>"
            return client.Reply(501, {}, body)
        return ask()

    s3.send(bucket.parcel(small), small, alter=old)

    assert len(refused) == 1
    assert bucket.objects() == {KEY: 1000}


def test_an_upload_of_another_under_the_same_name_is_left_alone(bucket, large):
    bucket.ask("create_multipart_upload", Key="out/given")
    parcel = bucket.parcel(large, "given", overwrite=True)
    cut(parcel, large)
    assert len(bucket.uploads()) == 2

    s3.remove(parcel)

    assert bucket.uploads() == ["out/given"]


# --- removing ----------------------------------------------------------------


@pytest.mark.parametrize("name", [f"disk-{TOKEN}", "given"])
def test_a_half_upload_leaves_nothing(bucket, large, name):
    parcel = bucket.parcel(large, name)
    cut(parcel, large)
    assert bucket.uploads() == [f"out/{name}"]

    s3.remove(parcel)
    s3.remove(parcel)

    assert (bucket.uploads(), bucket.objects()) == ([], {})


@pytest.mark.parametrize("file", ["small", "large"])
def test_a_whole_upload_leaves_nothing(request, bucket, file):
    path = request.getfixturevalue(file)
    s3.send(bucket.parcel(path), path)

    s3.remove(bucket.parcel(path))

    assert (bucket.uploads(), bucket.objects()) == ([], {})


def test_the_object_of_another_stays(bucket, small):
    bucket.others()

    s3.remove(bucket.parcel(small))

    assert bucket.objects() == {KEY: len(b"precious")}


def test_removing_where_no_bucket_is_removes_nothing(bucket, small):
    parcel = bucket.parcel(small)

    s3.remove(dataclasses.replace(parcel, uri="s3://no-such-bucket/x"))


def test_the_version_before_is_there_again(bucket, large):
    try:
        bucket.ask(
            "put_bucket_versioning",
            VersioningConfiguration={"Status": "Enabled"},
        )
    except exceptions.SendError:
        pytest.skip("this server keeps no versions")
    bucket.others()
    parcel = bucket.parcel(large, overwrite=True)
    s3.send(parcel, large)

    s3.remove(parcel)

    assert bucket.objects() == {KEY: len(b"precious")}
    found = bucket.ask("list_object_versions")
    assert len(found["Versions"]) == 1
    assert "DeleteMarkers" not in found


def test_what_cannot_be_removed_is_told(bucket, small):
    s3.send(bucket.parcel(small), small)

    def keep(asked, ask):
        if asked.method == "DELETE":
            return client.Reply(204, {}, b"")
        return ask()

    with pytest.raises(exceptions.SendError, match="has an object of ours"):
        s3.remove(bucket.parcel(small), alter=keep)


# --- others at the same time -------------------------------------------------


# moto answers 500 where it should say that there is no such upload.
@pytest.mark.usefixtures("hurry")
@pytest.mark.parametrize("name", [f"disk-{TOKEN}", "given"])
def test_a_frozen_run_completes_nothing_that_its_successor_removed(
    bucket, large, name
):
    parcel = bucket.parcel(large, name)

    s3.fails(
        parcel,
        large,
        "destination_unavailable",
        fence=Meanwhile(lambda: s3.remove(parcel)),
    )

    assert (bucket.uploads(), bucket.objects()) == ([], {})


def test_a_frozen_run_finds_what_its_successor_completed(bucket, large):
    parcel = bucket.parcel(large)

    sent = s3.send(
        parcel, large, fence=Meanwhile(lambda: s3.send(parcel, large))
    )

    assert sent.size == parcel.size
    assert (bucket.uploads(), len(bucket.objects())) == ([], 1)


def test_a_small_object_does_not_appear_before_the_fence_was_asked(
    bucket, small
):
    cut(bucket.parcel(small), small)

    assert bucket.objects() == {}


def test_an_upload_beside_ours_is_aborted_with_the_end(bucket, large):
    parcel = bucket.parcel(large)
    for _ in range(2):
        bucket.ask(
            "create_multipart_upload", Key=KEY, Metadata={"glance-task": TOKEN}
        )

    s3.send(parcel, large)

    assert bucket.uploads() == []
