# SPDX-License-Identifier: Apache-2.0
"""Small file systems, so that a disk is full: tmpfs, in mounts of one's own.

``unshare`` of util-linux gives a process mounts of its own, also where nobody
is root, if the kernel lets users have namespaces; no mount outlives it.
"""

import functools
import os
import pathlib
import subprocess

_TIMEOUT_S = 30


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
