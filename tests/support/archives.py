# SPDX-License-Identifier: Apache-2.0
"""Archives by their bytes, good ones and hostile ones."""

from collections.abc import Callable
import functools
import gzip
import hashlib
import io
import lzma
import pathlib
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib

from tests.support import crafted
from tests.support import images

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MIB = 1 << 20
GIB = 1 << 30

#: A disk image that says what it is.
IMAGE = crafted.qcow2()


# --- packing -----------------------------------------------------------------


def zipped(
    *entries: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED
) -> bytes:
    """Give a zip of these files."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return target.getvalue()


def zipped_as_a_stream(data: bytes) -> bytes:
    """Give a zip written where nobody can seek: sizes come behind."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *place: int) -> int:
            raise OSError("no way back")

        tell = seek

    target = Pipe()
    with (
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("disk", "w") as file,
    ):
        file.write(data)
    return target.getvalue()


# As the program does it by itself.
_SUMMED = {zstd.CompressionParameter.checksum_flag: 1}

#: What packs a disk image, for each kind of archive but the OVA.
PACKERS = {
    "gzip": gzip.compress,
    "xz": functools.partial(lzma.compress, preset=0),
    "zstd": functools.partial(zstd.compress, options=_SUMMED),
    "zip": lambda data: zipped(("disk", data)),
}

#: Programs that do the same, to standard output.
PROGRAMS = {
    "gzip": ["gzip", "-9c"],
    "xz": ["xz", "-c", "-T2", "--block-size=1MiB"],
    "zstd": ["zstd", "-qc", "--long", "-T2"],
    "zip": ["zip", "-qj", "-"],
}


def packed_by_program(kind: str, path: pathlib.Path) -> bytes:
    """Give what the real program makes of a file."""
    done = subprocess.run(
        [*PROGRAMS[kind], str(path)], stdout=subprocess.PIPE, check=True
    )
    return done.stdout


# --- OVAs --------------------------------------------------------------------

OVF = """\
<?xml version="1.0" encoding="UTF-8"?>
{before}<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1"
    xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1">
  <References>
{files}
  </References>
  <DiskSection><Info>Disks</Info>
{disks}
  </DiskSection>
</Envelope>
"""
FILE = '    <File ovf:id="{id}" ovf:href="{href}"{more}/>'
DISK = '    <Disk ovf:diskId="d{id}" ovf:fileRef="{id}" ovf:capacity="1"/>'


def ovf(
    *hrefs: str,
    before: str = "",
    more: str = "",
    disks: tuple[str, ...] = ("f0",),
) -> bytes:
    """Give a descriptor.

    :param hrefs: of the files, whose ids are f0, f1, ...
    :param before: text before the envelope
    :param more: attributes of the files
    :param disks: ids of files that are disks
    """
    files = [
        FILE.format(id=f"f{number}", href=href, more=more)
        for number, href in enumerate(hrefs or ("disk.vmdk",))
    ]
    return OVF.format(
        before=before,
        files="\n".join(files),
        disks="\n".join(DISK.format(id=disk) for disk in disks),
    ).encode()


def manifest(*files: tuple[str, bytes], algorithm: str = "SHA256") -> bytes:
    """Give a manifest of files, with right digests."""
    return "".join(
        f"{algorithm}({name})= {hashlib.new(algorithm, data).hexdigest()}\n"
        for name, data in files
    ).encode()


def entry(name: str, size: int = 0, **fields: object) -> tarfile.TarInfo:
    """Give the header of a tar's entry; ``fields`` are those of tarfile."""
    made = tarfile.TarInfo(name)
    made.size = size
    for field, value in fields.items():
        setattr(made, field, value)
    return made


def tar(
    *entries: tuple[str | tarfile.TarInfo, bytes],
    form: int = tarfile.USTAR_FORMAT,
) -> bytes:
    """Give a tar of these files, in this order."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:", format=form) as archive:
        for head, data in entries:
            if isinstance(head, str):
                head = entry(head, len(data))
            archive.addfile(head, io.BytesIO(data))
    return target.getvalue()


DISK_IMAGE = crafted.vmdk()


def ova(
    descriptor: bytes | None = None,
    disk: bytes = DISK_IMAGE,
    *more: tuple[str | tarfile.TarInfo, bytes],
) -> bytes:
    """Give an OVA: a descriptor, a disk, and what else there is to be."""
    text = ovf() if descriptor is None else descriptor
    return tar(("box.ovf", text), ("disk.vmdk", disk), *more)


def exported(home: pathlib.Path, disk: pathlib.Path) -> pathlib.Path:
    """Give an OVA as VMware's tools write it, by qemu-img and tar."""
    place = home / "exported"
    place.mkdir()
    vmdk = place / "box-disk1.vmdk"
    images.made(vmdk, disk, "-O", "vmdk", "-o", "subformat=streamOptimized")
    text = ovf(vmdk.name, more=f' ovf:size="{vmdk.stat().st_size}"')
    (place / "box.ovf").write_bytes(text)
    sums = manifest(("box.ovf", text), (vmdk.name, vmdk.read_bytes()))
    (place / "box.mf").write_bytes(sums)
    names = ["box.ovf", "box.mf", vmdk.name]
    command = ["tar", "--format=ustar", "-C", str(place), "-cf"]
    subprocess.run([*command, str(home / "box.ova"), *names], check=True)
    return home / "box.ova"


# --- bombs -------------------------------------------------------------------


_ONCE = 64 * MIB


def _streams(pack: Callable[[bytes], bytes], size: int) -> bytes:
    """Give streams of zeros one after another: as good as one."""
    return pack(bytes(_ONCE)) * (size // _ONCE)


def _deflated_zeros(size: int) -> bytes:
    """Give one stream whose blocks are each other's copies."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(_ONCE)) + packer.flush(zlib.Z_FULL_FLUSH)
    return block * (size // _ONCE) + packer.flush()


def _zip_bomb(size: int) -> bytes:
    """Give a zip that says it holds nothing much."""
    packed = _deflated_zeros(size)
    name = b"disk"
    fields = struct.pack(
        "<HHHHHIIIHH",
        *(20, 0, 8, 0, 0, 0, len(packed), MIB, len(name), 0),
    )
    listed = struct.pack("<4sH", b"PK\x01\x02", 20) + fields
    listed += struct.pack("<HHHII", 0, 0, 0, 0, 0) + name
    body = b"PK\x03\x04" + fields + name + packed
    end = struct.pack(
        "<4sHHHHIIH",
        b"PK\x05\x06",
        *(0, 0, 1, 1, len(listed), len(body), 0),
    )
    return body + listed + end


#: By kind: a function of how many bytes are to come out of it.
BOMBS = {
    "gzip": functools.partial(_streams, gzip.compress),
    "xz": functools.partial(_streams, PACKERS["xz"]),
    "zstd": functools.partial(_streams, PACKERS["zstd"]),
    "zip": _zip_bomb,
}
