# SPDX-License-Identifier: Apache-2.0
"""Transfers that are cut: gone on with, begun anew, or given up."""

import email.utils
import time

import pytest

from glance_tasks import exceptions
from glance_tasks.testing.http_source import Resource
from tests.support import fetching

BODY = bytes(range(256)) * 1024


def failing(uri, path, **options):
    """Give the error with which a fetch ends."""
    with pytest.raises(exceptions.FetchError) as caught:
        fetching.fetch(uri, path, **options)
    return caught.value


def old_date():
    return email.utils.formatdate(time.time() - 3600, usegmt=True)


def new_date():
    return email.utils.formatdate(time.time() + 3600, usegmt=True)


@pytest.mark.parametrize(
    "told",
    [{"etag": '"v7"'}, {"etag": None, "last_modified": old_date()}],
    ids="-".join,
)
def test_a_cut_transfer_goes_on_with_the_next_byte(source, tmp_path, told):
    uri = source.put("/a", Resource(BODY, cut_after=50_000, cuts=3, **told))

    fetched = fetching.fetch(uri, tmp_path / "a")

    assert (tmp_path / "a").read_bytes() == BODY
    assert [r.start for r in source.requests] == [0, 50_000, 100_000, 150_000]
    assert source.asked_again("/a") == [0, 0, 0]
    assert fetched.refetched == 0


@pytest.mark.parametrize(
    "told",
    [
        {"ranges": False},
        {"etag": 'W/"v7"'},
        {"etag": None},
        {"etag": None, "last_modified": new_date()},
        {"etag": None, "last_modified": "yesterday"},
        {"content_range": "bytes 7-9/10"},
        {"content_range": "nonsense"},
    ],
    # Not by their values: processes must agree on names.
    ids="-".join,
)
def test_a_cut_transfer_that_cannot_go_on_begins_anew(source, tmp_path, told):
    uri = source.put("/a", Resource(BODY, cut_after=50_000, cuts=1, **told))

    fetched = fetching.fetch(uri, tmp_path / "a")

    assert (tmp_path / "a").read_bytes() == BODY
    assert fetched.refetched == 50_000


def test_a_source_that_is_cut_for_ever_is_given_up(source, tmp_path):
    resource = Resource(BODY, ranges=False, cut_after=50_000)
    uri = source.put("/a", resource)

    error = failing(uri, tmp_path / "a")

    assert error.code == "source_cut"
    assert len(source.requests) == 5


def test_a_source_that_gives_a_little_each_time_is_not_given_up(
    source, tmp_path
):
    uri = source.put("/a", Resource(BODY, cut_after=20_000))

    fetched = fetching.fetch(uri, tmp_path / "a")

    assert fetched.size == len(BODY)
    assert len(source.requests) == 14


def test_a_source_that_is_cut_after_each_byte_is_given_up(source, tmp_path):
    uri = source.put("/a", Resource(BODY, cut_after=1))

    error = failing(uri, tmp_path / "a", min_rate=1 << 20)

    assert error.code == "source_cut"
    assert len(source.requests) == 4


class Changing(Resource):
    """Another file, with another tag, for each request."""

    version = 0

    @property
    def etag(self):
        self.version += 1
        return f'"{self.version}"'

    @etag.setter
    def etag(self, value):
        pass


def test_a_source_that_keeps_changing_is_given_up(source, tmp_path):
    uri = source.put("/a", Changing(BODY, cut_after=50_000))

    error = failing(uri, tmp_path / "a")

    assert error.code == "source_changed"


def swapped(source, other):
    """Have another file at the source once the first was cut."""
    first = Resource(BODY, etag='"old"', cut_after=50_000, then=other)
    return source.put("/a", first)


def test_a_source_that_changed_is_read_from_its_start(source, tmp_path):
    uri = swapped(source, Resource(BODY[::-1], etag='"new"'))

    fetching.fetch(uri, tmp_path / "a")

    assert (tmp_path / "a").read_bytes() == BODY[::-1]
    assert [r.status for r in source.requests] == [200, 200]


def test_a_part_of_a_file_that_changed_is_not_taken(source, tmp_path):
    # This server does not care for If-Range: it takes the old tag for a date.
    careless = Resource(BODY[::-1], etag='"new"', last_modified='"old"')
    uri = swapped(source, careless)

    fetching.fetch(uri, tmp_path / "a")

    assert (tmp_path / "a").read_bytes() == BODY[::-1]
    assert [r.status for r in source.requests] == [200, 206, 200]


def test_another_part_than_was_asked_for_is_not_taken(source, tmp_path):
    part = BODY[60_000:]
    head = f"""HTTP/1.1 206 Partial Content
Content-Length: {len(part)}
Content-Range: bytes 60000-{len(BODY) - 1}/{len(BODY)}

"""
    answer = head.replace("\n", "\r\n").encode() + part
    whole = Resource(BODY, etag='"old"')
    uri = swapped(source, Resource(raw=answer, then=whole))

    fetching.fetch(uri, tmp_path / "a")

    assert (tmp_path / "a").read_bytes() == BODY


def test_a_source_that_shrank_is_read_from_its_start(source, tmp_path):
    uri = swapped(source, Resource(BODY[:1000], etag='"old"'))

    fetched = fetching.fetch(uri, tmp_path / "a")

    assert fetched.size == 1000
    assert [r.status for r in source.requests] == [200, 416, 200]
