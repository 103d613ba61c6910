# SPDX-License-Identifier: Apache-2.0
import itertools
import os
import threading

import pytest

from glance_tasks import digest
from glance_tasks import exceptions
from glance_tasks import ledger
from glance_tasks.testing import doubles
from glance_tasks.transfer import landing
from glance_tasks.transfer import workfile

CHUNK = 256 << 10
HEADER = {"source": "somewhere"}


def land(work, progress):
    return landing.Landing(
        work,
        digest.fresh_states(["sha256"]),
        0,
        CHUNK,
        progress.advanced,
    )


def send(place, stop, size):
    end = place.offset + size
    while place.offset < end:
        buffer = place.borrow(stop.check)
        place.send(buffer)


class StopWhenStuck(doubles.NeverStop):
    """A stop signal that comes when nothing moves any more."""

    def __init__(self, place):
        self._place, self._seen = place, []

    def check(self):
        self._seen.append(self._place.offset)
        if len(self._seen) >= 5 and len(set(self._seen[-5:])) == 1:
            raise exceptions.LeaseLost("stuck")


def test_no_more_than_half_a_chunk_is_taken_before_a_mark_is_durable(
    tmp_path, monkeypatch
):
    let_go, sync = threading.Event(), os.fdatasync

    def sync_once_let(fd):
        let_go.wait(60)
        sync(fd)

    progress = doubles.RecordingProgress()
    place = land(workfile.WorkFile.anew(tmp_path / "a", HEADER), progress)
    monkeypatch.setattr(os, "fdatasync", sync_once_let)

    with pytest.raises(exceptions.LeaseLost):
        send(place, StopWhenStuck(place), 10 * CHUNK)
    offset, advances = place.offset, progress.advances
    let_go.set()
    send(place, doubles.NeverStop(), 2 * CHUNK)
    place.close()

    assert offset == CHUNK // 2
    assert advances == 0
    assert progress.advances >= 4


def test_a_mark_follows_each_quarter_of_a_chunk(tmp_path):
    progress = doubles.RecordingProgress()
    place = land(workfile.WorkFile.anew(tmp_path / "a", HEADER), progress)

    send(place, doubles.NeverStop(), 10 * CHUNK)
    place.finish(doubles.NeverStop().check)
    place.close()

    found = ledger.read(tmp_path / "a")
    offsets = [0, *(mark.offset for mark in found.marks)]
    steps = [b - a for a, b in itertools.pairwise(offsets)]
    assert min(steps[:-1]) >= CHUNK // 4
    assert max(steps) <= CHUNK // 2
    assert found.done == found.marks[-1]
    assert progress.advances == len(found.marks)


def test_a_mark_is_noted_after_its_bytes_are_on_the_disk(
    tmp_path, monkeypatch
):
    calls = []
    sync, write = os.fdatasync, os.write

    def note_sync(fd):
        calls.append(("sync", os.readlink(f"/proc/self/fd/{fd}")))
        sync(fd)

    def note_write(fd, data):
        calls.append(("write", os.readlink(f"/proc/self/fd/{fd}")))
        return write(fd, data)

    monkeypatch.setattr(os, "fdatasync", note_sync)
    monkeypatch.setattr(os, "write", note_write)
    path = tmp_path / "a"
    place = land(
        workfile.WorkFile.anew(path, HEADER), doubles.RecordingProgress()
    )
    calls.clear()

    send(place, doubles.NeverStop(), CHUNK)
    place.finish(doubles.NeverStop().check)
    place.close()

    book = str(ledger.beside(path))
    one_mark = [("sync", str(path)), ("write", book), ("sync", book)]
    assert calls == one_mark * (len(calls) // 3)
    assert len(calls) >= 3 * 3


def test_closing_in_the_middle_leaves_no_thread_behind(tmp_path):
    before = threading.active_count()
    progress = doubles.RecordingProgress()
    place = land(workfile.WorkFile.anew(tmp_path / "a", HEADER), progress)

    send(place, doubles.NeverStop(), CHUNK)
    place.close()

    assert threading.active_count() == before
