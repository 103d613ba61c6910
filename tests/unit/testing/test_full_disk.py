# SPDX-License-Identifier: Apache-2.0
"""A disk is full after so many bytes, and gone after the test."""

import errno

import pytest

from glance_tasks import testing
from tests.support import stores

ROOM = 64 << 10


def test_a_disk_has_room_for_so_many_bytes(tmp_path):
    with stores.mounted(tmp_path / "disk", ROOM) as place:
        (place / "fits").write_bytes(bytes(ROOM))

        with pytest.raises(OSError, match="No space left") as caught:
            (place / "more").write_bytes(b"1")

    assert caught.value.errno == errno.ENOSPC


def test_what_was_written_is_gone_afterwards(tmp_path):
    place = tmp_path / "disk"
    with stores.mounted(place, ROOM):
        (place / "file").touch()

    assert list(place.iterdir()) == []
    assert place.stat().st_dev == tmp_path.stat().st_dev


def test_a_read_only_disk_takes_nothing(tmp_path):
    with (
        stores.mounted(tmp_path / "disk", ROOM, read_only=True) as place,
        pytest.raises(OSError, match="Read-only"),
    ):
        (place / "file").touch()


def test_where_nothing_can_be_mounted_the_disk_is_absent(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("PATH", str(tmp_path))
    disk = testing.FullDisk(tmp_path / "disk", ROOM)

    with pytest.raises(testing.DiskAbsent, match="no program mount"):
        disk.setUp()


def test_a_refused_mount_says_so_with_its_reason(tmp_path, monkeypatch):
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "mount").write_text(
        "#!/bin/sh\necho must be superuser >&2\nexit 32\n"
    )
    (programs / "mount").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))

    with pytest.raises(testing.DiskAbsent, match="32: must be superuser"):
        testing.FullDisk(tmp_path / "disk", ROOM).setUp()


def test_a_disk_without_any_room_is_refused(tmp_path):
    with pytest.raises(ValueError, match="expected 1 or more"):
        testing.FullDisk(tmp_path / "disk", 0)
