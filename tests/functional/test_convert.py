# SPDX-License-Identifier: Apache-2.0
"""InspectImage and ConvertImage with real qemu programs and real images."""

import os
import threading

import pytest
from taskflow import engines
from taskflow.patterns import linear_flow

from glance_tasks import context
from glance_tasks import exceptions
from glance_tasks.atoms import convert
from glance_tasks.atoms import inspect
from glance_tasks.imagefile import qemu
from glance_tasks.imagefile import restraint
from glance_tasks.testing import contexts
from glance_tasks.testing import doubles
from tests.support import conversions
from tests.support import crafted
from tests.support import images
from tests.support import programs

MIB = 1 << 20
DRIVERS = {"raw": "raw", "qcow2": "qcow2", "vmdk": "vmdk"}
DRIVERS |= {"vhd": "vpc", "vhdx": "vhdx", "vdi": "vdi"}


@pytest.mark.parametrize("source", conversions.WORDS)
def test_every_format_becomes_raw(tmp_path, source):
    fetched, inspected = conversions.prepared(tmp_path, source)

    artifact = conversions.converted(
        contexts.context(tmp_path), "raw", fetched, inspected
    )

    result = tmp_path / artifact["name"]
    md5, sha512 = conversions.digests(tmp_path / "disk")
    assert result.read_bytes() == (tmp_path / "disk").read_bytes()
    assert artifact == {
        "name": "converted",
        "size": 8 * MIB,
        "checksum": md5,
        "os_hash_algo": "sha512",
        "os_hash_value": sha512,
        "disk_format": "raw",
        "virtual_size": 8 * MIB,
        "content_digest": conversions.content_digest(tmp_path / "disk"),
    }
    assert programs.qemus(tmp_path) == []


@pytest.mark.parametrize(
    ("source", "target"),
    [
        *(("raw", target) for target in conversions.WORDS),
        ("qcow2", "vhdx"),
        ("vhd", "vmdk"),
        ("vmdk", "qcow2"),
    ],
)
def test_the_disk_is_the_same_in_every_format(tmp_path, source, target):
    fetched, inspected = conversions.prepared(tmp_path, source)

    artifact = conversions.converted(
        contexts.context(tmp_path), target, fetched, inspected
    )

    result = tmp_path / artifact["name"]
    assert images.same_disk(tmp_path / "disk", "raw", result, DRIVERS[target])
    assert (
        artifact["checksum"],
        artifact["os_hash_value"],
    ) == conversions.digests(result)
    assert artifact["size"] == result.stat().st_size
    assert artifact["disk_format"] == target
    assert artifact["virtual_size"] == 8 * MIB
    assert programs.qemus(tmp_path) == []


@pytest.mark.parametrize("target", conversions.WORDS)
def test_a_conversion_is_proven_to_hold_the_same_disk(tmp_path, target):
    fetched, inspected = conversions.prepared(tmp_path, "qcow2")
    progress = doubles.RecordingProgress()

    artifact = conversions.converted(
        contexts.context(tmp_path, progress=progress),
        target,
        fetched,
        inspected,
        verify=True,
    )

    expected = conversions.content_digest(tmp_path / "disk")
    assert artifact["content_digest"] == expected
    done, total = progress.reports[-1]
    assert done == total
    assert progress.reports == sorted(progress.reports)
    assert programs.qemus(tmp_path) == []


def test_the_same_disk_is_the_same_qcow2_again(tmp_path):
    # Written in any order it was another file nearly each time; of VHDX and
    # VMDK every file has an identifier of its own.
    disk, found = tmp_path / "disk", set()
    images.disk(disk, 64 * MIB)
    for number in range(5):
        made = tmp_path / f"{number}.qcow2"
        made.touch()
        qemu.convert(
            disk,
            "raw",
            made,
            "qcow2",
            virtual_size=64 * MIB,
            limits=restraint.Limits.of_disk(64 * MIB, 1 << 20, 4 << 30),
            stop=doubles.NeverStop(),
            progress=doubles.RecordingProgress(),
        )
        found.add(conversions.digests(made))

    assert len(found) == 1


class Flipping(doubles.RecordingProgress):
    """Flips a bit of the source once its first piece was compared."""

    def __init__(self, source, place):
        super().__init__()
        self._source, self._place = source, place

    def bytes(self, done, total):
        super().bytes(done, total)
        if done * 2 > total and self._place is not None:
            with self._source.open("r+b") as file:
                file.seek(self._place)
                byte = file.read(1)[0]
                file.seek(self._place)
                file.write(bytes([byte ^ 1]))
            self._place = None


