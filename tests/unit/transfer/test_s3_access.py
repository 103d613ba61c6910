# SPDX-License-Identifier: Apache-2.0
"""What s3 addresses and credentials are taken, and in which words not."""

import pytest

from glance_tasks import exceptions
from glance_tasks import ports
from glance_tasks.testing import doubles
from glance_tasks.transfer import rules
from glance_tasks.transfer import sender
from glance_tasks.transfer.s3 import access as s3_access
from glance_tasks.transfer.s3 import scheme
from glance_tasks.transfer.s3 import upload as s3_upload
from tests.support import s3 as support

LOGIN = {"access_key": "AK", "secret_key": "hidden"}
ALLOWED = rules.SendRules(schemes=("s3",))


def sending(allowed=ALLOWED):
    return sender.GuardedSender(allowed, factories={"s3": scheme.S3Endpoint})


@pytest.mark.parametrize(
    ("uri", "bucket", "key"),
    [
        ("s3://images/disk", "images", "disk"),
        ("s3://im.a-g_es/a/b//c", "im.a-g_es", "a/b//c"),
        ("s3://images/a%20b%3F%25%C3%BC", "images", "a b?%ü"),
        ("s3://images/a+b:c@d", "images", "a+b:c@d"),
        ("S3://Images/..a/b..", "Images", "..a/b.."),
    ],
)
def test_an_address_has_a_bucket_and_a_key(uri, bucket, key):
    address = s3_access.Address.of(uri)

    assert (address.bucket, address.key) == (bucket, key)


@pytest.mark.parametrize(
    "uri",
    [
        "s3://images",
        "s3://images/",
        "s3://images/a/",
        "s3:///a",
        "s3://user:hidden@images/a",
        "s3://images:443/a",
        "s3://arn:aws:s3:::images/a",
        "s3://-images/a",
        "s3://images--use1-az1--x-s3/a",
        "s3://images/a?versionId=7",
        "s3://images/a#b",
        "s3://images/./a",
        "s3://images/a/%2e%2E",
        "s3://images/a%00b",
        "s3://images/a%0Ab",
        "s3://images/%FF",
        f"s3://images/{'a' * 1025}",
    ],
)
def test_what_names_no_object_is_refused(uri):
    with pytest.raises(exceptions.FetchError) as caught:
        s3_access.Address.of(uri)

    assert caught.value.code == "source_not_allowed"
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    ("prefix", "location"),
    [
        ("s3://images", "s3://images/a%20disk"),
        ("s3://images/", "s3://images/a%20disk"),
        ("s3://images/out/", "s3://images/out/a%20disk"),
        ("s3://images/out%2Fx", "s3://images/out%2Fx/a%20disk"),
    ],
)
def test_an_object_lies_below_its_prefix(prefix, location):
    assert sending().location(prefix, "a disk") == location


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"session_token": "t", "region": "RegionOne"},
        {"endpoint_url": "https://s3.example.org:443/below"},
        {"addressing_style": "virtual"},
    ],
)
def test_credentials_that_are_whole_are_taken(more):
    sending().preflight("s3://images/out", LOGIN | more)


@pytest.mark.parametrize(
    ("credentials", "words"),
    [
        (None, "no access_key"),
        ({}, "no access_key"),
        ({"secret_key": "hidden"}, "no access_key"),
        ({"region": "eu-north-1"}, "no access_key"),
        ({"access_key": "hidden"}, "no secret_key"),
        (LOGIN | {"secret_key": ""}, "no valid secret_key"),
        (LOGIN | {"secret_key": 7}, "no valid secret_key"),
        (LOGIN | {"session_token": "hid\r\nden: x"}, "no valid session_token"),
        (LOGIN | {"hidden": "hidden"}, "a key that is not known"),
        (LOGIN | {"region": "hidden.example"}, "no valid region"),
        (LOGIN | {"region": "7"}, "no valid region"),
        (LOGIN | {"addressing_style": "hidden"}, "auto, path or virtual"),
        (LOGIN | {"endpoint_url": "https://u:hidden@a"}, "with a login"),
        (LOGIN | {"endpoint_url": "https://a/?hidden"}, "a query"),
    ],
)
def test_credentials_that_are_not_are_refused_without_being_told(
    credentials, words
):
    with pytest.raises(exceptions.SendError, match=words) as caught:
        sending().preflight("s3://images/out", credentials)

    assert caught.value.code == "destination_denied"
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1",
        "http://0x7f.1",
        "http://169.254.169.254/",
        "https://s3.example.org:9000",
        "file:///etc/passwd",
        "s3.example.org",
    ],
)
def test_an_endpoint_that_the_rules_forbid_is_refused(url):
    with pytest.raises(exceptions.SendError) as caught:
        sending().preflight("s3://images/out", LOGIN | {"endpoint_url": url})

    assert caught.value.code == "destination_not_allowed"


def test_an_endpoint_that_botocore_does_not_take_is_refused():
    credentials = LOGIN | {"endpoint_url": "http://127.0.0.1_7"}
    parcel = ports.Parcel(
        "s3://images/a", "t", 0, "0" * 32, credentials=credentials
    )

    with pytest.raises(exceptions.SendError, match="does not take") as caught:
        sending(support.allowing()).remove(parcel, stop=doubles.NeverStop())

    assert caught.value.code == "destination_not_allowed"


def test_no_representation_has_a_secret():
    access = s3_access.Access.of(LOGIN | {"session_token": "t0k"}, ALLOWED)

    assert "hidden" not in repr(access)
    assert "t0k" not in repr(access)


@pytest.mark.parametrize("most", [s3_upload.PARTS, s3_upload.AWS_PARTS])
@pytest.mark.parametrize("size", [0, 1, 5 << 20, 64 << 30, (1 << 40) + 1])
def test_no_object_has_more_parts_than_are_taken(size, most):
    step = s3_upload.part_size(size, 64 << 20, most)

    assert step >= 64 << 20
    assert step % (1 << 20) == 0
    # One number is kept for the part with the token.
    assert -(-size // step) < most


def test_a_part_is_never_too_small():
    assert s3_upload.part_size(1, 1 << 20, 1000) == s3_upload.MIN_PART
