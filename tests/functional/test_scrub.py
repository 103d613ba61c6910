# SPDX-License-Identifier: Apache-2.0
"""ScrubImage with real images that hold more than their disk."""

import json
import pathlib
import subprocess

import pytest

from glance_tasks import exceptions
from glance_tasks.atoms import inspect
from glance_tasks.atoms import scrub
from glance_tasks.testing import contexts
from glance_tasks.testing import doubles
from tests.support import conversions
from tests.support import images
from tests.support import programs

MIB = 1 << 20
SIZE = 8 * MIB
CANARY = b"canary-"


def tool(*words):
    done = subprocess.run(
        [*map(str, words)], check=True, capture_output=True, text=True
    )
    return done.stdout


def write(image, folder, word, place):
    """Write a canary and some more to a place of the disk."""
    data = folder / "data"
    data.write_bytes((CANARY + word).ljust(65_536, b"."))
    tool("qemu-io", "-f", "qcow2", "-c", f"write -s {data} {place} 1M", image)
    data.unlink()


@pytest.fixture
def burdened(tmp_path):
    """A work directory with a qcow2 that holds five canaries off its disk."""
    image = tmp_path / "fetched"
    tool("qemu-img", "create", "-q", "-f", "qcow2", image, str(SIZE))
    write(image, tmp_path, b"in a snapshot", MIB)
    tool("qemu-img", "snapshot", "-c", "canary-snapshot", image)
    tool("qemu-io", "-f", "qcow2", "-c", f"write -P 7 {MIB} 1M", image)
    tool("qemu-img", "bitmap", "--add", image, "canary-bitmap")
    write(image, tmp_path, b"freed", 2 * MIB)
    # The clusters are free then, and their bytes stay in the file.
    options = "driver=qcow2,discard=unmap,pass-discard-request=off"
    tool(
        *("qemu-io", "-c", f"discard {2 * MIB} 1M", "--image-opts"),
        f"{options},file.driver=file,file.filename={image}",
    )
    with image.open("ab") as file:
        file.write(b"\0" * 512 + b"canary-behind the end".ljust(512, b"\0"))
    return tmp_path


def scrubbed(work_dir, disk_format, **chosen):
    """Inspect and scrub; gives the artifact."""
    ctx = contexts.context(work_dir, **chosen)
    fetched = {
        "name": "fetched",
        "size": (work_dir / "fetched").stat().st_size,
    }
    inspected = inspect.InspectImage(ctx).execute(
        fetched=fetched, import_from_format=disk_format
    )
    atom = scrub.ScrubImage(ctx)
    return atom.execute(fetched=fetched, inspected=inspected)


def told(path):
    return json.loads(
        tool("qemu-img", "info", "--output=json", "-f", "qcow2", path)
    )


def test_only_the_disk_stays(burdened):
    before = (burdened / "fetched").read_bytes()

    artifact = scrubbed(burdened, "qcow2")

    result = burdened / artifact["name"]
    words = (b"in a snapshot", b"snapshot", b"freed", b"bitmap", b"behind")
    assert [w for w in words if CANARY + w not in before] == []
    assert CANARY not in result.read_bytes()
    assert images.same_disk(burdened / "fetched", "qcow2", result, "qcow2")
    assert "snapshots" not in told(result)
    assert "bitmaps" not in told(result)["format-specific"]["data"]
    assert (burdened / "fetched").read_bytes() == before
    assert artifact["disk_format"] == "qcow2"
    assert programs.qemus(burdened) == []


def test_the_guest_finds_the_same_content(burdened):
    tool(
        *("qemu-img", "convert", "-f", "qcow2", "-O", "raw"),
        *(burdened / "fetched", burdened / "disk"),
    )

    artifact = scrubbed(burdened, "qcow2")

    expected = conversions.content_digest(burdened / "disk")
    assert artifact["content_digest"] == expected


@pytest.mark.parametrize("disk_format", ["vmdk", "vhd", "vhdx", "vdi"])
def test_an_image_of_any_format_is_written_anew(tmp_path, disk_format):
    fetched, inspected = conversions.prepared(tmp_path, disk_format)

    artifact = conversions.converted(
        contexts.context(tmp_path), "itself", fetched, inspected
    )

    expected = conversions.content_digest(tmp_path / "disk")
    assert artifact["name"] == "scrubbed"
    assert artifact["disk_format"] == disk_format
    assert artifact["content_digest"] == expected
    md5, sha512 = conversions.digests(tmp_path / "scrubbed")
    assert (artifact["checksum"], artifact["os_hash_value"]) == (md5, sha512)


def test_a_raw_image_is_nothing_but_its_disk(tmp_path):
    fetched, inspected = conversions.prepared(tmp_path, "raw")
    fetched["os_hash_value"] = "known"

    artifact = conversions.converted(
        contexts.context(tmp_path), "itself", fetched, inspected
    )

    assert artifact == fetched
    assert not (tmp_path / "scrubbed").exists()


def test_reverting_leaves_what_was_there(burdened):
    before = sorted(burdened.iterdir())
    atom = scrub.ScrubImage(contexts.context(burdened))
    atom.revert()
    artifact = scrubbed(burdened, "qcow2")
    held = atom.holds(artifact)

    atom.revert()
    atom.revert()

    assert held
    assert not atom.holds(artifact)
    assert sorted(burdened.iterdir()) == before


def test_a_full_device_is_told_before_anything_is_written(burdened):
    fetched = {"name": "fetched", "size": 1 << 60}
    inspected = {"disk_format": "qcow2", "virtual_size": SIZE}
    atom = scrub.ScrubImage(contexts.context(burdened))

    with pytest.raises(exceptions.DiskFull):
        atom.execute(fetched=fetched, inspected=inspected)


def test_a_run_that_lost_its_lease_touches_nothing(burdened):
    (burdened / "scrubbed").write_bytes(b"of a successor")

    with pytest.raises(exceptions.LeaseLost):
        scrubbed(burdened, "qcow2", fence=doubles.LostFence())

    assert (burdened / "scrubbed").read_bytes() == b"of a successor"


def test_a_killed_scrubbing_is_begun_anew(tmp_path: pathlib.Path):
    conversions.prepare_big(tmp_path)
    fetched = {
        "name": "fetched",
        "size": (tmp_path / "fetched").stat().st_size,
    }
    inspected = {"disk_format": "qcow2", "virtual_size": conversions.BIG}

    for place in (30, 90):
        conversions.killed_at(
            place * MIB, tmp_path, "itself", fetched, inspected
        )
        programs.eventually(lambda: programs.qemus(tmp_path) == [])
    artifact = conversions.converted(
        contexts.context(tmp_path), "itself", fetched, inspected
    )

    assert artifact["content_digest"] == conversions.content_digest(
        tmp_path / "disk"
    )
