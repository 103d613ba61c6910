# SPDX-License-Identifier: Apache-2.0
"""What one archive unpacks to, whole, damaged, and in bits."""

import gzip
import hashlib
import lzma
import random
import shutil

import pytest

from glance_tasks import exceptions
from glance_tasks.testing import doubles
from tests.support import archives
from tests.support import unpacking

MIB = 1 << 20
IMAGE = archives.IMAGE
NOISE = random.Random(0).randbytes(3 * MIB + 7)
KINDS = [*archives.PACKERS, "ova"]


def packed(kind, data=IMAGE):
    if kind == "ova":
        return archives.ova(disk=data)
    return archives.PACKERS[kind](data)


@pytest.fixture
def unpack(tmp_path):
    """Give what unpacks bytes; it gives bytes."""

    def unpack(data, **chosen):
        (tmp_path / "archive").write_bytes(data)
        unpacking.unpack(tmp_path / "archive", tmp_path / "disk", **chosen)
        return (tmp_path / "disk").read_bytes()

    return unpack


def refused(unpack, data, **chosen):
    with pytest.raises(exceptions.ArchiveError) as caught:
        unpack(data, **chosen)
    assert "\n" not in str(caught.value)
    return caught.value


# --- good ones ---------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("data", [IMAGE, NOISE, b"x", bytes(5 * MIB)])
def test_an_archive_gives_what_was_put_in(unpack, kind, data):
    assert unpack(packed(kind, data)) == data


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("beyond", [-1, 0, 1, 100, 257])
def test_an_image_that_ends_about_a_buffer_s_end_comes_whole(
    unpack, kind, beyond
):
    data = bytes(MIB + beyond)

    assert unpack(packed(kind, data)) == data


@pytest.mark.parametrize("kind", archives.PROGRAMS)
def test_what_the_real_programs_pack_is_unpacked(unpack, tmp_path, kind):
    if shutil.which(archives.PROGRAMS[kind][0]) is None:
        pytest.skip(f"no {kind}")
    (tmp_path / "source").write_bytes(NOISE)

    data = archives.packed_by_program(kind, tmp_path / "source")

    assert unpack(data) == NOISE


@pytest.mark.parametrize("kind", KINDS)
def test_the_digests_and_the_size_are_those_of_the_disk(tmp_path, kind):
    (tmp_path / "archive").write_bytes(packed(kind, NOISE))

    found = unpacking.unpack(
        tmp_path / "archive",
        tmp_path / "disk",
        algorithms=("md5", "sha512"),
    )

    assert found.size == len(NOISE)
    assert found.digests["sha512"] == hashlib.sha512(NOISE).hexdigest()
    assert "md5" in found.digests


def test_zeros_take_no_room(tmp_path, unpack):
    found = unpack(gzip.compress(NOISE[:MIB] + bytes(32 * MIB)))

    assert len(found) == 33 * MIB
    assert (tmp_path / "disk").stat().st_blocks * 512 < 2 * MIB


def test_progress_is_told_in_bytes_of_the_archive(unpack):
    data = gzip.compress(NOISE)
    progress = doubles.RecordingProgress()

    unpack(data, progress=progress)

    done = [place for place, _ in progress.reports]
    assert done == sorted(done)
    assert progress.reports[-1] == (len(data), len(data))


@pytest.mark.parametrize("kind", ["gzip", "xz", "zstd"])
@pytest.mark.parametrize("padding", [0, 4, 512, 200 << 10])
def test_streams_one_after_another_are_one(unpack, kind, padding):
    one, two = packed(kind, NOISE[:MIB]), packed(kind, NOISE[MIB:])

    found = unpack(one + bytes(padding) + two + bytes(padding))

    assert found == NOISE


@pytest.mark.parametrize("kind", ["gzip", "xz", "zstd"])
def test_many_streams_are_gone_through_but_not_without_end(unpack, kind):
    short, long = packed(kind, b"s"), packed(kind, bytes(8 << 10))

    assert unpack(short * 9_000 + long) == b"s" * 9_000 + bytes(8 << 10)
    assert len(unpack(long * 12_000)) == 12_000 * (8 << 10)
    error = refused(unpack, short * 11_000)
    assert error.code == "archive_unfit"


def test_a_file_from_an_earlier_run_is_begun_anew(unpack, tmp_path):
    (tmp_path / "disk").write_bytes(b"half" * MIB)

    assert unpack(gzip.compress(b"whole")) == b"whole"


# --- damaged ones ------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("keep", [0.3, 0.9, 0.99])
def test_an_archive_that_ends_early_is_refused(unpack, kind, keep):
    data = packed(kind, NOISE)

    error = refused(unpack, data[: int(len(data) * keep)])

    assert error.code == "archive_malformed"


