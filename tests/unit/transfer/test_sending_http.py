# SPDX-License-Identifier: Apache-2.0
"""Sending to an address that takes one PUT."""

import random

import pytest

from glance_tasks import exceptions
from glance_tasks.testing import doubles
from glance_tasks.testing import http_sink
from tests.support import sending

BODY = random.Random(4).randbytes(300_000)


@pytest.fixture
def sink():
    with http_sink.HttpSink() as running:
        yield running


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "image"
    path.write_bytes(BODY)
    return path


def send(sink, image, body=BODY, path="/a", **changes):
    wanted = sending.parcel(sink.uri(path), body, **changes)
    return sending.send(wanted, image, sending.allowing())


def refusal(sink, image, **changes):
    with pytest.raises(exceptions.TaskError) as caught:
        send(sink, image, **changes)
    return caught.value.code


@pytest.mark.parametrize("size", [0, 1, sending.PART, 300_000])
def test_what_is_sent_arrives_whole(sink, image, size):
    image.write_bytes(BODY[:size])

    sent = send(sink, image, BODY[:size])

    assert sink.objects["/a"].body == BODY[:size]
    assert (sent.uri, sent.size, sent.sent) == (sink.uri("/a"), size, size)


def test_what_has_arrived_already_is_not_sent_again(sink, image):
    send(sink, image)
    sink.requests.clear()

    sent = send(sink, image)

    assert sent.sent == 0
    assert "PUT /a" not in sink.requests


def test_another_s_object_is_kept_and_named(sink, image):
    sink.objects["/a"] = http_sink.Taken(b"other", None)

    assert refusal(sink, image) == "destination_exists"
    assert sink.objects["/a"].body == b"other"
    assert "PUT /a" not in sink.requests


def test_another_s_object_that_cannot_be_seen_is_kept_too(sink, image):
    sink.objects["/a"] = http_sink.Taken(b"other", None)
    sink.manners.methods = frozenset({"PUT"})

    assert refusal(sink, image) == "destination_exists"
    assert sink.objects["/a"].body == b"other"


def test_another_s_object_is_replaced_when_asked_for(sink, image):
    sink.objects["/a"] = http_sink.Taken(b"other", None)

    send(sink, image, overwrite=True)

    assert sink.objects["/a"].body == BODY


def test_where_only_put_is_allowed_its_answer_is_the_proof(sink, image):
    sink.manners.methods = frozenset({"PUT"})

    sent = send(sink, image)

    assert sent.size == len(BODY)


@pytest.mark.parametrize(
    "lie",
    [
        {"loses": 1},
        {"forgets": True},
        {"etag": "0" * 32},
        {"etag": ""},
        {"loses": 1, "methods": frozenset({"PUT"})},
    ],
    ids=str,
)
def test_a_destination_that_lies_is_found_out(sink, image, lie):
    for name, value in lie.items():
        setattr(sink.manners, name, value)

    assert refusal(sink, image) == "destination_unverified"


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "destination_denied"),
        (403, "destination_denied"),
        (404, "destination_not_found"),
        (410, "destination_not_found"),
        (413, "destination_full"),
        (507, "destination_full"),
        (400, "destination_unavailable"),
    ],
)
def test_a_refusal_has_its_code(sink, image, status, code):
    # The first is that of HEAD.
    sink.manners.statuses = [404, status]

    assert refusal(sink, image) == code
    assert sink.objects == {}


def test_a_cut_is_a_failure_that_may_be_tried_again(sink, image):
    sink.manners.cut_after = 100_000

    with pytest.raises(exceptions.SendError) as caught:
        send(sink, image)

    assert caught.value.code == "destination_unavailable"
    assert caught.value.retryable


def test_a_file_that_is_not_what_was_announced_is_not_sent_whole(sink, image):
    image.write_bytes(BODY[:-1] + b"x")

    with pytest.raises(exceptions.ChecksumMismatch, match="expected"):
        send(sink, image)

    assert sink.objects == {}


def test_a_file_that_is_too_short_is_told(sink, image):
    image.write_bytes(BODY[:-1])

    with pytest.raises(exceptions.ChecksumMismatch, match="ends at byte"):
        send(sink, image)

    assert sink.objects == {}


def test_a_login_is_sent_and_not_shown(sink, image):
    sink.manners.login = "Basic dTpzM2NyM3Q="

    send(
        sink,
        image,
        credentials={"username": "u", "password": "s3cr3t"},
        path="/b",
    )
    with pytest.raises(exceptions.SendError) as caught:
        send(sink, image, credentials={"token": "s3cr3t"})

    assert "s3cr3t" not in str(caught.value)
    assert list(sink.objects) == ["/b"]


def test_an_address_that_is_not_allowed_is_not_asked(sink, image):
    wanted = sending.parcel(sink.uri("/a"), BODY)

    with pytest.raises(exceptions.SendError) as caught:
        sending.send(wanted, image, sending.allowing(networks=()))

    assert caught.value.code == "destination_not_allowed"
    assert sink.requests == []


def test_a_run_that_lost_its_lease_completes_nothing(sink, image):
    wanted = sending.parcel(sink.uri("/a"), BODY)

    with pytest.raises(exceptions.LeaseLost):
        sending.send(
            wanted, image, sending.allowing(), fence=doubles.LostFence()
        )


def test_a_stop_is_seen_between_two_pieces(sink, image):
    wanted = sending.parcel(sink.uri("/a"), BODY)
    progress = doubles.RecordingProgress()
    half_way = doubles.StopWhen(
        lambda: any(done > len(BODY) // 2 for done, _ in progress.reports)
    )

    with pytest.raises(exceptions.RunInterrupted):
        sending.send(
            wanted, image, sending.allowing(), stop=half_way, progress=progress
        )

    assert sink.objects == {}


@pytest.mark.parametrize("marks", [True, False])
def test_what_was_sent_can_be_removed(sink, image, marks):
    sink.manners.keeps_marks = marks
    send(sink, image)

    for _ in range(2):
        sending.remove(
            sending.parcel(sink.uri("/a"), BODY), sending.allowing()
        )

    assert sink.objects == {}


def test_another_s_object_is_not_removed(sink):
    sink.objects["/a"] = http_sink.Taken(b"other", None)

    sending.remove(sending.parcel(sink.uri("/a"), BODY), sending.allowing())

    assert "/a" in sink.objects


def test_what_cannot_be_removed_is_named(sink, image):
    send(sink, image)
    sink.manners.methods = frozenset({"HEAD"})

    with pytest.raises(exceptions.SendError, match="DELETE"):
        sending.remove(
            sending.parcel(sink.uri("/a"), BODY), sending.allowing()
        )
