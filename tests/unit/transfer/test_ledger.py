# SPDX-License-Identifier: Apache-2.0
import json
import os

import pytest

from glance_tasks.transfer import endpoint
from glance_tasks.transfer import ledger

HEADER = ledger.Header(
    "a" * 64, endpoint.Identity('"v1"', 100), ("md5", "sha512")
)
MARKS = (
    ledger.Mark(10, {"md5": "01", "sha512": "02"}),
    ledger.Mark(20, {"md5": "03", "sha512": "04"}),
)
DONE = ledger.Mark(100, {"md5": "05", "sha512": "06"}, done=True)


def write(path, *marks):
    kept = ledger.Ledger(path, ledger.Record(HEADER))
    for mark in marks:
        kept.add(mark)
    kept.close()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "fetched"


def test_what_was_written_is_read(path):
    write(path, *MARKS)

    found = ledger.read(path)

    assert found == ledger.Record(HEADER, MARKS)
    assert found.done is None


def test_the_last_mark_of_a_whole_file_says_so(path):
    write(path, *MARKS, DONE)

    assert ledger.read(path).done == DONE


def test_no_ledger_is_none(path):
    assert ledger.read(path) is None


def test_a_ledger_cut_anywhere_gives_the_marks_before_the_cut(path):
    write(path, *MARKS, DONE)
    whole = ledger.beside(path).read_bytes()
    ends = [i + 1 for i, byte in enumerate(whole) if byte == ord("\n")]

    for cut in range(len(whole) + 1):
        ledger.beside(path).write_bytes(whole[:cut])

        found = ledger.read(path)

        lines = sum(end <= cut for end in ends)
        expected = (*MARKS, DONE)[: lines - 1]
        if lines == 0:
            assert found is None, f"cut after byte {cut}"
        else:
            assert found.marks == expected, f"cut after byte {cut}"


@pytest.mark.parametrize(
    "line",
    [
        b"\x00" * 40,
        b"[]",
        b"7",
        b"{}",
        b'{"offset": "10", "digests": {}}',
        b'{"offset": 5, "digests": {}}',
        b'{"offset": 30, "digests": {}, "more": 1}',
        b"\xff\xfe",
    ],
)
def test_a_senseless_line_ends_the_ledger(path, line):
    write(path, *MARKS)
    with ledger.beside(path).open("ab") as file:
        file.write(line + b"\n" + json.dumps({"offset": 90}).encode() + b"\n")

    assert ledger.read(path).marks == MARKS


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\n",
        b"null\n",
        b"{}\n",
        b'{"version": 99}\n',
        b'{"version": 1, "source": "a"}\n',
        b"\xff\n",
    ],
)
def test_a_ledger_without_a_header_of_ours_is_none(path, head):
    ledger.beside(path).write_bytes(head)

    assert ledger.read(path) is None


def test_a_new_ledger_takes_the_place_of_the_old_one_whole(path):
    old = ledger.Ledger(path, ledger.Record(HEADER))
    new = ledger.Ledger(path, ledger.Record(HEADER, MARKS[:1]))

    old.add(DONE)
    new.add(MARKS[1])

    assert ledger.read(path).marks == MARKS
    old.close()
    new.close()


def test_a_draft_a_predecessor_left_is_replaced(path):
    ledger.beside(path).with_name("fetched.ledger.new").write_bytes(b"half")

    write(path, *MARKS)

    assert ledger.read(path).marks == MARKS


def test_a_ledger_is_for_its_owner_alone(path):
    write(path)

    assert ledger.beside(path).stat().st_mode & 0o777 == 0o600


def test_removing_leaves_nothing_and_may_be_repeated(path):
    write(path)
    path.write_bytes(b"bytes")

    ledger.remove(path)
    ledger.remove(path)

    assert os.listdir(path.parent) == []
