# SPDX-License-Identifier: Apache-2.0
import contextlib
import errno
import hashlib
import json
import os
import stat
import threading

import pytest

from glance_tasks import digest
from glance_tasks import exceptions
from glance_tasks import ledger
from glance_tasks.testing import doubles

HEADER = {"source": "somewhere", "size": 10}
MARKS = (
    ledger.Mark(4, {"md5": "a"}),
    ledger.Mark(8, {"md5": "b"}),
)
DONE = ledger.Mark(10, {"md5": "c"}, done=True)


def nothing():
    """Let the work go on."""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file"


def opened(path, record=None):
    notes = ledger.Ledger(path, record or ledger.Record(HEADER))
    return contextlib.closing(notes)


def written(path, *marks):
    with opened(path) as notes:
        for mark in marks:
            notes.mark(mark)


# --- lines -------------------------------------------------------------------


def test_a_ledger_tells_what_was_noted(path):
    written(path, *MARKS)

    record = ledger.read(path)

    assert record == ledger.Record(HEADER, MARKS)
    assert record.done is None
    assert record.offset == 8


def test_the_last_mark_of_a_whole_file_says_so(path):
    written(path, *MARKS, DONE)

    record = ledger.read(path)

    assert record == ledger.Record(HEADER, (*MARKS, DONE))
    assert record.done == DONE


def test_the_end_of_a_file_may_have_had_a_mark_before(path):
    done = ledger.Mark(8, {"md5": "b"}, done=True)

    written(path, *MARKS, done)

    assert ledger.read(path).marks == (*MARKS, done)


def test_a_file_of_no_bytes_may_be_whole(path):
    written(path, ledger.Mark(0, {"md5": "d"}, done=True))

    assert ledger.read(path).done.offset == 0


def test_where_there_is_no_ledger_there_is_no_record(path):
    assert ledger.read(path) is None


def test_every_cut_of_a_ledger_leaves_the_marks_before_it(path):
    written(path, *MARKS, DONE)
    whole = ledger.beside(path).read_bytes()
    ends = [place + 1 for place, byte in enumerate(whole) if byte == 10]

    for cut in range(len(whole) + 1):
        ledger.beside(path).write_bytes(whole[:cut])
        lines = sum(end <= cut for end in ends)
        record = ledger.read(path)

        if lines == 0:
            assert record is None, f"cut at byte {cut}"
        else:
            assert record is not None, f"cut at byte {cut}"
            expected = (*MARKS, DONE)[: lines - 1]
            assert record.marks == expected, f"cut at byte {cut}"


@pytest.mark.parametrize(
    "line",
    [
        b"\x00" * 40,
        b"[]",
        b"7",
        b'"text"',
        b"\xff\xfe",
        b'{"offset": "10", "digests": {}}',
        b'{"offset": 9}',
        b'{"offset": 9.5, "digests": {}}',
        b'{"offset": 1e999, "digests": {}}',
        b'{"offset": NaN, "digests": {}}',
        b"[" * 100_000,
        b'{"offset": 8, "digests": {}}',
        b'{"offset": 5, "digests": {}}',
        b'{"offset": 7, "digests": {}, "done": true}',
        b'{"offset": 30, "digests": {}, "more": 1}',
        b"{}",
    ],
)
def test_a_damaged_line_ends_a_ledger(path, line):
    written(path, *MARKS)
    with ledger.beside(path).open("ab") as file:
        file.write(line + b'\n{"offset": 99, "digests": {}}\n')

    record = ledger.read(path)

    assert record is not None
    assert record.marks == MARKS


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\n",
        b"null\n",
        b"[" * 100_000 + b"\n",
        b"{}\n",
        b'{"ledger": 99}\n',
        b'{"ledger": 99, "header": {}}\n',
        b'{"ledger": 1}\n',
        b'{"ledger": 1, "header": 7}\n',
        b"\xff\n",
    ],
)
def test_a_ledger_of_another_form_is_none(path, head):
    ledger.beside(path).write_bytes(head)

    assert ledger.read(path) is None


# --- files -------------------------------------------------------------------


def test_going_on_writes_into_a_new_file(path):
    with opened(path) as frozen:
        frozen.mark(MARKS[0])
        record = ledger.read(path)
        assert record is not None

        with opened(path, record) as notes:
            # From a process that woke up.
            frozen.mark(DONE)
            notes.mark(MARKS[1])

    assert ledger.read(path) == ledger.Record(HEADER, MARKS)


def test_a_draft_that_a_cut_left_is_no_obstacle(path):
    path.with_name("file.ledger.new").write_bytes(b"half")

    written(path, *MARKS)

    assert ledger.read(path) == ledger.Record(HEADER, MARKS)


def test_a_ledger_is_for_its_owner_alone(path):
    written(path)

    mode = ledger.beside(path).stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


def test_a_new_file_is_for_its_owner_only(path):
    os.close(ledger.create_file(path))

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


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


# --- verifying ---------------------------------------------------------------

DATA = bytes(range(256)) * 4096
ALGORITHMS = ("md5", "sha512")


@pytest.fixture
def fd(path):
    path.write_bytes(DATA)
    with digest.opened(path) as fd:
        yield fd


def expected(data):
    return {name: hashlib.new(name, data).hexdigest() for name in ALGORITHMS}


def mark(offset, *, done=False):
    return ledger.Mark(offset, expected(DATA[:offset]), done)


def verified(fd, *marks, check=nothing, passed=None):
    """Give the good marks, and the digests of what they vouch for."""
    record = ledger.Record(HEADER, marks)
    good, states = ledger.verified(fd, record, ALGORITHMS, check, passed)
    assert good.header == HEADER
    found = {name: state.hexdigest() for name, state in states.items()}
    assert found == expected(DATA[: good.offset])
    return good.marks


