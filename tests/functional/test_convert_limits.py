# SPDX-License-Identifier: Apache-2.0
"""Every limit of the qemu programs is proved by exceeding it."""

import os
import signal

import pytest

from glance_tasks import exceptions
from glance_tasks import ledger
from glance_tasks.imagefile import qemu
from glance_tasks.imagefile import restraint
from glance_tasks.imagefile import view
from glance_tasks.testing import doubles
from tests.support import conversions
from tests.support import programs

MIB = 1 << 20
PLENTY = restraint.Limits(120, 120, 4 << 30, 1 << 30)


@pytest.fixture(scope="module")
def big(tmp_path_factory):
    """A directory with a big ``disk`` and ``fetched``, a qcow2 of it."""
    work_dir = tmp_path_factory.mktemp("big")
    conversions.prepare_big(work_dir)
    return work_dir


def attempt(source, target, limits, work_dir, stop=None):
    """Have qemu-img write a VMDK, which it compresses, under limits."""
    os.close(ledger.create_file(target))
    qemu.convert(
        source / "fetched",
        "qcow2",
        target,
        "vmdk",
        virtual_size=conversions.BIG,
        limits=limits,
        stop=stop or doubles.NeverStop(),
        progress=doubles.RecordingProgress(),
    )


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (restraint.Limits(1, 120, 4 << 30, 1 << 30), "convert_cpu_limit"),
        (restraint.Limits(120, 0.5, 4 << 30, 1 << 30), "convert_timeout"),
        (
            restraint.Limits(120, 120, 64 << 20, 1 << 30),
            "convert_memory_limit",
        ),
        (restraint.Limits(120, 120, 4 << 30, 1 << 20), "convert_size_limit"),
    ],
)
def test_qemu_img_is_held_to_every_limit(tmp_path, big, limits, code):
    with pytest.raises(exceptions.ConvertError) as caught:
        attempt(big, tmp_path / "new", limits, tmp_path)

    assert caught.value.code == code
    assert programs.qemus(tmp_path) == []


def shown(big, limits=PLENTY):
    return view.RawView(
        big / "fetched",
        "qcow2",
        limits=limits,
        stop=doubles.NeverStop(),
    )


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (restraint.Limits(1, 120, 4 << 30, 1 << 30), "convert_cpu_limit"),
        (restraint.Limits(120, 0.3, 4 << 30, 1 << 30), "convert_timeout"),
        (
            restraint.Limits(120, 120, 64 << 20, 1 << 30),
            "convert_memory_limit",
        ),
    ],
)
def test_a_view_is_held_to_its_limits(big, limits, code):
    buffer = memoryview(bytearray(MIB))

    with (
        pytest.raises(exceptions.ConvertError) as caught,
        shown(big, limits) as disk,
    ):
        while True:
            for _ in disk.stream(0, lambda: buffer):
                pass

    assert caught.value.code == code
    assert programs.qemus(big) == []


def test_a_view_whose_server_is_killed_ends_in_words(big):
    buffer = memoryview(bytearray(MIB))

    with (
        pytest.raises(exceptions.ConvertError) as caught,
        shown(big) as disk,
    ):
        for number, _ in enumerate(disk.stream(0, lambda: buffer)):
            if number == 5:
                os.kill(disk.pid, signal.SIGKILL)

    assert caught.value.code == "convert_failed"
    assert caught.value.detail["status"] == -signal.SIGKILL


def test_a_view_reads_from_anywhere(big):
    with (
        shown(big) as disk,
        (big / "disk").open("rb") as file,
    ):
        file.seek(100 * MIB - 7)

        assert disk.size == conversions.BIG
        assert disk.read(100 * MIB - 7, 20) == file.read(20)


def test_a_view_that_cannot_read_past_the_end_says_so(big):
    with (
        pytest.raises(exceptions.ConvertError, match="cannot be read"),
        shown(big) as disk,
    ):
        disk.read(conversions.BIG, 512)


def test_no_socket_stays_behind(big, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    with shown(big):
        while_serving = list(tmp_path.iterdir())

    assert while_serving == []
