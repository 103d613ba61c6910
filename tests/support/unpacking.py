# SPDX-License-Identifier: Apache-2.0
"""Archives unpacked without an atom, here and in a bounded process.

``python -m tests.support.unpacking ARCHIVE TARGET LIMITS`` unpacks with little
memory, prints the failure's code and the most memory it had; ``kill WORK_DIR
FORMAT PLACE`` runs the atom up to a place.
"""

import json
import os
import pathlib
import re
import resource
import subprocess
import sys
from typing import Any

from glance_tasks import exceptions
from glance_tasks import ports
from glance_tasks.archive import caps
from glance_tasks.archive import kinds
from glance_tasks.archive import unpacking
from glance_tasks.atoms import unpack as unpack_atom
from glance_tasks.imagefile import reader
from glance_tasks.imagefile import signatures
from glance_tasks.testing import contexts
from glance_tasks.testing import doubles
from tests.support import conversions

MIB = 1 << 20

#: What is allowed where nothing else is said.
CAPS: dict[str, int] = {
    "max_bytes": 1 << 40,
    "max_ratio": 2000,
    "memory": 128 * MIB,
}


def unpack(
    path: pathlib.Path,
    target: pathlib.Path,
    *,
    algorithms: tuple[str, ...] = ("sha256",),
    stop: ports.StopSignal | None = None,
    progress: ports.Progress | None = None,
    **limits: int,
) -> unpacking.Unpacked:
    """Unpack what the file at ``path`` is known to be by its content.

    :param limits: fields of :class:`caps.Caps`
    """
    with reader.opened(path) as archive:
        (kind,) = kinds.among(signatures.find(archive))
        return unpacking.unpack(
            archive,
            kinds.FINDERS[kind](archive),
            target,
            algorithms=algorithms,
            caps=caps.Caps(**{**CAPS, **limits}),
            stop=stop or doubles.NeverStop(),
            progress=progress or doubles.RecordingProgress(),
        )


def bounded(
    path: pathlib.Path, target: pathlib.Path, **limits: int
) -> dict[str, Any]:
    """Unpack in a process that may have 1 GiB and 60 s of a processor.

    :returns: ``code`` of the failure or None, ``text``, ``taken_mib`` that its
        file takes up on disk and ``grown_mib`` that the process grew by
    """
    words = [str(path), str(target), json.dumps(limits)]
    done = subprocess.run(
        [sys.executable, "-m", __name__, *words],
        stdout=subprocess.PIPE,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def killed_at(place: int, work_dir: pathlib.Path, disk_format: str) -> None:
    """Unpack ``fetched`` in another process; kill -9 it when it is so far.

    :param place: in bytes of the archive
    """
    words = ["kill", str(work_dir), disk_format, str(place)]
    with subprocess.Popen(
        [sys.executable, "-m", __name__, *words],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"there\n"
        process.kill()


def _be_killed(home: str, disk_format: str, place: str) -> None:
    work_dir = pathlib.Path(home)
    size = (work_dir / "fetched").stat().st_size
    progress = conversions.PausingProgress(int(place))
    ctx = contexts.context(work_dir, progress=progress)
    unpack_atom.UnpackImage(ctx).execute(
        fetched={"name": "fetched", "size": size},
        import_from_format=disk_format,
    )


def _most_mib() -> int:
    """Give the peak of this program's memory; rusage has its parent's too."""
    status = pathlib.Path("/proc/self/status").read_text()
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
    return int(peak) // 1024


def _be_bounded(path: str, target: str, limits: str) -> None:
    """Unpack under limits and tell how it went."""
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
    before = _most_mib()
    code = text = None
    try:
        unpack(pathlib.Path(path), pathlib.Path(target), **json.loads(limits))
    except exceptions.TaskError as error:
        code, text = error.code, str(error)
    there = pathlib.Path(target)
    taken = there.stat().st_blocks * 512 if there.exists() else 0
    print(
        json.dumps(
            {
                "code": code,
                "text": text,
                "taken_mib": taken // MIB,
                "grown_mib": _most_mib() - before,
            }
        )
    )


if __name__ == "__main__":
    if sys.argv[1] == "kill":
        _be_killed(*sys.argv[2:])
    else:
        _be_bounded(*sys.argv[1:])
