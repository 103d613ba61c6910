# SPDX-License-Identifier: Apache-2.0
"""InspectImage and ConvertImage with real qemu programs and real images."""

import hashlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import pytest
from taskflow import engines
from taskflow.patterns import linear_flow

from glance_tasks import exceptions
from glance_tasks import ledger
from glance_tasks import plugin
from glance_tasks.atoms import convert
from glance_tasks.atoms import inspect
from glance_tasks.imagefile import qemu
from glance_tasks.imagefile import restraint
from glance_tasks.imagefile import view
from tests.support import crafted
from tests.support import doubles
from tests.support import images

MIB = 1 << 20
DRIVERS = {"raw": "raw", "qcow2": "qcow2", "vmdk": "vmdk"}
DRIVERS |= {"vhd": "vpc", "vhdx": "vhdx", "vdi": "vdi"}
WORDS = {
    "raw": "-O raw",
    "qcow2": "-O qcow2",
    "vmdk": "-O vmdk -o subformat=monolithicSparse",
    "vhd": "-O vpc -o force_size=on",
    "vhdx": "-O vhdx",
    "vdi": "-O vdi",
}
PLENTY = restraint.Limits(120, 120, 4 << 30, 1 << 30)


def context(work_dir, **changes):
    """Give what the atoms look at: the rest is of no concern to them."""
    given = {
        **dict.fromkeys(("task", "catalogue", "store", "fetcher")),
        "progress": doubles.RecordingProgress(),
        "stop": doubles.NeverStop(),
        "fence": doubles.OpenFence(),
        "events": doubles.RecordingEvents(),
        **changes,
    }
    return plugin.BuildContext(work_dir=work_dir, **given)


def converted(ctx, target, fetched, inspected):
    atom = convert.ConvertImage(ctx, target)
    return atom.execute(fetched=fetched, inspected=inspected)


def prepared(work_dir, disk_format="raw", size=8 * MIB):
    """Put a disk and an image of it into the work directory.

    :returns: what a fetch and an inspection would have provided
    """
    images.disk(work_dir / "disk", size)
    images.made(
        work_dir / "fetched", work_dir / "disk", *WORDS[disk_format].split()
    )
    fetched = {
        "name": "fetched",
        "size": (work_dir / "fetched").stat().st_size,
    }
    return fetched, {"disk_format": disk_format, "virtual_size": size}


def digests(path):
    data = path.read_bytes()
    md5 = hashlib.md5(data, usedforsecurity=False)
    return md5.hexdigest(), hashlib.sha512(data).hexdigest()


def left_running(path):
    """List the qemu programs that have ``path`` among their words."""
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes()
        except OSError:
            continue
        program = words.partition(b"\0")[0].rpartition(b"/")[2]
        if program.startswith(b"qemu-") and str(path).encode() in words:
            found.append(words)
    return found


def eventually(condition):
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until, "it did not come in ten seconds"
        time.sleep(0.01)


@pytest.mark.parametrize("source", WORDS)
def test_every_format_becomes_raw(tmp_path, source):
    fetched, inspected = prepared(tmp_path, source)

    artifact = converted(context(tmp_path), "raw", fetched, inspected)

    result = tmp_path / artifact["name"]
    md5, sha512 = digests(tmp_path / "disk")
    assert result.read_bytes() == (tmp_path / "disk").read_bytes()
    assert artifact == {
        "name": "converted",
        "size": 8 * MIB,
        "checksum": md5,
        "os_hash_algo": "sha512",
        "os_hash_value": sha512,
        "disk_format": "raw",
        "virtual_size": 8 * MIB,
    }
    assert left_running(tmp_path) == []


@pytest.mark.parametrize(
    ("source", "target"),
    [
        *(("raw", target) for target in WORDS),
        ("qcow2", "vhdx"),
        ("vhd", "vmdk"),
        ("vmdk", "qcow2"),
    ],
)
def test_the_disk_is_the_same_in_every_format(tmp_path, source, target):
    fetched, inspected = prepared(tmp_path, source)

    artifact = converted(context(tmp_path), target, fetched, inspected)

    result = tmp_path / artifact["name"]
    assert images.same_disk(tmp_path / "disk", "raw", result, DRIVERS[target])
    assert (artifact["checksum"], artifact["os_hash_value"]) == digests(result)
    assert artifact["size"] == result.stat().st_size
    assert artifact["disk_format"] == target
    assert artifact["virtual_size"] == 8 * MIB
    assert left_running(tmp_path) == []


