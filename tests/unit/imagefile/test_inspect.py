# SPDX-License-Identifier: Apache-2.0
import gzip
import lzma
import os

import hypothesis
from hypothesis import strategies
import pytest

from glance_tasks import exceptions
from glance_tasks.imagefile import formats
from glance_tasks.imagefile import inspect
from tests.support import crafted
from tests.support import images
from tests.support.corpus import plain

LIMIT = 1 << 40

GOOD = {
    "raw": (crafted.partitioned(), 1 << 20),
    "iso": (crafted.iso(), 64 << 10),
    "qcow2": (crafted.qcow2(), 1 << 30),
    "vmdk": (crafted.vmdk(), 1 << 20),
    "vhd": (crafted.vhd(), 1 << 20),
    "vhdx": (crafted.vhdx(), 64 << 20),
    "vdi": (crafted.vdi(), 4 << 20),
}


@pytest.fixture
def look(tmp_path):
    def look(data, declared, limit=LIMIT):
        path = tmp_path / "image"
        path.write_bytes(data)
        return inspect.inspect(path, declared, limit)

    return look


def refused(look, data, declared, limit=LIMIT):
    with pytest.raises(exceptions.UnsafeImage) as caught:
        look(data, declared, limit)
    return caught.value


@pytest.mark.parametrize("name", GOOD)
def test_a_good_image_gives_its_format_and_size(look, name):
    data, size = GOOD[name]

    found = look(data, name)

    assert found == inspect.Inspection(name, size)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("qcow2", "-O qcow2 -o compat=1.1,lazy_refcounts=on"),
        ("qcow2", "-O qcow2 -o compat=0.10"),
        ("qcow2", "-O qcow2 -c -o compression_type=zstd,cluster_size=2M"),
        ("qcow2", "-O qcow2 -o cluster_size=512"),
        ("vmdk", "-O vmdk -o subformat=monolithicSparse"),
        ("vmdk", "-O vmdk -o subformat=streamOptimized"),
        ("vhd", "-O vpc -o subformat=dynamic,force_size=on"),
        ("vhd", "-O vpc -o subformat=fixed,force_size=on"),
        ("vhdx", "-O vhdx -o subformat=dynamic"),
        ("vhdx", "-O vhdx -o subformat=fixed"),
        ("vdi", "-O vdi"),
        ("vdi", "-O vdi -o static=on"),
    ],
)
def test_what_qemu_img_makes_is_accepted(tmp_path, name, words):
    images.disk(tmp_path / "disk")
    images.made(tmp_path / "image", tmp_path / "disk", *words.split())

    found = inspect.inspect(tmp_path / "image", name, LIMIT)

    assert found == inspect.Inspection(name, 4 << 20)


def test_qemus_name_of_a_vhd_is_understood(look):
    found = look(crafted.vhd(), "vpc")

    assert found.format == "vhd"


def test_a_stream_optimized_vmdk_with_a_footer_is_accepted(look):
    descriptor = crafted.DESCRIPTOR.replace(
        "monolithicSparse", "streamOptimized"
    )

    found = look(crafted.vmdk(descriptor, footer={}), "vmdk")

    assert found.virtual_size == 1 << 20


@pytest.mark.parametrize("content", [b"", crafted.partitioned()[:4096]])
def test_a_fixed_vhd_is_known_by_its_end(look, content):
    found = look(crafted.vhd_fixed(content), "vhd")

    assert found == inspect.Inspection("vhd", 1 << 20)


@pytest.mark.parametrize("declared", ["iso", "raw"])
@pytest.mark.parametrize("partitions", [True, False])
def test_an_iso_that_boots_from_usb_too_is_no_polyglot(
    look, declared, partitions
):
    found = look(crafted.iso(partitions=partitions), declared)

    assert found == inspect.Inspection(declared, 64 << 10)


@pytest.mark.parametrize("declared", ["ari", "aki"])
@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
def test_kernels_and_ramdisks_may_be_compressed(look, declared, pack):
    data = pack(b"kernel" * 100)

    found = look(data, declared)

    assert found == inspect.Inspection(declared, len(data))


def test_the_file_system_part_of_an_amazon_image_may_not_be(look):
    error = refused(look, gzip.compress(b"files"), "ami")

    assert error.code == "format_mismatch"


