# SPDX-License-Identifier: Apache-2.0
"""qemu-img's convert, with formats always named and output always new."""

import os
import pathlib
import re
import selectors
import subprocess

from glance_tasks import ports
from glance_tasks.imagefile import formats
from glance_tasks.imagefile import process
from glance_tasks.imagefile import restraint

_PERCENT = re.compile(rb"\((\d+(?:\.\d+)?)/100%\)")


def source_words(path: pathlib.Path, disk_format: str) -> list[str]:
    """Give the arguments that make qemu open a file in one format only.

    :param path: absolute, so that no part of it can be taken for a protocol
    :param disk_format: Glance's name
    """
    driver = formats.DRIVERS[disk_format]
    place = path.absolute()
    if driver != "vpc":
        return ["-f", driver, str(place)]
    # qemu guesses from the creator's name whether a VHD's size is that of
    # its cylinders; 7.2 cuts off the end of images that Azure made.
    name = str(place).replace(",", ",,")
    options = "driver=vpc,force_size_calc=current_size"
    return ["--image-opts", f"{options},file.driver=file,file.filename={name}"]


def convert(
    source: pathlib.Path,
    source_format: str,
    target: pathlib.Path,
    target_format: str,
    *,
    virtual_size: int,
    limits: restraint.Limits,
    stop: ports.StopSignal,
    progress: ports.Progress,
) -> None:
    """Write the disk in ``source`` to ``target`` in another format.

    :param target: a new, empty file
    :param virtual_size: of the disk in bytes, to show the progress of
    :raises ConvertError: when a limit is exceeded or qemu-img fails
    :raises DiskFull: when there is no room
    """
    words = ["qemu-img", "convert", "-p"]
    words += ["-O", formats.DRIVERS[target_format]]
    if formats.TARGETS[target_format]:
        words += ["-o", formats.TARGETS[target_format]]
    words += [*source_words(source, source_format), str(target.absolute())]
    with process.Process(
        words, limits, stop, stdout=subprocess.PIPE, output=target
    ) as work:
        _follow(work, virtual_size, progress)
        work.require_success()


def _follow(
    work: process.Process, virtual_size: int, progress: ports.Progress
) -> None:
    """Show the progress until the program closes its output."""
    with selectors.DefaultSelector() as selector:
        selector.register(work.stdout, selectors.EVENT_READ)
        while True:
            work.check()
            if not selector.select(process.PAUSE):
                continue
            printed = os.read(work.stdout.fileno(), 4096)
            if not printed:
                return
            percents = _PERCENT.findall(printed)
            if percents:
                done = int(float(percents[-1]) * virtual_size / 100)
                progress.bytes(done, virtual_size)