@pytest.mark.parametrize("kind", archives.PACKERS)
def test_any_bit_that_is_turned_over_is_noticed(unpack, kind):
    data = packed(kind, NOISE[:4000])
    chooser = random.Random(1)
    fell = 0

    for _ in range(60):
        bad = bytearray(data)
        # What is left of the first bytes makes it that kind.
        bad[chooser.randrange(20, len(bad) - 40)] ^= 1 << chooser.randrange(8)
        try:
            found = unpack(bytes(bad))
        except exceptions.ArchiveError:
            fell += 1
        else:
            # Some bits mean nothing, such as those of names and times.
            assert found == NOISE[:4000]

    assert fell > 0


@pytest.mark.parametrize(("place", "what"), [(-8, "checksum"), (-4, "length")])
def test_what_gzip_says_at_its_end_must_be_true(unpack, place, what):
    data = bytearray(gzip.compress(NOISE))
    data[place] ^= 1

    assert refused(unpack, bytes(data)).code == "archive_malformed", what


@pytest.mark.parametrize("kind", ["gzip", "xz", "zstd"])
@pytest.mark.parametrize("after", [b"x", b"\0\0more", b"PK\x03\x04" * 100])
def test_what_follows_the_last_stream_must_be_zeros(unpack, kind, after):
    error = refused(unpack, packed(kind) + after)

    assert error.code == "archive_malformed"
    assert "nothing else" in str(error)


# --- caps --------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_more_bytes_than_the_cap_are_refused(unpack, kind):
    data = packed(kind, NOISE)

    assert unpack(data, max_bytes=len(NOISE)) == NOISE
    error = refused(unpack, data, max_bytes=len(NOISE) - 1)
    assert error.code == "unpack_size_limit"
    assert str(len(NOISE) - 1) in str(error)


def test_an_honest_sparse_disk_in_gzip_passes(unpack):
    size = 80 * MIB

    assert len(unpack(gzip.compress(bytes(size)))) == size


def test_a_ratio_past_the_cap_is_refused(unpack):
    data = gzip.compress(bytes(80 * MIB))

    error = refused(unpack, data, max_ratio=900)

    assert error.code == "unpack_ratio_limit"


@pytest.mark.parametrize("kind", ["xz", "zstd"])
def test_a_small_blank_disk_passes_whatever_its_ratio(unpack, kind):
    assert len(unpack(packed(kind, bytes(40 * MIB)))) == 40 * MIB


def test_xz_gets_no_more_memory_than_it_may(unpack):
    data = lzma.compress(IMAGE, preset=9)

    error = refused(unpack, data, memory=32 * MIB)

    assert error.code == "unpack_memory_limit"
    assert unpack(data, memory=128 * MIB) == IMAGE


def test_zstd_gets_no_larger_window_than_it_may(unpack):
    packer = archives.zstd.ZstdCompressor(
        options={archives.zstd.CompressionParameter.window_log: 27}
    )
    data = packer.compress(IMAGE) + packer.flush()

    error = refused(unpack, data, memory=64 * MIB)

    assert error.code == "unpack_memory_limit"
    assert unpack(data, memory=128 * MIB) == IMAGE


BOMB = 10 << 30


@pytest.mark.parametrize("kind", archives.BOMBS)
@pytest.mark.parametrize(
    ("caps", "code"),
    [
        ({"max_ratio": 50}, "unpack_ratio_limit"),
        (
            {"max_ratio": 1 << 40, "max_bytes": 100 * MIB},
            "unpack_size_limit",
        ),
    ],
    ids=["ratio", "bytes"],
)
def test_a_bomb_is_stopped_with_little_memory(tmp_path, kind, caps, code):
    bomb = tmp_path / "bomb"
    bomb.write_bytes(archives.BOMBS[kind](BOMB))

    told = unpacking.bounded(bomb, tmp_path / "disk", **caps)

    print(kind, told)
    # This zip says that it holds one MiB: what follows it is too much already.
    assert told["code"] == ("archive_malformed" if kind == "zip" else code)
    assert told["grown_mib"] < 64
    assert told["taken_mib"] == 0


def test_a_zip_that_admits_too_much_is_not_even_begun(tmp_path, unpack):
    data = archives.zipped(("disk", bytes(80 * MIB)))

    error = refused(unpack, data, max_ratio=50)

    assert error.code == "unpack_ratio_limit"
    assert not (tmp_path / "disk").exists()


# --- in the middle -----------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_stop_signal_is_heard_in_the_middle(unpack, tmp_path, kind):
    stop = doubles.StopAfter(4)

    with pytest.raises(exceptions.LeaseLost):
        unpack(packed(kind, NOISE), stop=stop)

    assert unpack(packed(kind, NOISE)) == NOISE


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("inner", [*KINDS, "bzip2", "7z"])
def test_an_archive_in_an_archive_is_refused(unpack, kind, inner):
    made = {"bzip2": b"BZh91AY", "7z": b"7z\xbc\xaf\x27\x1c"}
    data = made[inner] if inner in made else packed(inner)

    error = refused(unpack, packed(kind, data + bytes(512)))

    assert error.code == "archive_unfit"
    assert {"ova": "tar"}.get(inner, inner) in str(error)