@pytest.mark.parametrize(
    ("declared", "real"),
    [
        (declared, real)
        for declared in GOOD
        for real in GOOD
        if declared != real and (declared, real) != ("raw", "iso")
    ],
)
def test_an_image_is_not_taken_for_another_format(look, declared, real):
    error = refused(look, GOOD[real][0], declared)

    assert error.code == "format_mismatch"
    assert f"declared {declared}" in str(error)


@pytest.mark.parametrize("declared", ["qed", "docker", "ploop", "", "x" * 99])
def test_a_format_that_is_not_taken_is_refused_by_name(look, declared):
    error = refused(look, b"data", declared)

    assert error.code == "format_mismatch"
    assert "expected one of aki, ami" in str(error)


@pytest.mark.parametrize("name", GOOD)
def test_a_disk_one_byte_over_the_limit_is_refused(look, name):
    data, size = GOOD[name]

    error = refused(look, data, name, size - 1)

    assert error.code == "virtual_size_exceeded"
    assert f"{size} bytes; expected at most {size - 1}" in str(error)


@pytest.mark.parametrize("name", GOOD)
def test_an_empty_file_is_no_image(look, name):
    error = refused(look, b"", name)

    assert error.code in ("format_mismatch", "image_malformed")


@pytest.mark.parametrize("what", plain.POLYGLOTS)
def test_a_file_that_is_two_formats_at_once_is_refused(look, what):
    declared, data = plain.POLYGLOTS[what]

    error = refused(look, data, declared)

    assert error.code == "unsafe_image"
    assert "as well; expected one format" in str(error)


def test_a_partition_table_without_partitions_is_a_disk(look):
    data = bytes(510) + b"\x55\xaa" + bytes(4096)

    found = look(data, "raw")

    assert found.virtual_size == len(data)


def test_text_that_oslo_utils_stumbles_over_is_a_disk(look):
    data = b"plain text\n" * 100 + "é".encode() * 2000

    found = look(data, "raw")

    assert found.virtual_size == len(data)


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "image").symlink_to("/etc/passwd")

    with pytest.raises(OSError, match="symbolic links"):
        inspect.inspect(tmp_path / "image", "raw", LIMIT)


def test_a_pipe_is_no_image(tmp_path):
    os.mkfifo(tmp_path / "image")

    with pytest.raises(exceptions.UnsafeImage) as caught:
        inspect.inspect(tmp_path / "image", "raw", LIMIT)

    assert "expected a regular file" in str(caught.value)


def test_every_format_that_can_be_written_can_be_inspected():
    assert formats.TARGETS.keys() <= formats.DRIVERS.keys()


@pytest.mark.parametrize("name", [n for n in GOOD if n not in ("raw", "iso")])
def test_a_file_cut_in_its_headers_is_refused(look, name):
    data = GOOD[name][0]
    cuts = [*range(8, 1100, 97), 1600, 4096, 65_535, 131_072, 3 << 20]

    for cut in (cut for cut in cuts if cut < len(data)):
        error = refused(look, data[:cut], name)

        assert error.code in ("image_malformed", "format_mismatch"), cut


@strategies.composite
def mutated(draw):
    """Give a declared format and a good image with some bytes changed."""
    name = draw(strategies.sampled_from(sorted(GOOD)))
    data = bytearray(GOOD[draw(strategies.sampled_from(sorted(GOOD)))][0])
    if draw(strategies.booleans()):
        data = bytearray(GOOD[name][0])
    places = [(0, 1024), (0x10000, 0x100), (0x30000, 96), (2 << 20, 256)]
    for _ in range(draw(strategies.integers(1, 6))):
        start, length = draw(strategies.sampled_from(places))
        place = start + draw(strategies.integers(0, length))
        piece = draw(strategies.binary(min_size=1, max_size=16))
        data[place : place + len(piece)] = piece
    cut = draw(strategies.one_of(strategies.none(), strategies.integers(0)))
    return name, bytes(data if cut is None else data[: cut % (len(data) + 1)])


@hypothesis.settings(
    max_examples=300,
    database=None,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
@hypothesis.given(mutated())
def test_no_bytes_make_the_inspection_fail_in_another_way(look, drawn):
    name, data = drawn

    try:
        found = look(data, name)
    except exceptions.TaskError as error:
        assert error.code in exceptions.FAILURES
        assert "; expected" in str(error)
    else:
        assert 0 < found.virtual_size <= LIMIT
