# SPDX-License-Identifier: Apache-2.0
"""Archives that end an import: how each is arranged, and what is told."""

import gzip
import lzma

from tests.support import archives
from tests.support import breakage
from tests.support import importing

MIB = 1 << 20


def served(body, source="qcow2", target=None, **given):
    """Give what arranges the import of an archive."""

    def arrange(stage):
        return stage.serve(body, source, target) | given

    return arrange


def limited(body, source="raw", **limits):
    """Give what arranges it under other limits."""

    def arrange(stage):
        stage.option("glance_tasks_unpack", **limits)
        archive = {"import_from_archive": "gzip"} if source == "raw" else {}
        return stage.serve(body, source) | archive

    return arrange


def no_room(stage):
    """Arrange a disk that is not large enough for what comes out."""
    stage.tmpfs("work_dir", 2 * MIB)
    body = gzip.compress(b"much of the same" * (8 * MIB // 16))
    return stage.serve(body, "raw") | {"import_from_archive": "gzip"}


IMAGE = archives.IMAGE
GZIP = gzip.compress(IMAGE)
BLANK = gzip.compress(bytes(80 * MIB))
DAMAGED = bytes([*GZIP[:-8], GZIP[-8] ^ 1, *GZIP[-7:]])
FIVE_MIB = gzip.compress(importing.noise(5 * MIB), 1)
CLIMBING = archives.ova(archives.ovf("../disk.vmdk"))
LINKED = archives.ova(
    archives.ovf(),
    archives.DISK_IMAGE,
    (archives.entry("x", type=archives.tarfile.SYMTYPE), b""),
)
FORGED = archives.ova(
    archives.ovf(),
    archives.DISK_IMAGE,
    ("box.mf", archives.manifest(("box.ovf", archives.ovf()))),
)
TWO = archives.zipped(("a", IMAGE), ("b", IMAGE))

#: name: what is arranged, the code of the failure, words of the message
CASES = {
    "a damaged archive": (served(DAMAGED), "archive_malformed", "damaged"),
    "half an archive": (
        served(GZIP[: len(GZIP) // 2]),
        "archive_malformed",
        "in the middle",
    ),
    "something behind an archive": (
        served(GZIP + b"x"),
        "archive_malformed",
        "nothing else",
    ),
    "an archive in an archive": (
        served(lzma.compress(GZIP)),
        "archive_unfit",
        "of the kind gzip",
    ),
    "two disks in a zip": (served(TWO), "archive_unfit", "2 entries"),
    "an OVA that climbs": (served(CLIMBING, "vmdk"), "archive_unfit", "../"),
    "an OVA with a link": (served(LINKED, "vmdk"), "archive_unfit", "a link"),
    "an OVA with half a manifest": (
        served(FORGED, "vmdk"),
        "archive_malformed",
        "manifest says nothing",
    ),
    "a bomb by its ratio": (
        limited(BLANK, max_ratio=100),
        "unpack_ratio_limit",
        "100 times",
    ),
    "a bomb by its size": (
        limited(FIVE_MIB, max_bytes=4 * MIB),
        "unpack_size_limit",
        str(4 * MIB),
    ),
    "a hungry archive": (
        limited(lzma.compress(IMAGE, preset=9), "qcow2", memory=16 * MIB),
        "unpack_memory_limit",
        str(16 * MIB),
    ),
    "an archive declared raw": (
        served(GZIP, "raw"),
        "format_mismatch",
        "import_from_archive to say 'gzip'",
    ),
    "an OVA declared raw": (
        served(archives.ova(), "raw"),
        "format_mismatch",
        "import_from_archive to say 'ova'",
    ),
    "another archive than declared": (
        served(GZIP, import_from_archive="xz"),
        "format_mismatch",
        "looks like gzip",
    ),
    "no room for what is unpacked": (no_room, "disk_full", "no space"),
}

#: The archive is good, what is in it is not; the inspection says so.
INSIDE = {
    "another format in an archive": (
        breakage.image(GZIP, "vmdk"),
        "format_mismatch",
        "looks like qcow2",
    ),
    "a hostile image in an archive": (
        served(gzip.compress(importing.hostile()), "qcow2", "raw"),
        "unsafe_image",
        "backing file",
    ),
    "a hostile image in an OVA": (
        served(
            archives.ova(disk=archives.crafted.vmdk(breakage.ELSEWHERE)),
            "vmdk",
            "raw",
        ),
        "unsafe_image",
        "",
    ),
    "an archive that is not unpacked": (
        served(b"BZh91AY&SY" + bytes(500)),
        "format_mismatch",
        "bzip2",
    ),
}
