# SPDX-License-Identifier: Apache-2.0
"""Sending to a file under a directory that the deployer named."""

import hashlib
import os
import random

import pytest

from glance_tasks import directio
from glance_tasks import exceptions
from glance_tasks.testing import doubles
from glance_tasks.testing import full_disk
from glance_tasks.transfer import destination
from glance_tasks.transfer import file
from tests.support import sending

BODY = random.Random(5).randbytes(5 * sending.PART - 7)


@pytest.fixture
def root(tmp_path):
    path = tmp_path / "exports"
    path.mkdir()
    return path


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "image"
    path.write_bytes(BODY)
    return path


def wanted(root, body=BODY, name="a", **changes):
    return sending.parcel(f"file://{root}/{name}", body, **changes)


def rules(root, **changes):
    return sending.allowing(file_roots=(str(root),), **changes)


def names(root):
    return sorted(path.name for path in root.iterdir())


@pytest.mark.parametrize("size", [0, 1, sending.PART, len(BODY)])
def test_what_is_sent_arrives_whole_and_alone(root, image, size):
    image.write_bytes(BODY[:size])

    sent = sending.send(wanted(root, BODY[:size]), image, rules(root))

    assert (root / "a").read_bytes() == BODY[:size]
    assert (sent.size, sent.sent, names(root)) == (size, size, ["a"])


def cut(root, image, after):
    progress = doubles.RecordingProgress()
    stop = doubles.StopWhen(
        lambda: any(done >= after for done, _ in progress.reports)
    )
    with pytest.raises(exceptions.RunInterrupted):
        # One after the other, or the last may be there with the first.
        sending.send(
            wanted(root),
            image,
            rules(root, parts_at_once=1),
            stop=stop,
            progress=progress,
        )


def test_a_cut_goes_on_with_the_first_missing_part(root, image):
    cut(root, image, after=2 * sending.PART)

    sent = sending.send(wanted(root), image, rules(root))

    assert (root / "a").read_bytes() == BODY
    assert sent.sent <= 3 * sending.PART
    assert names(root) == ["a"]


def test_a_part_that_did_not_reach_the_disk_is_written_again(root, image):
    cut(root, image, after=2 * sending.PART)
    (part,) = root.iterdir()
    with part.open("r+b") as file:
        file.write(b"\0" * 100)

    sent = sending.send(wanted(root), image, rules(root))

    assert (root / "a").read_bytes() == BODY
    assert sent.sent >= sending.PART


def test_a_disk_that_does_not_keep_what_it_took_is_told(
    root, image, monkeypatch
):
    plain = directio.Writer.write

    def forget(self, piece, offset):
        plain(self, piece, offset)
        if offset == 2 * sending.PART:
            os.pwrite(self._fd, b"\0" * len(piece), offset)

    monkeypatch.setattr(directio.Writer, "write", forget)

    with pytest.raises(exceptions.SendError, match="gives back") as caught:
        sending.send(wanted(root), image, rules(root))

    assert caught.value.code == "destination_unverified"
    assert "a" not in names(root)


def test_the_file_is_checked_by_the_digest_that_is_given(root, image):
    other = ("sha512", hashlib.sha512(BODY[1:]).hexdigest())

    with pytest.raises(exceptions.ChecksumMismatch, match="sha512") as caught:
        sending.send(wanted(root, os_hash=other), image, rules(root))

    assert other[1] in str(caught.value)
    assert "a" not in names(root)


def test_what_an_earlier_version_left_is_not_in_the_file(root, image):
    cut(root, image, after=2 * sending.PART)
    (part,) = root.iterdir()
    with part.open("ab") as file:
        file.write(b"more" * len(BODY))

    sending.send(wanted(root), image, rules(root))

    assert (root / "a").read_bytes() == BODY


def test_a_cut_between_the_two_names_leaves_one(root, image):
    sending.send(wanted(root), image, rules(root))
    os.link(root / "a", root / ".a.6d0c4f6e.0.part")

    sent = sending.send(wanted(root), image, rules(root))

    assert sent.sent == 0
    assert names(root) == ["a"]


def test_another_s_file_is_kept_and_named(root, image):
    (root / "a").write_bytes(b"other")

    with pytest.raises(exceptions.SendError) as caught:
        sending.send(wanted(root), image, rules(root))

    assert caught.value.code == "destination_exists"
    assert (root / "a").read_bytes() == b"other"


def test_another_s_file_is_replaced_when_asked_for(root, image):
    (root / "a").write_bytes(b"other")

    sending.send(wanted(root, overwrite=True), image, rules(root))

    assert (root / "a").read_bytes() == BODY
    assert names(root) == ["a"]


