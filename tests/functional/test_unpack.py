# SPDX-License-Identifier: Apache-2.0
"""UnpackImage: what it unpacks, what it hands on, and what it refuses."""

import hashlib
import random

import pytest

from glance_tasks import context
from glance_tasks import exceptions
from glance_tasks.atoms import unpack
from glance_tasks.testing import contexts
from glance_tasks.testing import doubles
from tests.support import archives
from tests.support import conversions
from tests.support import crafted
from tests.support import unpacking

MIB = 1 << 20
QCOW2 = archives.IMAGE
VMDK = archives.DISK_IMAGE
RAW = crafted.partitioned()

#: The archive, the format of the image in it, and the image.
ARCHIVES = {
    **{
        kind: (pack(QCOW2), "qcow2", QCOW2)
        for kind, pack in archives.PACKERS.items()
    },
    "ova": (archives.ova(), "vmdk", VMDK),
}
RAW_ARCHIVES = {kind: pack(RAW) for kind, pack in archives.PACKERS.items()}
RAW_ARCHIVES["ova"] = archives.ova(disk=RAW)


class Place:
    """A work directory with a file that was fetched."""

    def __init__(self, home):
        self.home = home
        self.fetched = {}

    def fetch(self, data):
        (self.home / "fetched").write_bytes(data)
        self.fetched = {"name": "fetched", "size": len(data), "sha256": "f"}

    def atom(self, **changes):
        return unpack.UnpackImage(contexts.context(self.home, **changes))

    def unpack(self, data, disk_format, *, changes=None, **given):
        self.fetch(data)
        return self.atom(**(changes or {})).execute(
            fetched=self.fetched, import_from_format=disk_format, **given
        )

    def refused(self, *words, **given):
        with pytest.raises(exceptions.TaskError) as caught:
            self.unpack(*words, **given)
        return caught.value

    @property
    def names(self):
        return sorted(path.name for path in self.home.iterdir())


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


# --- unpacking ---------------------------------------------------------------


@pytest.mark.parametrize("kind", ARCHIVES)
def test_an_archive_is_known_by_its_content(place, kind):
    data, disk_format, image = ARCHIVES[kind]

    made = place.unpack(data, disk_format)

    assert (place.home / "unpacked").read_bytes() == image
    assert made == {
        "name": "unpacked",
        "size": len(image),
        "checksum": hashlib.md5(image, usedforsecurity=False).hexdigest(),
        "os_hash_algo": "sha512",
        "os_hash_value": hashlib.sha512(image).hexdigest(),
        "spent": "fetched",
    }
    assert place.names == ["fetched", "unpacked"]


@pytest.mark.parametrize("kind", ARCHIVES)
def test_an_archive_that_was_told_of_may_hold_a_raw_disk(place, kind):
    place.unpack(RAW_ARCHIVES[kind], "raw", import_from_archive=kind)

    assert (place.home / "unpacked").read_bytes() == RAW


def test_the_container_format_tells_of_an_ova_as_in_glance(place):
    properties = {"container_format": "ova"}

    place.unpack(RAW_ARCHIVES["ova"], "raw", image_properties=properties)

    assert (place.home / "unpacked").read_bytes() == RAW


@pytest.mark.parametrize("disk_format", ["qcow2", "raw"])
def test_what_is_no_archive_is_handed_on_as_it_is(place, disk_format):
    data = {"qcow2": QCOW2, "raw": RAW}[disk_format]

    made = place.unpack(
        data, disk_format, changes={"fence": doubles.LostFence()}
    )

    assert made == place.fetched
    assert place.names == ["fetched"]


@pytest.mark.parametrize("disk_format", ["aki", "ari"])
@pytest.mark.parametrize("kind", ["gzip", "xz", "zstd"])
def test_kernels_stay_compressed(place, kind, disk_format):
    assert place.unpack(RAW_ARCHIVES[kind], disk_format) == place.fetched


def test_a_kernel_that_was_told_to_be_packed_is_unpacked(place):
    place.unpack(RAW_ARCHIVES["gzip"], "aki", import_from_archive="gzip")

    assert (place.home / "unpacked").read_bytes() == RAW


# --- refusals ----------------------------------------------------------------


@pytest.mark.parametrize("disk_format", ["raw", "ami"])
@pytest.mark.parametrize("kind", RAW_ARCHIVES)
def test_bytes_that_may_be_an_archive_are_not_guessed_at(
    place, kind, disk_format
):
    error = place.refused(RAW_ARCHIVES[kind], disk_format)

    assert error.code == "format_mismatch"
    assert f"import_from_archive to say '{kind}'" in str(error)
    assert place.names == ["fetched"]


@pytest.mark.parametrize("kind", ARCHIVES)
def test_another_archive_than_was_told_of_is_refused(place, kind):
    other = "xz" if kind != "xz" else "gzip"
    data, disk_format, _ = ARCHIVES[kind]

    error = place.refused(data, disk_format, import_from_archive=other)

    assert error.code == "format_mismatch"
    assert f"kind {other} and looks like {kind}" in str(error)


