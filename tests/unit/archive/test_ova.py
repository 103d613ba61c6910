# SPDX-License-Identifier: Apache-2.0
"""OVAs: whatever is wrong with them is said in one line."""

import random
import tarfile

import pytest

from glance_tasks import exceptions
from glance_tasks.archive import ova
from glance_tasks.imagefile import reader
from tests.support import archives
from tests.support import unpacking

DISK = archives.DISK_IMAGE
OVF = archives.ovf()


@pytest.fixture
def find(tmp_path):
    def find(data):
        (tmp_path / "archive").write_bytes(data)
        with reader.opened(tmp_path / "archive") as archive:
            return ova.find(archive)

    return find


def described(*words, **chosen):
    return archives.ova(archives.ovf(*words, **chosen))


def also(name, kind=tarfile.REGTYPE, **fields):
    """Give an OVA with one more entry, without bytes."""
    head = archives.entry(name, type=kind, **fields)
    return archives.ova(OVF, DISK, (head, b""))


def with_manifest(text):
    return archives.ova(OVF, DISK, ("box.mf", text))


BOTH = (("box.ovf", OVF), ("disk.vmdk", DISK))
BOMB = '<!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>'
OUTSIDE = '<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
REMOTE = '<!DOCTYPE a SYSTEM "http://169.254.169.254/latest">'
PAX = tarfile.PAX_FORMAT


def _sparse():
    head = archives.entry("disk.vmdk", len(DISK))
    head.pax_headers = {
        "GNU.sparse.map": "0,512",
        "GNU.sparse.size": str(1 << 40),
    }
    return archives.tar(("box.ovf", OVF), (head, DISK), form=PAX)


UNFIT = {
    "no descriptor": archives.tar(("disk.vmdk", DISK)),
    "two descriptors": archives.ova(OVF, DISK, ("other.OVF", OVF)),
    "two manifests": archives.ova(OVF, DISK, ("a.mf", b""), ("b.mf", b"")),
    "an absolute name": also("/etc/cron.d/job"),
    "a name that climbs": also("../../etc/cron.d/job"),
    "a name with a directory": also("a/b"),
    "a name for Windows": also("a\\b"),
    "a symbolic link": also("x", tarfile.SYMTYPE, linkname="/etc/passwd"),
    "a hard link": also("x", tarfile.LNKTYPE, linkname="box.ovf"),
    "a link for a disk": archives.tar(
        ("box.ovf", OVF),
        (
            archives.entry(
                "disk.vmdk", type=tarfile.SYMTYPE, linkname="/dev/vda"
            ),
            b"",
        ),
    ),
    "a block device": also("x", tarfile.BLKTYPE),
    "a character device": also("x", tarfile.CHRTYPE),
    "a pipe": also("x", tarfile.FIFOTYPE),
    "a directory": also("x", tarfile.DIRTYPE),
    "a sparse file of GNU tar's": also("x", tarfile.GNUTYPE_SPARSE),
    "a sparse file": _sparse(),
    "a file twice": archives.ova(OVF, DISK, ("disk.vmdk", DISK)),
    "too many files": archives.ova(
        OVF, DISK, *((f"f{number}", b"") for number in range(256))
    ),
    "an endless header": archives.tar(
        (archives.entry("x" * (5 << 20)), b""), form=tarfile.GNU_FORMAT
    ),
    "a long descriptor": archives.ova(OVF + b" " * (1 << 20)),
    "an address": described("http://images.example/disk.vmdk"),
    "a file of this machine": described("file:///etc/passwd"),
    "a path": described("/etc/passwd"),
    "a path that climbs": described("../disk.vmdk"),
    "a path that climbs in disguise": described("..%2Fdisk.vmdk"),
    "a file that is missing": described("other.vmdk"),
    "no name at all": described(""),
    "no disk": described(disks=()),
    "two disks": described("disk.vmdk", "box.ovf", disks=("f0", "f1")),
    "one disk twice": described(disks=("f0", "f0")),
    "a compressed disk": described(
        "disk.vmdk", more=' ovf:compression="gzip"'
    ),
    "a disk in pieces": described("disk.vmdk", more=' ovf:chunkSize="9"'),
    "an entity bomb": described(before=BOMB),
    "an entity from outside": described(before=OUTSIDE),
    "a document type from afar": described(before=REMOTE),
    "another XML": archives.ova(b"<disk/>"),
}

