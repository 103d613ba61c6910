# SPDX-License-Identifier: Apache-2.0
"""Images made by qemu-img itself, good ones and those that reach outside."""

import pathlib
import subprocess

from tests.support import crafted
from tests.support import images
from tests.support.corpus import specimen


def _qemu_img(*words: str | pathlib.Path) -> None:
    subprocess.run(
        ["qemu-img", *map(str, words)], check=True, capture_output=True
    )


def canary(path: pathlib.Path) -> pathlib.Path:
    """Give where the file lies that an image at ``path`` points to."""
    return path.with_name("canary")


def _beside(path: pathlib.Path, disk_format: str = "raw") -> pathlib.Path:
    target = canary(path)
    if not target.exists():
        _qemu_img("create", "-f", disk_format, target, "1M")
    return target


def created(disk_format: str, *options: str) -> specimen.Content:
    """Give what has qemu-img create an image of 1 MiB.

    ``CANARY`` in an option stands for the path of another file.
    """

    def write(path: pathlib.Path) -> None:
        other = str(_beside(path))
        words = [word.replace("CANARY", other) for word in options]
        if not any(word == "-b" for word in words):
            _qemu_img("create", "-f", disk_format, *words, path, "1M")
        else:
            _qemu_img("create", "-f", disk_format, *words, path)

    return write


def converted(*words: str, size: int = 4 << 20) -> specimen.Content:
    """Give what has qemu-img write a disk into an image."""

    def write(path: pathlib.Path) -> None:
        disk = path.with_name("disk")
        images.disk(disk, size)
        images.made(path, disk, *words)
        disk.unlink()

    return write


def altered(*steps: tuple[str, ...]) -> specimen.Content:
    """Give what has qemu-img make a qcow2 and change it; ``IMAGE`` is it."""

    def write(path: pathlib.Path) -> None:
        converted("-O", "qcow2")(path)
        for step in steps:
            _qemu_img(*(w.replace("IMAGE", str(path)) for w in step))

    return write


_BACKED = ("-b", "CANARY", "-F", "raw")

SPECIMENS = [
    *specimen.hostile(
        "qcow2",
        {
            "a real backing file": (
                "unsafe_image",
                created("qcow2", *_BACKED),
            ),
            "a real backing file of version 2": (
                "unsafe_image",
                created("qcow2", "-o", "compat=0.10", *_BACKED),
            ),
            "a real data file": (
                "unsafe_image",
                created("qcow2", "-o", "data_file=CANARY"),
            ),
            "a real raw data file": (
                "unsafe_image",
                created("qcow2", "-o", "data_file=CANARY,data_file_raw=on"),
            ),
            "real extended L2 entries": (
                "unsafe_image",
                created("qcow2", "-o", "extended_l2=on"),
            ),
        },
    ),
    *specimen.hostile(
        "vmdk",
        {
            f"real {name}": (
                "unsafe_image",
                created("vmdk", "-o", f"subformat={name}"),
            )
            for name in (
                "monolithicFlat",
                "twoGbMaxExtentSparse",
                "twoGbMaxExtentFlat",
            )
        }
        | {
            "a real parent": (
                "unsafe_image",
                lambda path: (
                    _qemu_img("create", "-f", "vmdk", canary(path), "1M"),
                    _qemu_img(
                        *("create", "-f", "vmdk", "-b", canary(path)),
                        *("-F", "vmdk", path),
                    ),
                ),
            )
        },
    ),
    *specimen.hostile(
        "raw",
        {
            "real qed": ("format_mismatch", created("qed")),
            "real qed on another": (
                "format_mismatch",
                created("qed", *_BACKED),
            ),
            "real qcow": ("format_mismatch", created("qcow")),
            "real parallels": ("format_mismatch", created("parallels")),
        },
    ),
]