@pytest.mark.parametrize(
    "given",
    [
        {"import_from_archive": "gzip"},
        {"image_properties": {"container_format": "ova"}},
    ],
)
def test_a_plain_image_that_was_told_to_be_packed_is_refused(place, given):
    error = place.refused(QCOW2, "qcow2", **given)

    assert error.code == "format_mismatch"
    assert "looks like none" in str(error)


@pytest.mark.parametrize(
    ("data", "disk_format"),
    [
        (crafted.vhd_fixed(ARCHIVES["gzip"][0]), "vhd"),
        (crafted.iso(ARCHIVES["zstd"][0][:400]), "iso"),
        (ARCHIVES["gzip"][0] + ARCHIVES["zip"][0], "qcow2"),
    ],
)
def test_two_formats_at_once_are_left_to_the_inspection(
    place, data, disk_format
):
    assert place.unpack(data, disk_format) == place.fetched


def test_a_tar_without_a_descriptor_is_no_ova(place):
    error = place.refused(archives.tar(("disk.vmdk", VMDK)), "vmdk")

    assert error.code == "archive_unfit"
    assert "*.ovf" in str(error)


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        ({"unpack_max_bytes": MIB - 1}, "unpack_size_limit"),
        ({"max_virtual_size": MIB - 1}, "unpack_size_limit"),
        ({"unpack_memory": 16 << 10}, "unpack_memory_limit"),
    ],
)
def test_the_limits_of_the_service_are_kept(place, limits, code):
    error = place.refused(
        RAW_ARCHIVES["xz"],
        "raw",
        import_from_archive="xz",
        changes={"limits": context.Limits(**limits)},
    )

    assert error.code == code


# --- cuts --------------------------------------------------------------------


def test_a_run_that_was_cut_is_begun_anew(place):
    data, disk_format, image = ARCHIVES["gzip"]
    (place.home / "unpacked").write_bytes(b"of another run" * 100_000)

    place.unpack(data, disk_format)

    assert (place.home / "unpacked").read_bytes() == image


@pytest.mark.parametrize("kind", ["xz", "ova"])
def test_a_run_that_was_killed_is_begun_anew(place, kind):
    image = crafted.qcow2() + random.Random(0).randbytes(8 * MIB)
    pack = archives.PACKERS.get(kind, lambda data: archives.ova(disk=data))
    place.fetch(pack(image))
    unpacking.killed_at(4 * MIB, place.home, "qcow2")
    half = (place.home / "unpacked").stat().st_size

    place.atom().execute(fetched=place.fetched, import_from_format="qcow2")

    assert half < len(image)
    assert (place.home / "unpacked").read_bytes() == image


def test_the_fence_is_asked_before_a_file_is_replaced(place):
    (place.home / "unpacked").write_bytes(b"a successor's")

    with pytest.raises(exceptions.LeaseLost):
        place.unpack(
            *ARCHIVES["gzip"][:2], changes={"fence": doubles.LostFence()}
        )

    assert (place.home / "unpacked").read_bytes() == b"a successor's"


def test_a_run_without_its_directory_has_lost_its_lease(place):
    atom = place.atom(fence=doubles.LostFence())

    with pytest.raises(exceptions.LeaseLost):
        atom.execute(
            fetched={"name": "fetched", "size": 1}, import_from_format="raw"
        )


def test_reverting_removes_what_was_unpacked_and_nothing_else(place):
    place.unpack(*ARCHIVES["zip"][:2])

    for _ in range(2):
        place.atom().revert()

    assert place.names == ["fetched"]


def test_reverting_asks_the_fence_first(place):
    place.unpack(*ARCHIVES["zip"][:2])

    with pytest.raises(exceptions.LeaseLost):
        place.atom(fence=doubles.LostFence()).revert()

    assert place.names == ["fetched", "unpacked"]


@pytest.mark.parametrize("kind", [None, "gzip"])
def test_it_says_whether_its_file_is_still_there(place, kind):
    data = QCOW2 if kind is None else ARCHIVES[kind][0]
    made = place.unpack(data, "qcow2")
    atom = place.atom()

    assert atom.holds(made)
    (place.home / made["name"]).write_bytes(b"short")
    assert not atom.holds(made)
    (place.home / made["name"]).unlink()
    assert not atom.holds(made)
    assert not atom.holds(None)


def test_what_is_unpacked_outlives_the_archive(place):
    made = place.unpack(*ARCHIVES["gzip"][:2])
    (place.home / "fetched").unlink()

    assert place.atom().holds(made)


def test_the_archive_makes_room_for_the_conversion(place):
    made = place.unpack(*ARCHIVES["gzip"][:2])
    inspected = {"disk_format": "qcow2", "virtual_size": 1 << 30}

    conversions.converted(
        contexts.context(place.home), "qcow2", made, inspected
    )

    assert place.names == ["converted", "unpacked"]
