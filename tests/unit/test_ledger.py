# SPDX-License-Identifier: Apache-2.0
import errno
import os
import stat

import pytest

from glance_tasks import digest
from glance_tasks import ledger

HEADER = {"source": "somewhere", "size": 10}
MARKS = (
    ledger.Mark(4, {"md5": "a"}),
    ledger.Mark(8, {"md5": "b"}),
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.ledger"


def written(path, *, done=None):
    with ledger.Ledger(path, ledger.Record(HEADER)) as notes:
        for mark in MARKS:
            notes.mark(mark)
        if done is not None:
            notes.finish(done)


def test_a_ledger_tells_what_was_noted(path):
    written(path, done={"size": 10})

    assert ledger.read(path) == ledger.Record(HEADER, MARKS, {"size": 10})


def test_where_there_is_no_ledger_there_is_no_record(path):
    assert ledger.read(path) is None


def test_every_cut_of_a_ledger_leaves_the_marks_before_it(path):
    written(path)
    whole = path.read_bytes()
    ends = [place for place, byte in enumerate(whole) if byte == 10]

    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        lines = sum(end < cut for end in ends)
        record = ledger.read(path)

        if lines == 0:
            assert record is None, f"cut at byte {cut}"
        else:
            assert record is not None, f"cut at byte {cut}"
            assert record.marks == MARKS[: lines - 1], f"cut at byte {cut}"


@pytest.mark.parametrize(
    "line",
    [
        b"\x00\x00\x00\n",
        b"[]\n",
        b'"text"\n',
        b"\xff\n",
        b'{"offset": "4", "digests": {}}\n',
        b'{"offset": 9}\n',
        b'{"offset": 8, "digests": {}}\n',
        b"{}\n",
    ],
)
def test_a_damaged_line_ends_a_ledger(path, line):
    written(path)
    more = b'{"offset": 99, "digests": {}}\n'
    path.write_bytes(path.read_bytes() + line + more)

    record = ledger.read(path)

    assert record is not None
    assert record.marks == MARKS


@pytest.mark.parametrize("line", [b"", b"{}\n", b'{"ledger": 99}\n', b"\n"])
def test_a_ledger_of_another_form_is_none(path, line):
    path.write_bytes(line)

    assert ledger.read(path) is None


def test_going_on_writes_into_a_new_file(path):
    written(path)
    with path.open("ab") as frozen:
        record = ledger.read(path)
        assert record is not None

        with ledger.Ledger(path, record) as notes:
            frozen.write(b"from a process that woke up\n")
            frozen.flush()
            notes.mark(ledger.Mark(12, {"md5": "c"}))

    found = ledger.read(path)
    assert found is not None
    assert [mark.offset for mark in found.marks] == [4, 8, 12]


def test_a_draft_that_a_cut_left_is_no_obstacle(path):
    path.with_name("file.ledger.new").write_bytes(b"half")

    written(path)

    assert ledger.read(path) == ledger.Record(HEADER, MARKS)


def test_a_new_file_is_for_its_owner_only(tmp_path):
    os.close(ledger.create_file(tmp_path / "file"))

    mode = (tmp_path / "file").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


def test_a_new_file_is_never_one_that_exists(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(FileExistsError):
        ledger.create_file(tmp_path / "link")


def test_removing_takes_the_ledger_and_its_draft_too(tmp_path):
    for name in ("file", "file.ledger", "file.ledger.new", "other"):
        (tmp_path / name).touch()

    ledger.remove(tmp_path / "file")
    ledger.remove(tmp_path / "file")

    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def hashed(digests, data):
    buffer = digests.buffer()
    buffer[: len(data)] = data
    digests.update(buffer[: len(data)])
    return digests.snapshot()


def test_marks_are_written_beside_the_bytes_that_follow(tmp_path, path):
    advances = []
    fd = ledger.create_file(tmp_path / "file")

    with (
        ledger.Ledger(path, ledger.Record(HEADER)) as notes,
        digest.Digests(["md5"]) as digests,
        ledger.Marker(notes, fd, lambda: advances.append(1)) as marker,
    ):
        marker.add(1, hashed(digests, b"a"))
        marker.add(2, hashed(digests, b"b"))
    os.close(fd)

    record = ledger.read(path)
    assert record is not None
    assert [mark.offset for mark in record.marks] == [1, 2]
    assert record.marks[0].digests == {
        "md5": "0cc175b9c0f1b6a831c399e269772661"
    }
    assert advances == [1, 1]


def test_a_mark_that_cannot_be_made_durable_is_told(tmp_path, path):
    read, write = os.pipe()  # of which nothing can be synced

    with (
        pytest.raises(OSError) as caught,
        ledger.Ledger(path, ledger.Record(HEADER)) as notes,
        digest.Digests(["md5"]) as digests,
        ledger.Marker(notes, write, lambda: None) as marker,
    ):
        marker.add(1, hashed(digests, b"a"))

    os.close(read)
    os.close(write)
    assert caught.value.errno == errno.EINVAL
    assert ledger.read(path) == ledger.Record(HEADER)