def test_a_conversion_to_another_disk_fails_and_names_the_block(tmp_path):
    fetched, inspected = conversions.prepared(tmp_path, "raw")
    progress = Flipping(tmp_path / "fetched", 5 * MIB)

    with pytest.raises(exceptions.ConvertError) as caught:
        conversions.converted(
            contexts.context(tmp_path, progress=progress),
            "qcow2",
            fetched,
            inspected,
            verify=True,
        )

    assert caught.value.code == "content_differs"
    assert "block 80 of the converted disk, at byte 5242880" in str(
        caught.value
    )


@pytest.mark.parametrize("target", conversions.WORDS)
def test_a_disk_that_ends_within_a_sector_is_filled_up(tmp_path, target):
    images.disk(tmp_path / "fetched", MIB)
    with (tmp_path / "fetched").open("ab") as file:
        file.write(b"x")
    fetched = {"name": "fetched", "size": MIB + 1}
    inspected = {"disk_format": "raw", "virtual_size": MIB + 1}

    artifact = conversions.converted(
        contexts.context(tmp_path), target, fetched, inspected, verify=True
    )

    assert artifact["virtual_size"] == MIB + 512
    assert artifact["content_digest"] == conversions.content_digest(
        tmp_path / "fetched"
    )


def test_a_vhd_has_the_size_it_tells_whoever_made_it(tmp_path):
    # qemu 7.2 by itself goes by the cylinders of images that Azure made.
    data = crafted.vhd(creator=0x77610000, geometry=0x00010101)
    (tmp_path / "fetched").write_bytes(data)
    inspected = {"disk_format": "vhd", "virtual_size": MIB}
    fetched = {"name": "fetched", "size": len(data)}

    artifact = conversions.converted(
        contexts.context(tmp_path), "raw", fetched, inspected
    )

    assert artifact["size"] == MIB


def test_a_comma_in_a_path_is_no_option(tmp_path):
    work_dir = tmp_path / "a,driver=raw,b"
    work_dir.mkdir()
    fetched, inspected = conversions.prepared(work_dir, "vhd")

    artifact = conversions.converted(
        contexts.context(work_dir), "raw", fetched, inspected
    )

    assert artifact["size"] == 8 * MIB


def test_a_long_path_is_no_obstacle(tmp_path):
    work_dir = tmp_path / ("long" * 40)
    work_dir.mkdir()
    fetched, inspected = conversions.prepared(work_dir, "qcow2")

    artifact = conversions.converted(
        contexts.context(work_dir), "raw", fetched, inspected
    )

    assert artifact["size"] == 8 * MIB


def test_the_atoms_fit_together_in_a_flow(tmp_path):
    fetched, inspected = conversions.prepared(tmp_path, "vhdx")
    ctx = contexts.context(tmp_path)
    flow = linear_flow.Flow("flow").add(
        inspect.InspectImage(ctx), convert.ConvertImage(ctx, "qcow2")
    )
    store = {"fetched": fetched, "import_from_format": "vhdx"}

    results = engines.run(flow, store=store)

    assert results["inspected"] == inspected
    assert results["converted"]["disk_format"] == "qcow2"


def test_an_inspection_goes_by_the_limit_of_the_run(tmp_path):
    fetched, _ = conversions.prepared(tmp_path, "qcow2")
    ctx = contexts.context(
        tmp_path, limits=context.Limits(max_virtual_size=MIB)
    )

    with pytest.raises(exceptions.UnsafeImage) as caught:
        inspect.InspectImage(ctx).execute(
            fetched=fetched, import_from_format="qcow2"
        )

    assert caught.value.code == "virtual_size_exceeded"


@pytest.mark.parametrize("target", ["raw", "qcow2"])
def test_progress_reaches_the_size_of_the_disk(tmp_path, target):
    fetched, inspected = conversions.prepared(tmp_path, "vdi")
    progress = doubles.RecordingProgress()

    conversions.converted(
        contexts.context(tmp_path, progress=progress),
        target,
        fetched,
        inspected,
    )

    assert progress.reports[-1] == (8 * MIB, 8 * MIB)
    assert progress.reports == sorted(progress.reports)


def test_a_disk_that_is_itself_an_image_is_refused(tmp_path):
    (tmp_path / "disk").write_bytes(crafted.qcow2())
    images.made(tmp_path / "fetched", tmp_path / "disk", "-O", "qcow2")
    fetched = {"name": "fetched", "size": 1}
    inspected = {"disk_format": "qcow2", "virtual_size": 4 * crafted.CLUSTER}

    with pytest.raises(exceptions.UnsafeImage) as caught:
        conversions.converted(
            contexts.context(tmp_path), "raw", fetched, inspected
        )

    assert caught.value.code == "unsafe_image"
    assert "looks like qcow2" in str(caught.value)