MALFORMED = {
    "a disk that is cut off": archives.ova()[:20_000],
    "a descriptor that is no XML": archives.ova(b"<Envelope>"),
    "an empty descriptor": archives.ova(b""),
    "a disk without a file": described(disks=("f9",)),
    "a file with the id of another": archives.ova(
        archives.ovf("disk.vmdk", "x").replace(b'"f1"', b'"f0"')
    ),
    "another size": described("disk.vmdk", more=' ovf:size="7"'),
    "a size that is none": described("disk.vmdk", more=' ovf:size="-1"'),
    "a wrong digest of the descriptor": with_manifest(
        archives.manifest(("box.ovf", b"x"), ("disk.vmdk", DISK))
    ),
    "a manifest without the disk": with_manifest(
        archives.manifest(("box.ovf", OVF))
    ),
    "an empty manifest": with_manifest(b""),
    "a manifest that is none": with_manifest(b"all is well\n"),
    "a manifest that repeats itself": with_manifest(
        archives.manifest(*BOTH, *BOTH)
    ),
}


@pytest.mark.parametrize("name", UNFIT)
def test_an_ova_that_is_not_one_plain_disk_is_refused(find, name):
    with pytest.raises(exceptions.ArchiveError, match="expected") as caught:
        find(UNFIT[name])

    assert caught.value.code == "archive_unfit"
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", MALFORMED)
def test_an_ova_that_contradicts_itself_is_refused(find, name):
    with pytest.raises(exceptions.ArchiveError, match="expected") as caught:
        find(MALFORMED[name])

    assert caught.value.code == "archive_malformed"
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("begin", ["", "./"])
def test_the_disk_that_the_descriptor_names_is_found(tmp_path, form, begin):
    name = "a name with spaces and with more than a hundred letters " * 3
    text = archives.ovf(name.replace(" ", "%20"))
    data = archives.tar(
        ("other.vmdk", b"not this one"),
        (begin + name, DISK),
        (begin + "box.ovf", text),
        form=form,
    )
    (tmp_path / "archive").write_bytes(data)

    unpacking.unpack(tmp_path / "archive", tmp_path / "disk")

    assert (tmp_path / "disk").read_bytes() == DISK


@pytest.mark.parametrize("algorithm", ["SHA1", "SHA256", "SHA512"])
def test_digests_of_a_manifest_are_verified(tmp_path, algorithm):
    for disk, fits in ((DISK, True), (DISK + b"x", False)):
        text = archives.manifest(
            ("box.ovf", OVF), ("disk.vmdk", disk), algorithm=algorithm
        )
        (tmp_path / "archive").write_bytes(with_manifest(text))

        if fits:
            unpacking.unpack(tmp_path / "archive", tmp_path / "disk")
            continue
        with pytest.raises(exceptions.ArchiveError) as caught:
            unpacking.unpack(tmp_path / "archive", tmp_path / "disk")
        assert caught.value.code == "archive_malformed"
        assert "manifest" in str(caught.value)


def test_what_else_is_in_it_is_left_alone(find):
    data = archives.ova(
        archives.ovf("disk.vmdk", "box.nvram"),
        DISK,
        ("box.nvram", b"settings"),
        ("second.vmdk", DISK),
        ("box.cert", b"signature"),
    )

    assert find(data).size == len(DISK)


def test_no_byte_of_an_ova_makes_the_reader_break(find):
    data = archives.ova(OVF, b"a small disk", ("box.mf", b""))
    chooser = random.Random(3)

    for _ in range(1500):
        bad = bytearray(data)
        for _ in range(chooser.randrange(1, 4)):
            bad[chooser.randrange(4096)] = chooser.randrange(256)
        try:
            member = find(bytes(bad))
        except exceptions.ArchiveError:
            continue
        assert member.start + member.length <= len(data)
