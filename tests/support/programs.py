# SPDX-License-Identifier: Apache-2.0
"""What runs on this machine, as far as a test has to know."""

from collections.abc import Callable
import pathlib
import time


def alive(pid: int) -> bool:
    """Tell whether a process runs; one that waits to be reaped does not."""
    try:
        status = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"


def qemus(path: pathlib.Path) -> list[int]:
    """List the qemu programs that have ``path`` among their words."""
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes()
        except OSError:
            continue
        program = words.partition(b"\0")[0].rpartition(b"/")[2]
        if program.startswith(b"qemu-") and str(path).encode() in words:
            found.append(int(entry.parent.name))
    return found


def eventually(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds, ten seconds at most."""
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until, "it did not come in ten seconds"
        time.sleep(0.01)