def test_a_file_is_good_up_to_its_last_mark(fd):
    assert verified(fd, mark(1000), mark(70_000)) == (
        mark(1000),
        mark(70_000),
    )


def test_a_file_is_good_up_to_the_first_mark_that_does_not_fit(fd):
    other = ledger.Mark(2000, expected(b"other"))

    assert verified(fd, mark(1000), other, mark(3000)) == (mark(1000),)


def test_a_file_is_good_up_to_its_end(fd):
    behind = ledger.Mark(1 << 30, expected(DATA))

    assert verified(fd, mark(1000), behind) == (mark(1000),)


def test_without_marks_nothing_of_a_file_is_good(fd):
    assert verified(fd) == ()


def test_what_is_gone_on_with_is_not_whole_yet(path, fd):
    whole = verified(fd, mark(1000), mark(2000), mark(2000, done=True))

    assert whole == (mark(1000), mark(2000))
    written(path, *whole, mark(3000))
    assert ledger.read(path).offset == 3000


def test_verifying_looks_at_the_stop_signal_and_tells_how_far_it_is(fd):
    seen = []
    stop = doubles.StopWhen(lambda: len(seen) == 2)

    with pytest.raises(exceptions.LeaseLost):
        verified(
            fd,
            *(mark(1000), mark(2000), mark(3000)),
            check=stop.check,
            passed=seen.append,
        )

    assert seen == [1000, 2000]


# --- marks beside the bytes --------------------------------------------------


def hashed(digests, data):
    buffer = digests.buffer(nothing)
    buffer[: len(data)] = data
    digests.update(buffer[: len(data)])
    return digests.snapshot()


@contextlib.contextmanager
def marking(path, fd, *, advanced=nothing, write=None):
    """Give a marker of the file at ``path``, and digests."""
    states = digest.fresh_states(["md5"])
    with (
        opened(path) as notes,
        digest.Digests(states, write=write) as digests,
        contextlib.closing(ledger.Marker(notes, fd, 0, advanced)) as marker,
    ):
        yield marker, digests


@pytest.fixture
def new(path):
    fd = ledger.create_file(path)
    yield fd
    os.close(fd)


def test_marks_are_written_beside_the_bytes_that_follow(path, new):
    advances = []

    def advanced():
        advances.append(threading.current_thread())

    with marking(path, new, advanced=advanced) as (marker, digests):
        marker.add(1, hashed(digests, b"a"), nothing)
        marker.add(2, hashed(digests, b"b"), nothing)
        marker.wait(nothing)

        assert marker.poll()
        assert marker.durable == 2

    record = ledger.read(path)
    assert record is not None
    assert [mark.offset for mark in record.marks] == [1, 2]
    assert record.marks[0].digests == {
        "md5": "0cc175b9c0f1b6a831c399e269772661"
    }
    assert advances == [threading.current_thread()] * 2


def test_the_last_mark_comes_back_once_it_is_durable(path, new):
    with marking(path, new) as (marker, digests):
        marker.add(1, hashed(digests, b"a"), nothing)

        last = marker.finish(2, hashed(digests, b"b"), nothing)

        lines = ledger.beside(path).read_text().splitlines()
        assert json.loads(lines[-1])["done"] is True
        assert ledger.read(path).done == last
        assert marker.durable == last.offset == 2


def test_a_mark_that_cannot_be_made_durable_is_told(path):
    read, write = os.pipe()  # of which nothing can be synced

    with marking(path, write) as (marker, digests):
        marker.add(1, hashed(digests, b"a"), nothing)

        with pytest.raises(OSError) as caught:
            marker.wait(nothing)
        with pytest.raises(OSError):
            marker.poll()

    os.close(read)
    os.close(write)
    assert caught.value.errno == errno.EINVAL
    assert ledger.read(path) == ledger.Record(HEADER)


def test_there_is_no_mark_for_bytes_that_could_not_be_written(path, new):
    def broken(piece, offset):
        raise OSError(errno.ENOSPC, "No space left on device")

    with marking(path, new, write=broken) as (marker, digests):
        marker.add(1, hashed(digests, b"a"), nothing)

        with pytest.raises(OSError, match="No space"):
            marker.wait(nothing)

    assert ledger.read(path) == ledger.Record(HEADER)


def test_a_mark_waits_for_the_bytes_before_it_to_be_written(path, new):
    let_go = threading.Event()

    def write(piece, offset):
        let_go.wait(60)
        os.pwrite(new, piece, offset)

    with marking(path, new, write=write) as (marker, digests):
        marker.add(1, hashed(digests, b"a"), nothing)
        assert not marker.poll()
        before = ledger.read(path)
        let_go.set()
        marker.wait(nothing)

    assert before == ledger.Record(HEADER)
    assert ledger.read(path).offset == 1
    assert path.read_bytes() == b"a"


@pytest.mark.parametrize("waiting", ["wait", "add", "finish"])
def test_waiting_for_a_mark_looks_at_the_stop_signal(
    path, new, monkeypatch, waiting
):
    let_go, sync = threading.Event(), os.fdatasync
    stop = doubles.StopAfter(3)

    def slow(fd):
        let_go.wait(60)
        sync(fd)

    with marking(path, new) as (marker, digests):
        monkeypatch.setattr(os, "fdatasync", slow)
        first = hashed(digests, b"a")
        if waiting != "finish":
            marker.add(1, first, nothing)

        with pytest.raises(exceptions.LeaseLost):
            if waiting == "wait":
                marker.wait(stop.check)
            else:
                getattr(marker, waiting)(1, first, stop.check)

        let_go.set()
