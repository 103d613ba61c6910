# SPDX-License-Identifier: Apache-2.0
"""Reading from a real Swift, through cuts and changes."""

import hashlib
import os

import pytest

from glance_tasks import exceptions
from glance_tasks.testing import doubles
from glance_tasks.transfer import fetcher
from tests.support import relay as relays
from tests.support import swift as swifts

MIB = 1 << 20


@pytest.fixture
def content(tmp_path):
    return os.urandom(3 * MIB)


def fetch(uri, path, credentials, **words):
    guarded = fetcher.GuardedFetcher(
        swifts.allowing(), factories=swifts.FACTORIES
    )
    return guarded.fetch(
        uri,
        path,
        algorithms=("sha256",),
        max_bytes=1 << 40,
        stop=doubles.NeverStop(),
        progress=doubles.RecordingProgress(),
        credentials=credentials,
        **words,
    )


def test_a_plain_object_is_read(swift, account, container, content, tmp_path):
    account.ask("PUT", f"/{container}/a%20b", content)

    fetched = fetch(
        f"swift://{container}/a%20b", tmp_path / "copy", swift.credentials
    )

    assert fetched.size == len(content)
    assert fetched.digests["sha256"] == hashlib.sha256(content).hexdigest()
    assert (tmp_path / "copy").read_bytes() == content


@pytest.mark.parametrize("chunk_size", [MIB, 4 * MIB])
def test_a_cut_costs_no_byte_that_had_come(
    swift, container, content, tmp_path, chunk_size
):
    uri = f"swift://{container}/x"
    (tmp_path / "image").write_bytes(content)
    parcel = swifts.parcel(uri, tmp_path / "image", swift.credentials)
    swifts.send(parcel, tmp_path / "image", chunk_size=chunk_size)
    with relays.Relay(swift.port) as relay:
        relay.cut_down_at = 2 * MIB
        here = f"http://127.0.0.1:{relay.port}/auth/v1.0"

        fetched = fetch(
            uri, tmp_path / "copy", {**swift.credentials, "auth_url": here}
        )

    assert relay.cuts == 1
    assert fetched.digests["sha256"] == hashlib.sha256(content).hexdigest()
    # What the relay held when it cut was lost; no byte came twice else.
    assert relay.down < len(content) + MIB // 4


def test_an_object_that_changed_at_a_cut_is_read_anew(
    swift, account, container, content, tmp_path
):
    account.ask("PUT", f"/{container}/x", os.urandom(3 * MIB))
    path = tmp_path / "copy"
    with relays.Relay(swift.port) as relay:
        relay.cut_down_at = 2 * MIB
        relay.cutting = lambda: account.ask("PUT", f"/{container}/x", content)
        here = f"http://127.0.0.1:{relay.port}/auth/v1.0"

        fetched = fetch(
            f"swift://{container}/x",
            path,
            {**swift.credentials, "auth_url": here},
        )

    assert fetched.digests["sha256"] == hashlib.sha256(content).hexdigest()
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("name", "given", "code"),
    [
        ("x", "credentials", "source_not_found"),
        ("x", "powerless", "source_denied"),
        ("x", None, "source_denied"),
    ],
)
def test_what_cannot_be_read_has_a_code(
    swift, container, tmp_path, name, given, code
):
    known = given and getattr(swift, given)

    with pytest.raises(exceptions.FetchError) as caught:
        fetch(f"swift://{container}/{name}", tmp_path / "copy", known)

    assert caught.value.code == code
