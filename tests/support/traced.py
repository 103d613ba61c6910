# SPDX-License-Identifier: Apache-2.0
"""Imports of images whose every look at a file is written down.

``python -m tests.support.traced HOME IMAGES [trusting]`` imports each image
that the JSON in IMAGES names, and prints what became of it; :func:`run` has
strace watch it and every program it starts.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import json
import os
import pathlib
import re
import subprocess
import sys
from typing import Any

from glance_tasks.imagefile import inspect
from glance_tasks.testing import http_source
from tests.support import engines
from tests.support import importing
from tests.support.corpus import specimen

#: Each call: what it was asked for and the path it came to, if it did.
_CALL = re.compile(r"^\d+ +(\w+)\((.*)\) += (-?\d+)(?:<(.*?)>)?")


@dataclasses.dataclass(frozen=True, slots=True)
class Watched:
    """What was seen.

    :ivar home: where the imports had their data
    :ivar outcomes: of each image: its failure's code and step
    :ivar audited: Python's own account: opened paths and connections
    :ivar opened: paths that a file was opened at, by any program
    :ivar started: programs that were started
    :ivar lines: all that strace wrote
    """

    home: pathlib.Path
    outcomes: Mapping[str, Sequence[str]]
    audited: Sequence[tuple[str, str]]
    opened: frozenset[str]
    started: frozenset[str]
    lines: Sequence[str]


def run(
    home: pathlib.Path,
    subjects: Sequence[specimen.Specimen],
    *,
    trusting: bool = False,
) -> Watched:
    """Import the images, watched.

    :param trusting: every image is taken for what it says it is, as if there
        were no inspection
    """
    images = _made(home, subjects)
    log = home / "strace"
    (home / "tmp").mkdir()
    words = ["strace", "-f", "-y", "-qq", "--seccomp-bpf", "-s", "4096"]
    words += ["-e", "trace=%file", "-o", str(log)]
    words += [sys.executable, "-m", __name__, str(home), str(images)]
    done = subprocess.run(
        [*words, *(["trusting"] if trusting else [])],
        check=True,
        stdout=subprocess.PIPE,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "TMPDIR": str(home / "tmp"),
            # stevedore keeps a list of the plugins it found.
            "XDG_CACHE_HOME": str(home / "cache"),
        },
        timeout=250,
    )
    told = json.loads(done.stdout)
    lines = log.read_text(errors="replace").splitlines()
    calls = [found for line in lines if (found := _CALL.match(line))]
    return Watched(
        home,
        told["outcomes"],
        [(kind, what) for kind, what in told["audited"]],
        frozenset(
            found[4]
            for found in calls
            if found[1].startswith("open") and int(found[3]) >= 0
        ),
        frozenset(
            found[2].split('"')[1]
            for found in calls
            if found[1].startswith("exec") and found[3] == "0"
        ),
        lines,
    )


def _made(
    home: pathlib.Path, subjects: Sequence[specimen.Specimen]
) -> pathlib.Path:
    directory = home / "images"
    directory.mkdir(parents=True)
    chosen = []
    for number, subject in enumerate(subjects):
        path = directory / str(number)
        subject.write(path)
        chosen.append([subject.name, subject.declared, str(path)])
    listed = home / "images.json"
    listed.write_text(json.dumps(chosen))
    return listed


# --- in the process that is watched ------------------------------------------


class _Hook:
    """Keeps what Python says it opens, starts and connects to."""

    def __init__(self) -> None:
        self.seen: set[tuple[str, str]] = set()

    def __call__(self, event: str, words: tuple[Any, ...]) -> None:
        if event == "open":
            self.seen.add((event, str(words[0])))
        elif event == "socket.connect":
            self.seen.add((event, str(words[1])))
        elif event == "subprocess.Popen":
            self.seen.add((event, str(words[0])))


def _trust(path: pathlib.Path, declared: str, _: int) -> inspect.Inspection:
    """Judge as one would who asked nobody."""
    return inspect.Inspection(declared, 1 << 20)


def _outcomes(
    home: pathlib.Path, chosen: Sequence[Sequence[str]]
) -> dict[str, Sequence[str]]:
    settings = {"glance_tasks_convert": {"memory": 4 << 30}}
    with (
        http_source.HttpSource() as source,
        importing.opened(home / "data", settings=settings) as engine,
    ):
        tasks = {}
        for name, declared, path in chosen:
            body = http_source.Resource(pathlib.Path(path))
            uri = source.put(f"/{len(tasks)}", body)
            given = importing.given(uri, declared, "raw")
            tasks[name] = engine.submit("import", given).id
        engines.run_all(engine)
        return {
            name: _ending(engine.get(task_id))
            for name, task_id in tasks.items()
        }


def _ending(task: Any) -> Sequence[str]:
    if task.failure is None:
        return [task.status, ""]
    return [task.failure.code, task.failure.step]


def main(home: str, images: str, *trusting: str) -> None:
    """Import the images and print what became of them."""
    hook = _Hook()
    sys.addaudithook(hook)
    if trusting:
        inspect.inspect = _trust
    chosen = json.loads(pathlib.Path(images).read_text())
    outcomes = _outcomes(pathlib.Path(home), chosen)
    print(json.dumps({"outcomes": outcomes, "audited": sorted(hook.seen)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
