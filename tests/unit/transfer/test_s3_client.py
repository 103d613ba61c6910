# SPDX-License-Identifier: Apache-2.0
"""How S3 is asked: by which addresses, and with whose bytes."""

import hashlib
import io
import re

import pytest

from glance_tasks import exceptions
from glance_tasks import ports
from glance_tasks.testing import doubles
from glance_tasks.transfer import client
from glance_tasks.transfer import resolution
from glance_tasks.transfer import rules
from glance_tasks.transfer.s3 import access as s3_access
from glance_tasks.transfer.s3 import client as s3_client
from tests.support import s3

LOGIN = {"access_key": "AK", "secret_key": "hidden"}
OURS = {"endpoint_url": "https://s3.example.org"}
ALLOWED = rules.SendRules(schemes=("s3",))
EMPTY = "<ListMultipartUploadsResult></ListMultipartUploadsResult>"


def asking(credentials, alter=lambda asked, ask: ask()):
    web = client.HttpClient(ALLOWED.web, resolution.system)
    return s3_client.make(
        s3_access.Access.of(credentials, ALLOWED),
        s3.Altered(web, alter),
        "s3://images/a",
    )


def remove(credentials, alter):
    parcel = ports.Parcel(
        f"s3://images/{s3.TOKEN}",
        s3.TOKEN,
        0,
        hashlib.md5(b"", usedforsecurity=False).hexdigest(),
        credentials=credentials,
    )
    s3.remove(parcel, alter=alter)


# --- addresses ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("credentials", "start"),
    [
        (LOGIN, "https://images.s3.amazonaws.com/a%20b?"),
        (
            LOGIN | {"region": "eu-north-1"},
            "https://images.s3.eu-north-1.amazonaws.com/a%20b?",
        ),
        (
            LOGIN | {"region": "eu-north-1", "addressing_style": "path"},
            "https://s3.eu-north-1.amazonaws.com/images/a%20b?",
        ),
        (LOGIN | OURS, "https://s3.example.org/images/a%20b?"),
        (
            LOGIN | OURS | {"addressing_style": "virtual"},
            "https://images.s3.example.org/a%20b?",
        ),
    ],
)
def test_an_object_is_read_by_a_signed_address(credentials, start):
    found = asking(credentials).signed(s3_access.Address("images", "a b"))

    assert found.startswith(start)
    assert "X-Amz-Signature=" in found
    assert "X-Amz-Expires=900" in found
    assert "hidden" not in found


def test_nobody_s_address_is_not_signed():
    address = s3_access.Address("images", "a")

    assert asking(OURS).signed(address) == "https://s3.example.org/images/a"


def test_the_region_of_a_bucket_is_learned_from_aws():
    hosts = []

    def answer(asked, ask):
        hosts.append(asked.host)
        if "eu-north-1" not in asked.host:
            return client.Reply(
                301,
                {"x-amz-bucket-region": "eu-north-1"},
                b"<Error><Code>PermanentRedirect</Code></Error>",
            )
        if asked.method == "HEAD":
            return client.Reply(404, {}, b"")
        return client.Reply(200, {}, EMPTY.encode())

    remove(LOGIN, answer)

    assert hosts[0] == "images.s3.amazonaws.com"
    assert set(hosts[1:]) == {"images.s3.eu-north-1.amazonaws.com"}


# --- what is sent ------------------------------------------------------------


def test_a_body_goes_out_uncopied_and_signed_by_its_md5(monkeypatch):
    monkeypatch.setattr(s3_client.Piece, "readinto", None)
    data = memoryview(bytearray(1 << 20))
    web = Keeping()
    made = s3_client.make(
        s3_access.Access.of(LOGIN, ALLOWED), web, "s3://images/a"
    )

    made.call(
        "upload_part",
        doubles.NeverStop(),
        Bucket="images",
        Key="a",
        UploadId="u",
        PartNumber=1,
        Body=s3_client.Piece(data),
        ContentMD5="AAAA",
    )

    assert web.body is data
    headers = {name.lower(): value for name, value in web.headers.items()}
    assert headers["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"
    assert re.search("SignedHeaders=content-md5;", headers["authorization"])
    assert not {"expect", "user-agent", "connection"} & set(headers)


class Keeping(client.HttpClient):
    """Keeps what should be sent, and says that it was taken."""

    def __init__(self):
        pass

    def call(self, method, uri, stop, *, headers=None, body=b""):
        self.headers, self.body = headers, body
        return client.Reply(200, {"etag": '"x"'}, b"")


def test_a_piece_is_a_file_of_its_bytes():
    piece = s3_client.Piece(memoryview(b"0123456789"))

    assert piece.seek(0, io.SEEK_END) == 10
    assert piece.seek(2) == 2
    assert piece.read(3) == b"234"
    assert piece.seek(1, io.SEEK_CUR) == 6
    assert piece.read() == b"6789"
    assert piece.read() == b""


# --- what is answered --------------------------------------------------------


def test_a_listing_without_an_end_is_not_read_for_ever():
    asked_for = []

    def endless(asked, ask):
        asked_for.append(asked)
        number = len(asked_for)
        text = (
            "<ListMultipartUploadsResult><IsTruncated>true</IsTruncated>"
            f"<NextKeyMarker>{number}</NextKeyMarker>"
            "</ListMultipartUploadsResult>"
        )
        return client.Reply(200, {}, text.encode())

    with pytest.raises(exceptions.SendError, match="without an end") as caught:
        remove(LOGIN | OURS, endless)

    assert caught.value.code == "destination_invalid"
    assert len(asked_for) < 200


def test_the_same_page_again_is_no_listing():
    text = EMPTY.replace(
        "></",
        "><IsTruncated>true</IsTruncated><NextKeyMarker>a</NextKeyMarker></",
        1,
    )

    with pytest.raises(exceptions.SendError, match="PaginationError"):
        remove(
            LOGIN | OURS,
            lambda asked, ask: client.Reply(200, {}, text.encode()),
        )


def test_a_stop_is_heard_while_s3_is_asked():
    def stopped(asked, ask):
        raise exceptions.LeaseLost("gone")

    with pytest.raises(exceptions.LeaseLost):
        remove(LOGIN | OURS, stopped)


def test_a_verdict_is_heard_while_s3_is_asked():
    verdict = exceptions.TaskError("cancelled", code="internal")

    def condemned(asked, ask):
        raise verdict

    with pytest.raises(exceptions.TaskError) as caught:
        remove(LOGIN | OURS, condemned)

    assert caught.value is verdict
