# SPDX-License-Identifier: Apache-2.0
"""How a program is begun: with which environment, and through what.

``setpriv`` (util-linux) arms the kernel's parent-death signal, and the shell
that it starts runs the program only when its parent is still this process,
and only once it is told that the limits are in place. So there is no moment
in which a kill -9 would leave it running, or in which it runs unlimited. (A
``preexec_fn`` could deadlock: we have threads.)

Where the kernel lets us, ``unshare`` gives it a network of its own, in which
there is nothing, not even a loopback that is up; our Unix sockets are files
and still reach it. That costs 4 ms a start. No mount namespace: without a
root of its own, which costs much more, it would hide nothing.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import functools
import os
import shutil
import subprocess

from glance_tasks import exceptions

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

#: All that a program sees of the environment.
ENVIRONMENT: Mapping[str, str] = {
    "PATH": _PATH,
    "LC_ALL": "C",
    # glibc would give the memory of every request of 1 MiB back to the kernel
    # and have it zeroed again: qemu-nbd 7.2 then takes 0.55 s of processor
    # for 1 GiB instead of 0.2 s.
    "MALLOC_MMAP_THRESHOLD_": str(4 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(32 << 20),
}

#: Runs the words behind it once a line is read, if process $0 is its parent.
GATE = '[ "$PPID" = "$0" ] && read -r _ && exec "$@" </dev/null'

#: The same for a server: hands it its standard output as the socket that it
#: listens on, as systemd would.
SERVER_GATE = (
    '[ "$PPID" = "$0" ] && read -r _ && export LISTEN_FDS=1 LISTEN_PID=$$'
    ' && exec "$@" </dev/null 3>&1 >/dev/null'
)

_PROBE_SECONDS = 10


def find(program: str) -> str:
    """Give the full path of an installed program.

    :raises ConfigurationError: when it is not installed
    """
    path = shutil.which(program, path=_PATH)
    if path is None:
        raise exceptions.ConfigurationError(
            f"{program} is not installed; expected it in one of {_PATH}"
        )
    return path


@functools.cache
def confinement() -> tuple[str, ...]:
    """Give the words that take the network away; none where it cannot be.

    Tried once per process.
    """
    words = ["unshare", "--net", "--ipc", "--"]
    if os.geteuid():
        # Who is not root may do it in a user namespace only. Root would lose
        # the right to pass through directories of other users in one.
        words.insert(1, "--user")
    try:
        words[0] = find(words[0])
        probe = [*words, find("true")]
        done = subprocess.run(
            probe,
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=ENVIRONMENT,
            timeout=_PROBE_SECONDS,
        )
    except (
        exceptions.ConfigurationError,
        OSError,
        subprocess.SubprocessError,
    ):
        return ()
    return () if done.returncode else tuple(words)


def words(program: Sequence[str], gate: str = GATE) -> list[str]:
    """Give the words that begin ``program`` as a child of this process.

    It waits for a line on its standard input.

    :param gate: :data:`GATE` or :data:`SERVER_GATE`
    :raises ConfigurationError: when something is not installed
    """
    return [
        *confinement(),
        # Last of all: a change of rights would disarm the signal again.
        *(find("setpriv"), "--nnp", "--pdeathsig", "KILL", "--"),
        *(find("sh"), "-c", gate, str(os.getpid())),
        *(find(program[0]), *program[1:]),
    ]