def test_the_file_of_another_task_is_another_s(root, image):
    sending.send(wanted(root, token="other"), image, rules(root))

    with pytest.raises(exceptions.SendError) as caught:
        sending.send(wanted(root), image, rules(root))

    assert caught.value.code == "destination_exists"


def test_half_and_whole_are_removed_and_nothing_else(root, image):
    (root / "b").write_bytes(b"other")
    cut(root, image, after=sending.PART)
    sending.remove(wanted(root), rules(root))
    after_half = names(root)
    sending.send(wanted(root), image, rules(root))

    for _ in range(2):
        sending.remove(wanted(root), rules(root))
    sending.remove(wanted(root, name="b"), rules(root))

    assert after_half == names(root) == ["b"]


@pytest.mark.parametrize(
    "place", ["../a", "%2e%2e/a", "link/a", "", "missing/a", "a?b=c"]
)
def test_a_path_out_of_the_root_is_refused(root, image, place, tmp_path):
    (root / "link").symlink_to(tmp_path)

    with pytest.raises(exceptions.SendError) as caught:
        sending.send(wanted(root, name=place), image, rules(root))

    assert caught.value.code in (
        "destination_not_allowed",
        "destination_denied",
    )
    assert str(tmp_path) not in str(caught.value).replace(f"{root}", "")
    assert not (tmp_path / "a").exists()


def test_a_link_in_the_file_s_place_is_not_followed(root, image, tmp_path):
    (tmp_path / "secret").write_bytes(b"other")
    (root / "a").symlink_to("/dev/null")

    with pytest.raises(exceptions.SendError):
        sending.send(wanted(root), image, rules(root))


def destination_of(root, number):
    sends = file.FileEndpoint(rules(root), None)
    return sends.destination(wanted(root, number=number))


def part_of(number):
    data = BODY[(number - 1) * sending.PART : number * sending.PART]
    digest = hashlib.sha256(data).hexdigest()
    return destination.Part(number, len(data), digest), memoryview(data)


@pytest.mark.parametrize("completed", [False, True])
def test_a_run_that_was_taken_over_writes_nothing_more(root, completed):
    stop = doubles.NeverStop()
    frozen, successor = destination_of(root, 7), destination_of(root, 8)
    frozen.parts(stop)
    frozen.put(*part_of(1), stop)
    there = successor.parts(stop)
    parts = [part_of(number)[0] for number in range(1, 6)]
    if completed:
        for number in range(2, 6):
            successor.put(*part_of(number), stop)
        successor.complete(parts, stop)
    before = names(root)

    for number in (1, 2):
        with pytest.raises(exceptions.SendError):
            frozen.put(*part_of(number), stop)
    with pytest.raises(exceptions.SendError):
        frozen.complete(parts, stop)

    assert there[1] == parts[0]
    assert names(root) == before
    assert before == (["a"] if completed else [".a.6d0c4f6e.8.part"])


def test_a_run_that_is_taken_over_in_midst_writes_nothing_more(root):
    frozen, successor = destination_of(root, 7), destination_of(root, 8)
    never = doubles.NeverStop()
    frozen.parts(never)

    class Thawing:
        """Has waited so long that there is a successor."""

        def check(self):
            if ".a.6d0c4f6e.7.part" in names(root):
                successor.parts(never)

    with pytest.raises(exceptions.SendError):
        frozen.put(*part_of(2), Thawing())

    assert (root / ".a.6d0c4f6e.8.part").read_bytes() == b""


def test_of_several_halves_the_last_is_gone_on_with(root, image):
    for number, data in (2, b""), (10, BODY[: sending.PART]), (9, b"x"):
        (root / f".a.6d0c4f6e.{number}.part").write_bytes(data)
    (root / ".a.6d0c4f6e.x.part").write_bytes(b"another's")

    sent = sending.send(wanted(root, number=11), image, rules(root))

    assert sent.sent == len(BODY) - sending.PART
    assert names(root) == [".a.6d0c4f6e.x.part", "a"]


def test_a_full_disk_is_told(tmp_path, image):
    root = tmp_path / "small"
    with full_disk.FullDisk(root, 2 * sending.PART):
        with pytest.raises(exceptions.SendError) as caught:
            sending.send(wanted(root), image, rules(root))

        assert caught.value.code == "destination_full"
        sending.remove(wanted(root), rules(root))
        assert names(root) == []


def test_a_run_that_lost_its_lease_gives_no_name(root, image):
    with pytest.raises(exceptions.LeaseLost):
        sending.send(
            wanted(root), image, rules(root), fence=doubles.LostFence()
        )

    assert "a" not in names(root)
