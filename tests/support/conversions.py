# SPDX-License-Identifier: Apache-2.0
"""Conversions to test with, in this process and in one that can be killed."""

import hashlib
import json
import os
import pathlib
import subprocess
import sys
import threading
from typing import Any

from glance_tasks import context
from glance_tasks import merkle
from glance_tasks.atoms import convert
from glance_tasks.atoms import scrub
from glance_tasks.testing import contexts
from glance_tasks.testing import doubles
from tests.support import images
from tests.support import programs

MIB = 1 << 20
BIG = 160 * MIB

#: How qemu-img writes each format.
WORDS = {
    "raw": "-O raw",
    "qcow2": "-O qcow2",
    "vmdk": "-O vmdk -o subformat=monolithicSparse",
    "vhd": "-O vpc -o force_size=on",
    "vhdx": "-O vhdx",
    "vdi": "-O vdi",
}


def converted(
    ctx: context.BuildContext,
    target: str,
    fetched: Any,
    inspected: Any,
    *,
    verify: bool = False,
) -> Any:
    """Convert; gives the artifact.

    :param target: a format, or ``itself`` to scrub
    """
    atom = (
        scrub.ScrubImage(ctx)
        if target == "itself"
        else convert.ConvertImage(ctx, target, verify=verify)
    )
    return atom.execute(fetched=fetched, inspected=inspected)


def prepared(
    work_dir: pathlib.Path, disk_format: str = "raw", size: int = 8 * MIB
) -> tuple[Any, Any]:
    """Put a disk and an image of it, ``fetched``, into the work directory.

    :returns: what a fetch and an inspection would have provided
    """
    images.disk(work_dir / "disk", size)
    words = WORDS[disk_format].split()
    images.made(work_dir / "fetched", work_dir / "disk", *words)
    return _provided(work_dir, disk_format, size)


def _provided(
    work_dir: pathlib.Path, disk_format: str, size: int
) -> tuple[Any, Any]:
    fetched = work_dir / "fetched"
    return (
        {"name": fetched.name, "size": fetched.stat().st_size},
        {"disk_format": disk_format, "virtual_size": size},
    )


def prepare_big(work_dir: pathlib.Path) -> None:
    """Put a disk without holes and a qcow2 of it into the directory."""
    piece = os.urandom(MIB)
    with (work_dir / "disk").open("wb") as file:
        for place in range(BIG // MIB):
            file.write(place.to_bytes(8, "big") + piece[8:])
    images.made(work_dir / "fetched", work_dir / "disk", "-O", "qcow2")


def linked(big: pathlib.Path, work_dir: pathlib.Path) -> tuple[Any, Any]:
    """Give the big image a work directory of its own."""
    os.link(big / "fetched", work_dir / "fetched")
    return _provided(work_dir, "qcow2", BIG)


def digests(path: pathlib.Path) -> tuple[str, str]:
    """Give MD5 and SHA-512 of a file."""
    data = path.read_bytes()
    md5 = hashlib.md5(data, usedforsecurity=False)
    return md5.hexdigest(), hashlib.sha512(data).hexdigest()


def content_digest(path: pathlib.Path) -> str:
    """Give the guest content digest of a raw disk."""
    tree = merkle.Tree()
    tree.update(memoryview(path.read_bytes()))
    return merkle.text(tree.hexdigest())


def killed_at(
    place: int,
    work_dir: pathlib.Path,
    target: str,
    fetched: Any,
    inspected: Any,
) -> int:
    """Convert in another process and kill -9 it when it has come so far.

    :returns: how many qemu programs ran at that moment
    """
    words = [str(work_dir), target, str(place)]
    words += [json.dumps(fetched), json.dumps(inspected)]
    with subprocess.Popen(
        [sys.executable, "-m", __name__, *words],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"there\n"
        running = len(programs.qemus(work_dir))
        process.kill()
    return running


class PausingProgress(doubles.RecordingProgress):
    """Stops the conversion, for ever, when it has come so far."""

    def __init__(self, place: int) -> None:
        """Stop at ``place``, in bytes, and say so."""
        super().__init__()
        self._place = place

    def bytes(self, done: int, total: int | None) -> None:
        """Go on, or print a line and wait."""
        if done >= self._place:
            print("there", flush=True)
            threading.Event().wait()


def main(work_dir: str, target: str, *words: str) -> None:
    """Convert up to a place."""
    place, fetched, inspected = (json.loads(word) for word in words)
    ctx = contexts.context(
        pathlib.Path(work_dir), progress=PausingProgress(place)
    )
    converted(ctx, target, fetched, inspected)


if __name__ == "__main__":
    main(*sys.argv[1:])