@pytest.mark.parametrize("target", WORDS)
def test_a_disk_that_ends_within_a_sector_is_filled_up(tmp_path, target):
    images.disk(tmp_path / "fetched", MIB)
    with (tmp_path / "fetched").open("ab") as file:
        file.write(b"x")
    fetched = {"name": "fetched", "size": MIB + 1}
    inspected = {"disk_format": "raw", "virtual_size": MIB + 1}

    artifact = converted(context(tmp_path), target, fetched, inspected)

    assert artifact["virtual_size"] == MIB + 512


def test_a_vhd_has_the_size_it_tells_whoever_made_it(tmp_path):
    # qemu 7.2 by itself goes by the cylinders of images that Azure made.
    data = crafted.vhd(creator=0x77610000, geometry=0x00010101)
    (tmp_path / "fetched").write_bytes(data)
    inspected = {"disk_format": "vhd", "virtual_size": MIB}
    fetched = {"name": "fetched", "size": len(data)}

    artifact = converted(context(tmp_path), "raw", fetched, inspected)

    assert artifact["size"] == MIB


def test_a_comma_in_a_path_is_no_option(tmp_path):
    work_dir = tmp_path / "a,driver=raw,b"
    work_dir.mkdir()
    fetched, inspected = prepared(work_dir, "vhd")

    artifact = converted(context(work_dir), "raw", fetched, inspected)

    assert artifact["size"] == 8 * MIB


def test_a_long_path_is_no_obstacle(tmp_path):
    work_dir = tmp_path / ("long" * 40)
    work_dir.mkdir()
    fetched, inspected = prepared(work_dir, "qcow2")

    artifact = converted(context(work_dir), "raw", fetched, inspected)

    assert artifact["size"] == 8 * MIB


def test_the_atoms_fit_together_in_a_flow(tmp_path):
    fetched, inspected = prepared(tmp_path, "vhdx")
    ctx = context(tmp_path)
    flow = linear_flow.Flow("flow").add(
        inspect.InspectImage(ctx), convert.ConvertImage(ctx, "qcow2")
    )
    store = {"fetched": fetched, "import_from_format": "vhdx"}

    results = engines.run(flow, store=store)

    assert results["inspected"] == inspected
    assert results["converted"]["disk_format"] == "qcow2"


def test_an_inspection_goes_by_the_limit_of_the_run(tmp_path):
    fetched, _ = prepared(tmp_path, "qcow2")
    ctx = context(tmp_path, limits=plugin.Limits(max_virtual_size=MIB))

    with pytest.raises(exceptions.UnsafeImage) as caught:
        inspect.InspectImage(ctx).execute(
            fetched=fetched, import_from_format="qcow2"
        )

    assert caught.value.code == "virtual_size_exceeded"


@pytest.mark.parametrize("target", ["raw", "qcow2"])
def test_progress_reaches_the_size_of_the_disk(tmp_path, target):
    fetched, inspected = prepared(tmp_path, "vdi")
    progress = doubles.RecordingProgress()

    converted(context(tmp_path, progress=progress), target, fetched, inspected)

    assert progress.reports[-1] == (8 * MIB, 8 * MIB)
    assert progress.reports == sorted(progress.reports)


def test_a_disk_that_is_itself_an_image_is_refused(tmp_path):
    (tmp_path / "disk").write_bytes(crafted.qcow2())
    images.made(tmp_path / "fetched", tmp_path / "disk", "-O", "qcow2")
    fetched = {"name": "fetched", "size": 1}
    inspected = {"disk_format": "qcow2", "virtual_size": 4 * crafted.CLUSTER}

    with pytest.raises(exceptions.UnsafeImage) as caught:
        converted(context(tmp_path), "raw", fetched, inspected)

    assert caught.value.code == "unsafe_image"
    assert "looks like qcow2" in str(caught.value)


def test_an_image_that_cannot_be_read_is_told_without_our_paths(tmp_path):
    fetched, inspected = prepared(tmp_path, "raw")
    inspected["disk_format"] = "qcow2"

    with pytest.raises(exceptions.ConvertError) as caught:
        converted(context(tmp_path), "raw", fetched, inspected)

    assert caught.value.code == "convert_failed"
    assert str(tmp_path) not in str(caught.value)
    assert "not in qcow2 format" in caught.value.detail["stderr"]