def test_an_image_that_cannot_be_read_is_told_without_our_paths(tmp_path):
    fetched, inspected = conversions.prepared(tmp_path, "raw")
    inspected["disk_format"] = "qcow2"

    with pytest.raises(exceptions.ConvertError) as caught:
        conversions.converted(
            contexts.context(tmp_path), "raw", fetched, inspected
        )

    assert caught.value.code == "convert_failed"
    assert str(tmp_path) not in str(caught.value)
    assert "not in qcow2 format" in caught.value.detail["stderr"]


def test_a_format_that_cannot_be_written_is_refused(tmp_path):
    fetched, inspected = conversions.prepared(tmp_path)

    with pytest.raises(exceptions.ConvertError, match="converted to iso"):
        conversions.converted(
            contexts.context(tmp_path), "iso", fetched, inspected
        )


@pytest.mark.parametrize(
    ("source", "target", "supported"),
    [
        ("qcow2", "raw", True),
        ("vpc", "vpc", True),
        ("iso", "qcow2", True),
        ("qcow2", "iso", False),
        ("qed", "raw", False),
        ("raw", "ami", False),
    ],
)
def test_what_can_be_converted_is_known_before(source, target, supported):
    assert convert.conversion_supported(source, target) is supported


def test_a_full_device_is_told_before_anything_is_written(tmp_path):
    fetched, inspected = conversions.prepared(tmp_path)
    fetched["size"] = 1 << 60

    with pytest.raises(exceptions.DiskFull, match="expected at least"):
        conversions.converted(
            contexts.context(tmp_path), "raw", fetched, inspected
        )

    assert not (tmp_path / "converted").exists()


class FenceThatFalls:
    """Holds until a successor has moved the work directory away."""

    number = 1

    def __init__(self, work_dir):
        self._work_dir = work_dir

    def check(self):
        if not self._work_dir.exists():
            raise exceptions.LeaseLost("claimed by another conductor")


@pytest.mark.parametrize("target", ["raw", "qcow2"])
def test_a_run_whose_directory_was_moved_away_has_lost_its_lease(
    tmp_path, target
):
    work_dir = tmp_path / "mine"
    work_dir.mkdir()
    fetched, inspected = conversions.prepared(work_dir, "qcow2")

    class Progress(doubles.RecordingProgress):
        def bytes(self, done, total):
            if work_dir.exists():
                work_dir.rename(tmp_path / "theirs")

    ctx = contexts.context(
        work_dir, progress=Progress(), fence=FenceThatFalls(work_dir)
    )

    with pytest.raises(exceptions.LeaseLost):
        conversions.converted(ctx, target, fetched, inspected)

    assert programs.qemus(tmp_path) == []


def test_a_run_that_lost_its_lease_touches_nothing(tmp_path):
    fetched, inspected = conversions.prepared(tmp_path)
    (tmp_path / "converted").write_bytes(b"of a successor")
    ctx = contexts.context(tmp_path, fence=doubles.LostFence())

    with pytest.raises(exceptions.LeaseLost):
        conversions.converted(ctx, "qcow2", fetched, inspected)
    with pytest.raises(exceptions.LeaseLost):
        convert.ConvertImage(ctx).revert()

    assert (tmp_path / "converted").read_bytes() == b"of a successor"


def test_reverting_removes_everything_that_was_made(tmp_path):
    fetched, inspected = conversions.prepared(tmp_path)
    before = sorted(tmp_path.iterdir())
    atom = convert.ConvertImage(contexts.context(tmp_path), "raw")
    atom.revert()
    atom.execute(fetched=fetched, inspected=inspected)

    atom.revert(result=None, flow_failures={})
    atom.revert(result=None, flow_failures={})

    assert sorted(tmp_path.iterdir()) == before


def test_a_finished_conversion_holds_while_its_file_is_whole(tmp_path):
    fetched, inspected = conversions.prepared(tmp_path)
    atom = convert.ConvertImage(contexts.context(tmp_path), "raw")
    artifact = atom.execute(fetched=fetched, inspected=inspected)

    whole = atom.holds(artifact)
    os.truncate(tmp_path / "converted", 5)
    cut = atom.holds(artifact)
    (tmp_path / "converted").unlink()
    gone = atom.holds(artifact)

    assert (whole, cut, gone) == (True, False, False)


def test_conversions_beside_each_other_do_not_meet(tmp_path):
    results = {}

    def work(number):
        work_dir = tmp_path / str(number)
        work_dir.mkdir()
        fetched, inspected = conversions.prepared(work_dir, "qcow2")
        results[number] = conversions.converted(
            contexts.context(work_dir), "raw", fetched, inspected
        )

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    expected = conversions.digests(tmp_path / "0" / "disk")[0]
    assert [results[n]["checksum"] for n in range(4)] == [expected] * 4
