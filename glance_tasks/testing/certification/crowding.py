# SPDX-License-Identifier: Apache-2.0
"""Small file systems, so that a disk is full: tmpfs, in mounts of one's own.

``unshare`` of util-linux gives a process mounts of its own, also where nobody
is root, if the kernel lets users have namespaces; no mount outlives it.
"""

import functools
import os
import pathlib
import shutil
import subprocess

_TIMEOUT_S = 30
_PAGE = 4096


def words() -> list[str]:
    """Give the words that start a program with mounts of its own."""
    if os.geteuid() == 0:
        return ["unshare", "--mount"]
    return ["unshare", "--user", "--map-root-user", "--mount"]


@functools.cache
def absence() -> str | None:
    """Say why there are none to be had here; None when there are."""
    try:
        done = subprocess.run(
            [*words(), "true"],
            capture_output=True,
            check=False,
            text=True,
            timeout=_TIMEOUT_S,
        )
    except OSError as error:
        return f"unshare cannot be run: {error.strerror}"
    return done.stderr.strip() or "unshare fails" if done.returncode else None


def mount(directory: pathlib.Path, room: int) -> None:
    """Mount a file system of so many bytes; only in mounts of one's own.

    :raises OSError: when that is refused
    """
    command = ["mount", "-t", "tmpfs", "-o", f"size={room},mode=700"]
    done = subprocess.run(
        [*command, "certify", str(directory)],
        capture_output=True,
        check=False,
        text=True,
        timeout=_TIMEOUT_S,
    )
    if done.returncode:
        raise OSError(f"no small file system: {done.stderr.strip()}")


def crowd(directory: pathlib.Path, room: int) -> None:
    """Mount one with ``room`` left beside the files that are there already.

    :raises OSError: when that is refused
    """
    kept = directory.with_name(f"{directory.name}-kept")
    shutil.copytree(directory, kept)
    files = [path for path in kept.rglob("*") if path.is_file()]
    pages = sum(-(-path.stat().st_size // _PAGE) + 1 for path in files)
    mount(directory, room + pages * _PAGE)
    shutil.copytree(kept, directory, dirs_exist_ok=True)
    shutil.rmtree(kept)
