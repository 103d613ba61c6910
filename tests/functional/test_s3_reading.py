# SPDX-License-Identifier: Apache-2.0
"""Reading from an S3."""

import pytest

from glance_tasks import exceptions
from glance_tasks.testing import doubles
from tests.support import s3
from tests.support.s3 import bucket
from tests.support.s3 import large
from tests.support.s3 import s3_credentials

__all__ = ["bucket", "large", "s3_credentials"]

PART, TOKEN = s3.PART, s3.TOKEN
KEY = f"out/disk-{TOKEN}"


# --- reading -----------------------------------------------------------------


def test_an_object_is_read(bucket, large, tmp_path):
    parcel = bucket.parcel(large, "given +% ü")
    s3.send(parcel, large)

    fetched = s3.fetch(parcel.uri, tmp_path / "read", bucket.credentials)

    assert fetched.digests["md5"] == parcel.md5
    assert fetched.size == parcel.size


def test_reading_that_was_cut_goes_on(bucket, large, tmp_path):
    parcel = bucket.parcel(large)
    s3.send(parcel, large)
    path = tmp_path / "read"
    with pytest.raises(exceptions.LeaseLost):
        s3.fetch(
            parcel.uri,
            path,
            bucket.credentials,
            stop=doubles.StopWhen(lambda: reached(path, 3 << 20)),
        )

    fetched = s3.fetch(parcel.uri, path, bucket.credentials)

    assert fetched.digests["md5"] == parcel.md5
    assert fetched.refetched <= 1 << 20


def reached(path, size):
    return path.exists() and path.stat().st_size >= size


@pytest.mark.parametrize(
    ("uri", "code"),
    [
        ("s3://{}/nothing", "source_not_found"),
        ("s3://no-such-bucket/x", "source_not_found"),
        ("s3://{}/", "source_not_allowed"),
        ("s3://{}/a/../b", "source_not_allowed"),
    ],
)
def test_what_cannot_be_read_is_told(bucket, tmp_path, uri, code):
    with pytest.raises(exceptions.FetchError) as caught:
        s3.fetch(
            uri.format(bucket.name), tmp_path / "read", bucket.credentials
        )

    assert caught.value.code == code


def test_an_address_in_an_error_has_no_signature(bucket, tmp_path):
    with pytest.raises(exceptions.FetchError) as caught:
        s3.fetch(
            f"s3://{bucket.name}/nothing",
            tmp_path / "read",
            bucket.credentials,
        )

    assert "X-Amz" not in str(caught.value)
    assert bucket.credentials["access_key"] not in str(caught.value)