_WORDS = {
    "qcow2 of version 2": ("qcow2", "-O qcow2 -o compat=0.10"),
    "qcow2": ("qcow2", "-O qcow2 -o compat=1.1,lazy_refcounts=on"),
    "qcow2 of clusters of 512": ("qcow2", "-O qcow2 -o cluster_size=512"),
    "compressed qcow2": ("qcow2", "-O qcow2 -c"),
    "qcow2 compressed by zstd": (
        "qcow2",
        "-O qcow2 -c -o compression_type=zstd,cluster_size=2M",
    ),
    "qcow2 all allocated": ("qcow2", "-O qcow2 -o preallocation=full"),
    "sparse VMDK": ("vmdk", "-O vmdk -o subformat=monolithicSparse"),
    "VMDK for streams": ("vmdk", "-O vmdk -o subformat=streamOptimized"),
    "VMDK of version 6": ("vmdk", "-O vmdk -o compat6"),
    "dynamic VHD": ("vhd", "-O vpc -o subformat=dynamic"),
    "fixed VHD": ("vhd", "-O vpc -o subformat=fixed,force_size=on"),
    "dynamic VHDX": ("vhdx", "-O vhdx -o subformat=dynamic"),
    "fixed VHDX": ("vhdx", "-O vhdx -o subformat=fixed"),
    "VHDX of small blocks": ("vhdx", "-O vhdx -o block_size=1M"),
    "dynamic VDI": ("vdi", "-O vdi"),
    "static VDI": ("vdi", "-O vdi -o static=on"),
}


def _other_boot_sector(start: bytes) -> bytes:
    return start.ljust(510, b"\0") + b"\x55\xaa" + bytes((1 << 20) - 512)


def _gpt(sector: int, kinds: bytes) -> bytes:
    disk = bytearray(1 << 20)
    for number, kind in enumerate(kinds):
        place = 446 + 16 * number
        disk[place : place + 16] = bytes(
            [0x80 * (number == 1), 0, 2, 0, kind, 255, 255, 255, 1, 0, 0, 0]
        ) + (2000).to_bytes(4, "little")
    disk[510:512] = b"\x55\xaa"
    disk[sector : sector + 8] = b"EFI PART"
    disk[-sector : -sector + 8] = b"EFI PART"
    return bytes(disk)


#: Must pass.
HONEST = [
    *(
        specimen.Specimen(name, declared, None, converted(*words.split()))
        for name, (declared, words) in _WORDS.items()
    ),
    specimen.Specimen(
        "qcow2 with snapshots",
        "qcow2",
        None,
        altered(
            ("snapshot", "-c", "one", "IMAGE"),
            ("snapshot", "-c", "two", "IMAGE"),
        ),
    ),
    specimen.Specimen(
        "qcow2 with bitmaps",
        "qcow2",
        None,
        altered(
            ("bitmap", "--add", "IMAGE", "one"),
            ("bitmap", "--add", "-g", "64K", "IMAGE", "two"),
        ),
    ),
    specimen.Specimen(
        "qcow2 made larger", "qcow2", None, altered(("resize", "IMAGE", "64G"))
    ),
    specimen.Specimen("raw", "raw", None, bytes(1 << 20)),
    specimen.Specimen(
        "raw with a protective MBR", "raw", None, crafted.partitioned()
    ),
    specimen.Specimen(
        "raw with GPT on sectors of 4 KiB", "raw", None, _gpt(4096, b"\xee")
    ),
    specimen.Specimen(
        "raw with a hybrid MBR", "raw", None, _gpt(512, b"\xee\x83\xef")
    ),
    specimen.Specimen(
        "raw whose protective entry is the second",
        "raw",
        None,
        _gpt(512, b"\x83\xee\x83\x83"),
    ),
    specimen.Specimen(
        "raw with FAT and no partitions",
        "raw",
        None,
        _other_boot_sector(b"\xeb\x3c\x90MSDOS5.0"),
    ),
    specimen.Specimen(
        "raw with a boot loader", "raw", None, _other_boot_sector(b"\xeb\x63")
    ),
    specimen.Specimen("ISO", "iso", None, crafted.iso(partitions=False)),
    specimen.Specimen("hybrid ISO", "iso", None, crafted.iso()),
    specimen.Specimen("hybrid ISO as a disk", "raw", None, crafted.iso()),
    specimen.Specimen(
        "fixed VHD with partitions",
        "vhd",
        None,
        crafted.vhd_fixed(crafted.partitioned()[:4096]),
    ),
]
