# SPDX-License-Identifier: Apache-2.0
"""Sending to an S3 that fails or lies, and nowhere else."""

import dataclasses
import hashlib
import logging
import os

import pytest

from glance_tasks.transfer import client
from glance_tasks.transfer import endpoint
from tests.support import outgoing
from tests.support import s3
from tests.support.s3 import bucket
from tests.support.s3 import hurry
from tests.support.s3 import large
from tests.support.s3 import s3_credentials
from tests.support.s3 import small

__all__ = ["bucket", "hurry", "large", "s3_credentials", "small"]

pytestmark = pytest.mark.usefixtures("hurry")

PART, TOKEN = s3.PART, s3.TOKEN
KEY = f"out/disk-{TOKEN}"


# --- servers that fail or lie ------------------------------------------------


def test_what_may_pass_is_asked_again(bucket, large):
    failing = {"PUT": 503, "POST": 500, "HEAD": 429, "GET": 408}

    def flaky(asked, ask):
        if status := failing.pop(asked.method, None):
            return client.Reply(status, {}, b"")
        return ask()

    s3.send(bucket.parcel(large), large, alter=flaky)

    assert failing == {}
    assert bucket.objects() == {KEY: large.stat().st_size}


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_an_answer_that_is_lost_costs_no_more_than_its_part(
    bucket, large, method
):
    lost = []

    def losing(asked, ask):
        reply = ask()
        last = asked.method == method and "uploadId" in asked.query
        if last and not lost:
            lost.append(asked)
            raise endpoint.Interrupted("cut")
        return reply

    s3.send(bucket.parcel(large), large, alter=losing)

    assert len(lost) == 1
    assert bucket.objects() == {KEY: large.stat().st_size}
    assert bucket.uploads() == []


@pytest.mark.parametrize(
    ("status", "word"), [(404, "NoSuchUpload"), (412, "PreconditionFailed")]
)
def test_a_refusal_of_what_was_done_already_is_none(
    bucket, large, status, word
):
    def again(asked, ask):
        reply = ask()
        if asked.method == "POST" and "uploadId" in asked.query:
            body = f"<Error><Code>{word}</Code></Error>"
            return client.Reply(status, {}, body.encode())
        return reply

    s3.send(bucket.parcel(large), large, alter=again)

    assert bucket.objects() == {KEY: large.stat().st_size}


def test_a_part_with_another_etag_is_not_taken_for_sent(bucket, large):
    def lie(asked, ask):
        reply = ask()
        if asked.part == 2:
            return dataclasses.replace(
                reply, headers={"etag": f'"{"0" * 32}"'}
            )
        return reply

    s3.fails(bucket.parcel(large), large, "destination_unverified", alter=lie)

    assert bucket.objects() == {}


def test_a_part_that_was_dropped_is_missed(bucket, large):
    view = large.read_bytes()[PART : 2 * PART]
    tag = hashlib.md5(view, usedforsecurity=False).hexdigest()

    def drop(asked, ask):
        if asked.part == 2:
            return client.Reply(200, {"etag": f'"{tag}"'}, b"")
        return ask()

    s3.fails(bucket.parcel(large), large, "destination_unverified", alter=drop)

    assert bucket.objects() == {}


@pytest.mark.parametrize(
    "lie", [{"content-length": "7"}, {"etag": f'"{"0" * 32}-3"'}, {"etag": ""}]
)
def test_an_object_that_is_another_is_not_taken_for_sent(bucket, large, lie):
    def lying(asked, ask):
        reply = ask()
        if asked.method == "HEAD":
            return dataclasses.replace(reply, headers=reply.headers | lie)
        return reply

    s3.fails(
        bucket.parcel(large), large, "destination_unverified", alter=lying
    )