def test_a_format_that_cannot_be_written_is_refused(tmp_path):
    fetched, inspected = prepared(tmp_path)

    with pytest.raises(exceptions.ConvertError, match="converted to iso"):
        converted(context(tmp_path), "iso", fetched, inspected)


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
    fetched, inspected = prepared(tmp_path)
    fetched["size"] = 1 << 60

    with pytest.raises(exceptions.DiskFull, match="expected at least"):
        converted(context(tmp_path), "raw", fetched, inspected)

    assert not (tmp_path / "converted").exists()


def big_disk(path, size=160 * MIB):
    """Write a disk without holes, quickly."""
    piece = os.urandom(MIB)
    with path.open("wb") as file:
        for place in range(size // MIB):
            file.write(place.to_bytes(8, "big") + piece[8:])


@pytest.fixture(scope="module")
def big_image(tmp_path_factory):
    """A directory with ``disk`` and ``fetched``, a qcow2 of it."""
    work_dir = tmp_path_factory.mktemp("big")
    big_disk(work_dir / "disk")
    images.made(work_dir / "fetched", work_dir / "disk", "-O", "qcow2")
    return work_dir


def attempt(source, target, limits, work_dir, stop=None):
    """Have qemu-img write a VMDK, which it compresses, under limits."""
    os.close(ledger.create_file(target))
    qemu.convert(
        source / "fetched",
        "qcow2",
        target,
        "vmdk",
        virtual_size=160 * MIB,
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
def test_qemu_img_is_held_to_every_limit(tmp_path, big_image, limits, code):
    with pytest.raises(exceptions.ConvertError) as caught:
        attempt(big_image, tmp_path / "new", limits, tmp_path)

    assert caught.value.code == code
    assert left_running(tmp_path) == []


def shown(big_image, limits=PLENTY):
    return view.RawView(
        big_image / "fetched",
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
def test_a_view_is_held_to_its_limits(big_image, limits, code):
    buffer = memoryview(bytearray(MIB))

    with (
        pytest.raises(exceptions.ConvertError) as caught,
        shown(big_image, limits) as disk,
    ):
        while True:
            for _ in disk.stream(0, lambda: buffer):
                pass

    assert caught.value.code == code
    assert left_running(big_image) == []


def test_a_view_whose_server_is_killed_ends_in_words(big_image):
    buffer = memoryview(bytearray(MIB))

    with (
        pytest.raises(exceptions.ConvertError) as caught,
        shown(big_image) as disk,
    ):
        for number, _ in enumerate(disk.stream(0, lambda: buffer)):
            if number == 5:
                os.kill(disk.pid, signal.SIGKILL)

    assert caught.value.code == "convert_failed"
    assert caught.value.detail["status"] == -signal.SIGKILL


def test_a_view_reads_from_anywhere(big_image):
    with (
        shown(big_image) as disk,
        (big_image / "disk").open("rb") as file,
    ):
        file.seek(100 * MIB - 7)

        assert disk.size == 160 * MIB
        assert disk.read(100 * MIB - 7, 20) == file.read(20)


def test_a_view_that_cannot_read_past_the_end_says_so(big_image):
    with (
        pytest.raises(exceptions.ConvertError, match="cannot be read"),
        shown(big_image) as disk,
    ):
        disk.read(160 * MIB, 512)


def test_no_socket_stays_behind(big_image, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    with shown(big_image):
        while_serving = list(tmp_path.iterdir())

    assert while_serving == []


def linked(big_image, work_dir):
    """Give the big image a work directory of its own."""
    os.link(big_image / "fetched", work_dir / "fetched")
    size = (work_dir / "fetched").stat().st_size
    inspected = {"disk_format": "qcow2", "virtual_size": 160 * MIB}
    return {"name": "fetched", "size": size}, inspected


@pytest.mark.parametrize("target", ["raw", "vmdk"])
def test_a_stop_is_heard_in_the_middle(tmp_path, big_image, target):
    fetched, inspected = linked(big_image, tmp_path)
    progress = doubles.RecordingProgress()
    stop = doubles.StopWhen(lambda: bool(progress.reports))
    ctx = context(tmp_path, progress=progress, stop=stop)

    with pytest.raises(exceptions.LeaseLost):
        converted(ctx, target, fetched, inspected)

    assert progress.reports[-1][0] < 160 * MIB
    assert left_running(tmp_path) == []


def test_a_stop_is_heard_while_the_result_is_hashed(tmp_path, big_image):
    fetched, inspected = linked(big_image, tmp_path)
    progress = doubles.RecordingProgress()
    whole = (160 * MIB, 160 * MIB)
    stop = doubles.StopWhen(lambda: whole in progress.reports)
    ctx = context(tmp_path, progress=progress, stop=stop)

    with pytest.raises(exceptions.LeaseLost):
        converted(ctx, "qcow2", fetched, inspected)


CONVERT = """
import json, pathlib, sys, threading
from tests.functional import test_convert
from glance_tasks.atoms import convert
work_dir, target, pause, fetched, inspected = sys.argv[1:]

class Progress(test_convert.doubles.RecordingProgress):
    def bytes(self, done, total):
        if done >= int(pause):
            print("there", flush=True)
            threading.Event().wait()

ctx = test_convert.context(pathlib.Path(work_dir), progress=Progress())
test_convert.converted(
    ctx, target, json.loads(fetched), json.loads(inspected)
)
"""


def killed_at(place, work_dir, target, fetched, inspected):
    """Convert in another process and kill it when it has come so far."""
    words = [str(work_dir), target, str(place)]
    words += [json.dumps(fetched), json.dumps(inspected)]
    process = subprocess.Popen(
        [sys.executable, "-c", CONVERT, *words],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"there\n"
    running = left_running(work_dir)
    process.kill()
    process.wait()
    process.stdout.close()
    return running


def test_a_killed_conversion_goes_on_and_comes_out_right(tmp_path, big_image):
    fetched, inspected = linked(big_image, tmp_path)

    for place in (20, 70, 140):
        running = killed_at(place * MIB, tmp_path, "raw", fetched, inspected)
        assert len(running) == 1
        eventually(lambda: left_running(tmp_path) == [])
    progress = doubles.RecordingProgress()
    ctx = context(tmp_path, progress=progress)
    artifact = converted(ctx, "raw", fetched, inspected)

    assert progress.reports[0][0] > 64 * MIB
    assert (artifact["checksum"], artifact["os_hash_value"]) == digests(
        big_image / "disk"
    )
    assert (artifact["checksum"], artifact["os_hash_value"]) == digests(
        tmp_path / "converted"
    )


def test_a_killed_qemu_img_is_begun_anew_in_a_new_file(tmp_path, big_image):
    fetched, inspected = linked(big_image, tmp_path)

    running = killed_at(40 * MIB, tmp_path, "vmdk", fetched, inspected)
    eventually(lambda: left_running(tmp_path) == [])
    with (tmp_path / "converted").open("r+b") as frozen:
        artifact = converted(context(tmp_path), "vmdk", fetched, inspected)
        frozen.write(b"from a process that woke up")

    assert len(running) == 1
    assert artifact["checksum"] == digests(tmp_path / "converted")[0]
    assert images.same_disk(
        big_image / "disk", "raw", tmp_path / "converted", "vmdk"
    )


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
    fetched, inspected = prepared(work_dir, "qcow2")

    class Progress(doubles.RecordingProgress):
        def bytes(self, done, total):
            if work_dir.exists():
                work_dir.rename(tmp_path / "theirs")

    ctx = context(
        work_dir, progress=Progress(), fence=FenceThatFalls(work_dir)
    )

    with pytest.raises(exceptions.LeaseLost):
        converted(ctx, target, fetched, inspected)

    assert left_running(tmp_path) == []


def test_a_run_that_lost_its_lease_touches_nothing(tmp_path):
    fetched, inspected = prepared(tmp_path)
    (tmp_path / "converted").write_bytes(b"of a successor")
    ctx = context(tmp_path, fence=doubles.LostFence())

    with pytest.raises(exceptions.LeaseLost):
        converted(ctx, "qcow2", fetched, inspected)
    with pytest.raises(exceptions.LeaseLost):
        convert.ConvertImage(ctx).revert()

    assert (tmp_path / "converted").read_bytes() == b"of a successor"


def test_reverting_removes_everything_that_was_made(tmp_path):
    fetched, inspected = prepared(tmp_path)
    before = sorted(tmp_path.iterdir())
    atom = convert.ConvertImage(context(tmp_path), "raw")
    atom.revert()
    atom.execute(fetched=fetched, inspected=inspected)

    atom.revert(result=None, flow_failures={})
    atom.revert(result=None, flow_failures={})

    assert sorted(tmp_path.iterdir()) == before


def test_a_finished_conversion_holds_while_its_file_is_whole(tmp_path):
    fetched, inspected = prepared(tmp_path)
    atom = convert.ConvertImage(context(tmp_path), "raw")
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
        fetched, inspected = prepared(work_dir, "qcow2")
        results[number] = converted(
            context(work_dir), "raw", fetched, inspected
        )

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    expected = digests(tmp_path / "0" / "disk")[0]
    assert [results[n]["checksum"] for n in range(4)] == [expected] * 4
