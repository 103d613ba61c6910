# SPDX-License-Identifier: Apache-2.0
"""Redirects, and who is told the credentials of an address."""

import pytest

from glance_tasks import exceptions
from glance_tasks.testing.http_source import HttpSource
from glance_tasks.testing.http_source import Resource
from tests.support import fetching

BODY = bytes(range(256)) * 1024


def failing(uri, path, **options):
    """Give the error with which a fetch ends."""
    with pytest.raises(exceptions.FetchError) as caught:
        fetching.fetch(uri, path, **options)
    return caught.value


def moved(source, start, *targets, status=302):
    """Chain redirects; gives the address of the first."""
    paths = [start, *(f"/hop{i}" for i in range(1, len(targets)))]
    for path, target in zip(paths, targets, strict=True):
        source.put(path, Resource(status=status, location=target))
    return source.url(start)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed(source, tmp_path, status):
    source.put("/b", Resource(BODY))
    uri = moved(source, "/a", "b", status=status)

    fetched = fetching.fetch(uri, tmp_path / "a")

    assert fetched.size == len(BODY)


def test_five_redirects_are_followed_and_no_more(source, tmp_path):
    hops = [f"/hop{i}" for i in range(1, 6)]
    source.put("/end", Resource(BODY))

    fetched = fetching.fetch(
        moved(source, "/a", *hops[:4], "/end"), tmp_path / "a"
    )
    error = failing(moved(source, "/z", *hops, "/end"), tmp_path / "z")

    assert fetched.size == len(BODY)
    assert error.code == "source_invalid"
    assert "more than 5 times" in str(error)


@pytest.mark.parametrize(
    ("location", "code"),
    [
        ("http://169.254.169.254/latest/meta-data", "source_not_allowed"),
        ("http://0xa9fea9fe/latest/meta-data", "source_not_allowed"),
        ("http://[::1]/a", "source_not_allowed"),
        ("file:///etc/passwd", "source_not_allowed"),
        ("file://localhost/etc/passwd", "source_not_allowed"),
        ("ftp://images.example/a", "source_not_allowed"),
        ("http://[bad/a", "source_invalid"),
        ("http://user:secret@images.example/a", "source_invalid"),
        (None, "source_invalid"),
    ],
)
def test_a_redirect_is_checked_as_the_first_address_was(
    source, tmp_path, location, code
):
    uri = source.put("/a", Resource(status=302, location=location))

    error = failing(uri, tmp_path / "a")

    assert error.code == code
    assert "secret" not in str(error)
    assert len(source.requests) == 1


def test_a_redirect_to_a_port_that_is_not_allowed_is_refused(source, tmp_path):
    with HttpSource() as other:
        target = other.put("/a", Resource(BODY))
        uri = source.put("/a", Resource(status=302, location=target))

        error = failing(uri, tmp_path / "a", ports=(source.port,))

    assert error.code == "source_not_allowed"
    assert other.requests == []


def with_login(uri):
    return uri.replace("http://", "http://us%65r:p%40ss@")


def test_credentials_of_an_address_are_sent_to_its_origin(source, tmp_path):
    source.put("/b", Resource(BODY, login="user:p@ss"))
    uri = moved(source, "/a", "/b")

    fetched = fetching.fetch(with_login(uri), tmp_path / "a")

    assert fetched.size == len(BODY)


def test_credentials_are_not_sent_to_another_origin(source, tmp_path):
    with HttpSource() as other:
        target = other.put("/a", Resource(BODY))
        uri = source.put("/a", Resource(status=302, location=target))

        fetching.fetch(with_login(uri), tmp_path / "a")

    assert "authorization" in source.requests[0].headers
    assert "authorization" not in other.requests[0].headers


def test_an_error_shows_neither_credentials_nor_the_query(source, tmp_path):
    uri = source.put("/a?sig=secret", Resource(status=403))

    error = failing(
        uri.replace("http://", "http://user:secret@"), tmp_path / "a"
    )

    assert "secret" not in str(error) + str(error.detail)
