# SPDX-License-Identifier: Apache-2.0
"""What a later run makes of what an earlier one left."""

import errno
import hashlib
import itertools
import os
import random

import pytest

from glance_tasks import exceptions
from glance_tasks import ledger
from glance_tasks.testing import doubles
from glance_tasks.testing.http_source import Resource
from tests.support import fetching

CHUNK = 64 << 10
BODY = random.Random(1).randbytes(1_000_000)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "fetched"


@pytest.fixture
def uri(source):
    return source.put("/a", Resource(BODY))


def begin(uri, path, *, checks=200):
    """Fetch a part, as a run does that is then killed."""
    with pytest.raises(exceptions.LeaseLost):
        fetching.fetch(
            uri, path, chunk_size=CHUNK, stop=doubles.StopAfter(checks)
        )
    marks = ledger.read(path).marks
    assert len(marks) > 3
    return marks


def go_on(uri, path, **options):
    fetched = fetching.fetch(uri, path, chunk_size=CHUNK, **options)
    assert path.read_bytes() == BODY
    assert fetched.size == len(BODY)
    assert fetched.digests["sha512"] == hashlib.sha512(BODY).hexdigest()
    return fetched


def test_a_later_run_asks_for_what_is_not_marked(source, uri, path):
    marks = begin(uri, path)
    inode = path.stat().st_ino

    fetched = go_on(uri, path)

    assert [r.status for r in source.requests] == [200, 206]
    assert source.requests[1].start == marks[-1].offset
    assert source.requests[1].headers["if-range"] == '"1"'
    assert path.stat().st_ino == inode
    assert fetched.refetched <= CHUNK


def test_a_finished_fetch_asks_nobody(source, uri, path):
    first = fetching.fetch(uri, path)
    progress = doubles.RecordingProgress()

    second = fetching.fetch(uri, path, progress=progress)

    assert second.digests == first.digests
    assert len(source.requests) == 1
    assert progress.reports[-1] == (len(BODY), len(BODY))


def test_a_finished_fetch_with_other_bytes_is_fetched_from_there(
    source, uri, path
):
    fetching.fetch(uri, path, chunk_size=CHUNK)
    with path.open("r+b") as file:
        file.seek(500_000)
        file.write(bytes(10))

    go_on(uri, path)

    assert 400_000 < source.requests[1].start <= 500_000


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"length": 1000000', '"length": "1000000"'),
        ('"validator": "', '"validator": "\\n'),
        ('"validator": "', '"validator": "\\u00e9'),
        ('"sha512": "', '"sha512": "0'),
    ],
)
def test_a_damaged_ledger_costs_no_more_than_its_bytes(uri, path, old, new):
    begin(uri, path)
    place = ledger.beside(path)
    text = place.read_text()
    assert old in text
    place.write_text(text.replace(old, new))

    go_on(uri, path)


def test_a_finished_fetch_of_which_the_end_is_gone_goes_on(source, uri, path):
    fetching.fetch(uri, path, chunk_size=CHUNK)
    os.truncate(path, 500_000)

    go_on(uri, path)

    assert 400_000 < source.requests[1].start <= 500_000


def test_all_bytes_without_the_last_word_need_no_request(source, uri, path):
    fetching.fetch(uri, path, chunk_size=CHUNK)
    place = ledger.beside(path)
    lines = place.read_text().splitlines(keepends=True)
    last = lines[-1].replace('"done": true', '"done": false')
    place.write_text("".join([*lines[:-1], last]))

    go_on(uri, path)

    assert len(source.requests) == 1
    assert ledger.read(path).done is not None


@pytest.mark.parametrize("offset", [0, 17, 70_000])
def test_a_run_goes_on_from_the_last_mark_before_a_damage(
    source, uri, path, offset
):
    marks = begin(uri, path)
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 1]))

    go_on(uri, path)

    good = [0, *(m.offset for m in marks if m.offset <= offset)]
    assert source.requests[1].start == good[-1]


def test_a_file_cut_short_goes_on_from_the_last_mark_before(source, uri, path):
    marks = begin(uri, path)
    os.truncate(path, marks[2].offset + 5)

    go_on(uri, path)

    assert source.requests[1].start == marks[2].offset


def test_a_torn_mark_is_not_counted(source, uri, path):
    marks = begin(uri, path)
    with ledger.beside(path).open("ab") as file:
        file.write(b'{"offset": 999999, "dig')

    go_on(uri, path)

    assert source.requests[1].start == marks[-1].offset


def begin_anew(source, uri, path):
    go_on(uri, path)
    return source.requests[1].start == 0


@pytest.mark.parametrize("gone", ["file", "ledger"])
def test_half_of_what_was_left_is_nothing(source, uri, path, gone):
    begin(uri, path)
    (path if gone == "file" else ledger.beside(path)).unlink()

    assert begin_anew(source, uri, path)