@pytest.mark.parametrize(
    ("status", "word", "code"),
    [
        (403, "AccessDenied", "destination_denied"),
        (401, "x", "destination_denied"),
        (403, "QuotaExceeded", "destination_full"),
        (507, "XMinioStorageFull", "destination_full"),
        (400, "InvalidRequest", "destination_invalid"),
        (501, "NotImplemented", "destination_invalid"),
        (503, "SlowDown", "destination_unavailable"),
        (400, "RequestTimeout", "destination_unavailable"),
    ],
)
def test_a_refusal_has_a_code_and_the_server_s_word(
    bucket, small, status, word, code
):
    body = f"<Error><Code>{word}</Code><Message>&lt;b&gt;</Message></Error>"

    def refuse(asked, ask):
        if asked.method == "PUT":
            return client.Reply(status, {}, body.encode())
        return ask()

    text = s3.fails(bucket.parcel(small), small, code, alter=refuse)

    assert f"answers PutObject with {status} {word}" in text
    assert "<b>" not in text


@pytest.mark.parametrize(
    "body", [b"<Error><Code>a b</Code></Error>", b"", b"<Error>", b"\0"]
)
def test_an_answer_that_is_no_s3_s_is_a_failure_in_words(bucket, small, body):
    def refuse(asked, ask):
        return client.Reply(400, {}, body) if asked.method == "PUT" else ask()

    text = s3.fails(
        bucket.parcel(small), small, "destination_invalid", alter=refuse
    )

    assert "a b" not in text


def test_a_bucket_that_is_not_there_is_named(bucket, small, large):
    for path in small, large:
        parcel = dataclasses.replace(
            bucket.parcel(path), uri="s3://no-such-bucket/disk"
        )

        text = s3.fails(parcel, path, "destination_not_found")

        assert text.endswith("expected a bucket that was made before")


# --- the way out -------------------------------------------------------------


def test_every_connection_is_the_guarded_client_s(
    bucket, large, tmp_path, monkeypatch
):
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_PROFILE", "operator")
    port = int(bucket.credentials["endpoint_url"].rpartition(":")[2])
    asked = []

    def count(request, ask):
        asked.append(request)
        return ask()

    with outgoing.watched() as made:
        s3.send(bucket.parcel(large), large, alter=count)
        s3.remove(bucket.parcel(large), alter=count)

    assert set(made) == {("127.0.0.1", port)}
    assert len(made) == len(asked) > 8


def test_an_endpoint_that_is_not_allowed_is_refused(bucket, small):
    credentials = {**bucket.credentials, "endpoint_url": "http://169.254.1.1"}
    parcel = bucket.parcel(small, credentials=credentials)

    with outgoing.watched() as made:
        s3.fails(parcel, small, "destination_not_allowed")

    assert made == []


def test_no_redirect_leads_elsewhere(bucket, small):
    def redirect(asked, ask):
        headers = {
            "location": "http://169.254.169.254/",
            "x-amz-bucket-region": "eu-north-1",
        }
        return client.Reply(307, headers, b"")

    with outgoing.watched() as made:
        text = s3.fails(
            bucket.parcel(small), small, "destination_invalid", alter=redirect
        )

    assert made == []
    assert "169.254" not in text


@pytest.mark.parametrize("status", [301, 302, 307])
def test_a_bucket_that_is_elsewhere_is_asked_for_once(bucket, small, status):
    asked_for = []

    def redirect(asked, ask):
        asked_for.append(asked)
        return client.Reply(status, {"location": "http://169.254.1.1/"}, b"")

    text = s3.fails(
        bucket.parcel(small), small, "destination_invalid", alter=redirect
    )

    assert "endpoint_url and the region" in text
    assert len(asked_for) == 1


def test_no_log_has_what_lets_in(bucket, large, caplog):
    caplog.set_level(logging.DEBUG)
    credentials = {**bucket.credentials, "session_token": "canary-token"}
    if "GLANCE_TASKS_S3" in os.environ:
        credentials.pop("session_token")

    s3.send(bucket.parcel(large, credentials=credentials), large)

    assert "canary-token" not in caplog.text
    assert bucket.credentials["secret_key"] not in caplog.text
    assert "Signature=" not in caplog.text
