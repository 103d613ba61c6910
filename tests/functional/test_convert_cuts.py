# SPDX-License-Identifier: Apache-2.0
"""Conversions that are stopped or killed in the middle, and go on."""

import pytest

from glance_tasks import exceptions
from glance_tasks.testing import contexts
from glance_tasks.testing import doubles
from tests.support import conversions
from tests.support import images
from tests.support import programs

MIB = 1 << 20


@pytest.fixture(scope="module")
def big(tmp_path_factory):
    """A directory with a big ``disk`` and ``fetched``, a qcow2 of it."""
    work_dir = tmp_path_factory.mktemp("big")
    conversions.prepare_big(work_dir)
    return work_dir


@pytest.mark.parametrize("target", ["raw", "vmdk"])
def test_a_stop_is_heard_in_the_middle(tmp_path, big, target):
    fetched, inspected = conversions.linked(big, tmp_path)
    progress = doubles.RecordingProgress()
    stop = doubles.StopWhen(lambda: bool(progress.reports))
    ctx = contexts.context(tmp_path, progress=progress, stop=stop)

    with pytest.raises(exceptions.LeaseLost):
        conversions.converted(ctx, target, fetched, inspected)

    assert progress.reports[-1][0] < conversions.BIG
    assert programs.qemus(tmp_path) == []


def test_a_stop_is_heard_while_the_result_is_hashed(tmp_path, big):
    fetched, inspected = conversions.linked(big, tmp_path)
    progress = doubles.RecordingProgress()
    whole = (conversions.BIG, conversions.BIG)
    stop = doubles.StopWhen(lambda: whole in progress.reports)
    ctx = contexts.context(tmp_path, progress=progress, stop=stop)

    with pytest.raises(exceptions.LeaseLost):
        conversions.converted(ctx, "qcow2", fetched, inspected)


def test_a_killed_conversion_goes_on_and_comes_out_right(tmp_path, big):
    fetched, inspected = conversions.linked(big, tmp_path)

    for place in (20, 70, 140):
        running = conversions.killed_at(
            place * MIB, tmp_path, "raw", fetched, inspected
        )
        assert running == 1
        programs.eventually(lambda: programs.qemus(tmp_path) == [])
    progress = doubles.RecordingProgress()
    ctx = contexts.context(tmp_path, progress=progress)
    artifact = conversions.converted(ctx, "raw", fetched, inspected)

    assert progress.reports[0][0] > 64 * MIB
    assert (
        artifact["checksum"],
        artifact["os_hash_value"],
    ) == conversions.digests(big / "disk")
    assert (
        artifact["checksum"],
        artifact["os_hash_value"],
    ) == conversions.digests(tmp_path / "converted")


def test_a_killed_qemu_img_is_begun_anew_in_a_new_file(tmp_path, big):
    fetched, inspected = conversions.linked(big, tmp_path)

    running = conversions.killed_at(
        40 * MIB, tmp_path, "vmdk", fetched, inspected
    )
    programs.eventually(lambda: programs.qemus(tmp_path) == [])
    with (tmp_path / "converted").open("r+b") as frozen:
        artifact = conversions.converted(
            contexts.context(tmp_path), "vmdk", fetched, inspected
        )
        frozen.write(b"from a process that woke up")

    assert running == 1
    assert (
        artifact["checksum"] == conversions.digests(tmp_path / "converted")[0]
    )
    assert images.same_disk(
        big / "disk", "raw", tmp_path / "converted", "vmdk"
    )
