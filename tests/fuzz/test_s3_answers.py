# SPDX-License-Identifier: Apache-2.0
"""Whatever an S3 answers: it is understood, or a failure in words."""

import hypothesis
from hypothesis import strategies as st
import pytest

from glance_tasks import exceptions
from glance_tasks import ports
from glance_tasks.testing import doubles
from glance_tasks.transfer import client
from glance_tasks.transfer import destination
from glance_tasks.transfer.s3 import access as s3_access
from glance_tasks.transfer.s3 import client as s3_client
from glance_tasks.transfer.s3 import destination as s3_destination
from glance_tasks.transfer.s3 import upload as s3_upload
from tests.support import s3

LOGIN = {
    "access_key": "a",
    "secret_key": "b",
    "endpoint_url": "https://s3.example.org",
}
PARTS = [destination.Part(1, s3.PART, "0" * 32)]
UPLOADS = """<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>
<Upload><Key>given</Key><UploadId>u</UploadId>
<Initiated>2026-11-21T19:00:01Z</Initiated></Upload>
<Upload><Key>token</Key><UploadId>v</UploadId>
<Initiated>2026-11-21T19:00:02Z</Initiated></Upload>
</ListMultipartUploadsResult>"""
LISTED = f"""<ListPartsResult><IsTruncated>false</IsTruncated>
<Part><PartNumber>1</PartNumber><Size>5</Size>
<ETag>&quot;{"0" * 32}&quot;</ETag></Part></ListPartsResult>"""
BEGUN = """<InitiateMultipartUploadResult><UploadId>u</UploadId>
</InitiateMultipartUploadResult>"""
ERROR = "<Error><Code>NoSuchUpload</Code></Error>"
DOCUMENTS = [UPLOADS, LISTED, BEGUN, ERROR]

junk = st.sampled_from(
    ["", "x", "-1", "9" * 30, "\0", "<a/>", "</Part>", "&x;", "&#55357;", "<"]
) | st.text(max_size=5)


@st.composite
def damaged(draw):
    """Draw a document of which some places hold something else."""
    text = draw(st.sampled_from(DOCUMENTS))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(text)))
        end = start + draw(st.integers(0, 12))
        text = text[:start] + draw(junk) + text[end:]
    return text.encode(errors="replace")


headers = st.fixed_dictionaries(
    {},
    optional={
        "etag": st.sampled_from([f'"{"0" * 32}"', '"x"', "", "\xff"]),
        "content-length": st.sampled_from(["7", "-1", "x", "", "9" * 40]),
        "x-amz-meta-glance-task": st.sampled_from(["token", "x", ""]),
        "x-amz-version-id": st.sampled_from(["v", "null", ""]),
        "x-amz-mp-parts-count": st.sampled_from(["1", "x"]),
        "last-modified": st.sampled_from(["Sat, 21 Nov 2026", "x", ""]),
        "content-type": st.sampled_from(["text/html", "a/b; charset=no"]),
        "x-amz-bucket-region": st.sampled_from(["eu-north-1", "a/b#", ""]),
    },
)
replies = st.builds(
    client.Reply,
    st.sampled_from([200] * 8 + [204, 301, 307, 400, 404, 412, 501, 999]),
    headers,
    damaged() | st.binary(max_size=20),
)


@pytest.fixture(scope="module")
def answers():
    return []


@pytest.fixture(scope="module")
def asking(answers):
    """Give a client to which the answers are given, the last for ever."""

    def answer(asked, ask):
        return answers.pop(0) if len(answers) > 1 else answers[0]

    rules = s3.allowing()
    return s3_client.make(
        s3_access.Access.of(LOGIN, s3.allowing(networks=(), ports=())),
        s3.Altered(client.HttpClient(rules.web), answer),
        "s3://images/given",
    )


def target(asking, key):
    parcel = ports.Parcel(f"s3://images/{key}", "token", s3.PART + 1, "0" * 32)
    address = s3_access.Address("images", key)
    return s3_destination.S3Destination(
        parcel, address, asking, s3.allowing(), s3_upload.PARTS
    )


@hypothesis.given(
    st.lists(replies, min_size=1, max_size=6),
    st.sampled_from(["given", "token"]),
    st.sampled_from(["parts", "look", "complete", "remove"]),
)
@hypothesis.example(
    [client.Reply(200, {"content-length": "x"}, b"")], "a", "look"
)
@hypothesis.example([client.Reply(200, {}, b"")], "given", "look")
def test_any_answer_is_understood_or_refused(
    answers, asking, given, key, verb
):
    answers[:] = given
    place, stop = target(asking, key), doubles.NeverStop()
    verbs = {
        "parts": lambda: place.parts(stop),
        "look": lambda: place.look(PARTS, stop),
        "complete": lambda: begin_and_complete(place, stop),
        "remove": lambda: place.remove(stop),
    }

    try:
        found = verbs[verb]()
    except (exceptions.SendError, exceptions.FetchError) as error:
        assert error.code in exceptions.FAILURES
        return

    if verb == "parts":
        assert all(type(part.size) is int for part in found.values())


def begin_and_complete(place, stop):
    place.parts(stop)
    place.complete(PARTS, stop)