def test_what_was_left_of_another_address_is_of_no_use(source, uri, path):
    begin(uri, path)
    other = source.put("/a?version=2", Resource(BODY))

    assert begin_anew(source, other, path)


def test_what_was_left_without_the_digests_asked_for_is_of_no_use(
    source, uri, path
):
    begin(uri, path)

    fetched = go_on(uri, path, algorithms=("sha256", "sha512"))

    assert source.requests[1].start == 0
    assert fetched.digests["sha256"] == hashlib.sha256(BODY).hexdigest()


@pytest.mark.parametrize(
    "header", ["{}", '{"identity": 7}', '{"identity": {"more": 1}}']
)
def test_what_has_a_ledger_of_something_else_is_of_no_use(
    source, uri, path, header
):
    begin(uri, path)
    place = ledger.beside(path)
    _, marks = place.read_text().split("\n", 1)
    place.write_text(f'{{"ledger": 1, "header": {header}}}\n{marks}')

    assert begin_anew(source, uri, path)


def test_a_file_longer_than_its_source_is_of_no_use(source, uri, path):
    begin(uri, path)
    os.truncate(path, len(BODY) + 1)

    assert begin_anew(source, uri, path)


def test_a_source_that_changed_in_between_is_read_anew(source, uri, path):
    begin(uri, path)
    source.put("/a", Resource(BODY, etag='"2"'))

    assert begin_anew(source, uri, path)


def test_a_source_without_a_validator_is_read_anew(source, path):
    uri = source.put("/a", Resource(BODY, etag=None))
    begin(uri, path)

    assert begin_anew(source, uri, path)


def test_a_new_beginning_is_a_new_file(source, uri, path):
    begin(uri, path)
    source.put("/a", Resource(BODY, etag='"2"'))
    with path.open("r+b") as predecessor:
        go_on(uri, path)

        # It was frozen and thaws: what it writes must not be in our file.
        predecessor.write(b"old" * 1000)
        predecessor.flush()

        assert path.read_bytes() == BODY


def test_a_link_in_the_place_of_the_file_is_not_followed(uri, path, tmp_path):
    (tmp_path / "victim").write_bytes(b"precious")
    path.symlink_to(tmp_path / "victim")
    ledger.beside(path).symlink_to(tmp_path / "victim")

    go_on(uri, path)

    assert (tmp_path / "victim").read_bytes() == b"precious"
    assert not path.is_symlink()


def test_the_files_are_for_their_owner_alone(uri, path):
    go_on(uri, path)

    assert path.stat().st_mode & 0o777 == 0o600


def test_the_ledger_holds_no_secret(source, path):
    source.put("/a?sig=hidden", Resource(BODY))
    uri = source.url("/a?sig=hidden").replace("//", "//user:hidden@")

    go_on(uri, path)

    assert "hidden" not in ledger.beside(path).read_text()


def test_progress_is_told_per_buffer_and_per_mark(uri, path):
    progress = doubles.RecordingProgress()

    go_on(uri, path, progress=progress)

    done = [report[0] for report in progress.reports]
    assert done == sorted(done)
    assert progress.reports[-1] == (len(BODY), len(BODY))
    assert max(b - a for a, b in itertools.pairwise(done)) <= CHUNK
    assert progress.advances == len(ledger.read(path).marks)
    assert progress.advances > 3


def test_hashing_again_what_is_there_is_progress_too(uri, path):
    marks = begin(uri, path)
    progress = doubles.RecordingProgress()

    with pytest.raises(exceptions.LeaseLost):
        fetching.fetch(
            uri,
            path,
            chunk_size=CHUNK,
            progress=progress,
            stop=doubles.StopWhen(lambda: bool(progress.reports)),
        )

    assert progress.reports[0] == (marks[0].offset, len(BODY))
    assert ledger.read(path).marks == marks


def test_no_thread_or_descriptor_is_left_by_a_stop(uri, path):
    begin(uri, path)
    before = os.listdir("/proc/self/fd")

    with pytest.raises(exceptions.LeaseLost):
        fetching.fetch(uri, path, stop=doubles.StopAfter(20))

    assert len(os.listdir("/proc/self/fd")) <= len(before)


def test_a_work_directory_that_was_moved_away_is_not_written_to(
    source, tmp_path
):
    mine = tmp_path / "1"
    mine.mkdir()

    class Moved(doubles.NeverStop):
        """A successor claims the task between two tries."""

        def wait(self, seconds):
            mine.rename(tmp_path / "2")

    uri = source.put("/a", Resource(BODY, ranges=False, cut_after=100_000))

    with pytest.raises(OSError) as caught:
        fetching.fetch(uri, mine / "fetched", stop=Moved())

    assert caught.value.errno == errno.ENOENT
    assert (tmp_path / "2" / "fetched").stat().st_size <= 100_000
    assert not mine.exists()
