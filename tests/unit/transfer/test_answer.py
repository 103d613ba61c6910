# SPDX-License-Identifier: Apache-2.0
from email import message

import pytest

from glance_tasks.transfer import answer
from glance_tasks.transfer import endpoint

URI = "http://images.example/a"
NOON = "Wed, 21 Oct 2026 12:00:00 GMT"
A_SECOND_LATER = "Wed, 21 Oct 2026 12:00:01 GMT"


def read(status, **headers):
    head = message.Message()
    for name, text in headers.items():
        head[name.replace("_", "-")] = text
    return answer.read(URI, status, head)


def test_a_whole_file_begins_at_its_first_byte():
    found = read(200, Content_Length="100", ETag='"v1"')

    assert found == answer.Answer(endpoint.Identity('"v1"', 100), 0, 100)


def test_a_part_says_where_it_begins_and_how_long_the_file_is():
    found = read(206, Content_Range="bytes 40-99/100", Content_Length="60")

    assert found == answer.Answer(endpoint.Identity(None, 100), 40, 60)


def test_a_part_may_leave_open_how_long_the_file_is():
    found = read(206, Content_Range="bytes 40-99/*", Content_Length="60")

    assert found == answer.Answer(endpoint.Identity(None, None), 40, 60)


@pytest.mark.parametrize(
    ("content_range", "length"),
    [
        ("bytes 40-99/100", "61"),
        ("bytes 40-99/100", "0"),
        ("bytes 40-99/99", "60"),
        ("bytes 99-40/100", None),
        ("bytes 99-40/100", "60"),
        ("bytes 40-/100", "60"),
        ("bytes */100", "60"),
        ("items 40-99/100", "60"),
        ("bytes -40-99/100", "60"),
        ("", "60"),
    ],
)
def test_a_part_that_makes_no_sense_is_none(content_range, length):
    known = {} if length is None else {"Content_Length": length}

    found = read(206, Content_Range=content_range, **known)

    assert found is None


@pytest.mark.parametrize(
    ("headers", "validator"),
    [
        ({"ETag": '"v1"', "Last_Modified": NOON}, '"v1"'),
        ({"ETag": '""'}, None),
        ({"ETag": "v1"}, None),
        ({"ETag": '"v"1"'}, None),
        ({"ETag": 'W/"v1"'}, None),
        (
            {
                "ETag": 'W/"v1"',
                "Last_Modified": NOON,
                "Date": A_SECOND_LATER,
            },
            NOON,
        ),
        ({"Last_Modified": NOON, "Date": NOON}, None),
        ({"Last_Modified": NOON}, None),
        ({"Last_Modified": "noon", "Date": A_SECOND_LATER}, None),
        ({"Last_Modified": NOON, "Date": "now"}, None),
    ],
)
def test_only_what_tells_two_versions_apart_is_a_validator(headers, validator):
    assert read(200, **headers).identity.validator == validator
