# SPDX-License-Identifier: Apache-2.0
"""A life of the service in a process of its own: ``... worker ORDER``.

ORDER is JSON; the answer is one line of JSON on standard output, if the
process lives to give it.
"""

from collections.abc import Mapping
import contextlib
import dataclasses
import io
import json
import os
import pathlib
import sys
from typing import Any

from glance_tasks import exceptions
from glance_tasks import graph
from glance_tasks.testing.certification import crowding
from glance_tasks.testing.certification import disturbances
from glance_tasks.testing.certification import ground
from glance_tasks.testing.certification import lives

# So short that a frozen process knows at once that it may be too late.
_TTL = 0.5

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Written:
    """The paths that this process opens for writing, from now on.

    :ivar paths: without links in them
    """

    def __init__(self) -> None:
        """Hear of every file that is opened; there is no way back."""
        self.paths: set[str] = set()
        sys.addaudithook(self._hear)

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(args[0], str | bytes):
            path, _, flags = args
            # A file without a name is told of as its directory.
            writes = isinstance(flags, int) and flags & _WRITING
            if writes and not os.path.isdir(path):
                self.paths.add(os.path.realpath(os.fsdecode(path)))
        elif event in ("os.rename", "os.link", "os.symlink"):
            with contextlib.suppress(TypeError):
                self.paths.add(os.path.realpath(os.fsdecode(args[1])))


def _run(place: ground.Ground, order: Mapping[str, Any]) -> dict[str, Any]:
    """Run what can be claimed; tell how it ended and what was written."""
    written = Written()
    disturbance = disturbances.of_dict(order["disturbance"])
    answer: dict[str, Any] = {}
    with place.engine(disturbance) as engine:
        if order.get("submit"):
            try:
                lives.submit(engine, place)
            except exceptions.DiskFull as error:
                # Whoever hands bytes in is told, and the task waits for more.
                return {"told": str(error), "written": []}
        written.paths.clear()
        try:
            while lives.run(engine, ttl=_TTL):
                pass
        except exceptions.RunInterrupted as left:
            answer["left"] = f"{type(left).__name__}: {left}"
        found = engine.find(limit=1)[0]
        if found.ended:
            ended = lives.observed(engine, place, found.id)
            answer["ending"] = dataclasses.asdict(ended)
    return {**answer, "written": sorted(written.paths)}


def _draw(place: ground.Ground) -> dict[str, Any]:
    """Plan the task and build its graph, twice."""
    with place.engine() as engine:
        drawn = [engine.draw(place.name, place.given) for _ in range(2)]
    return {
        "fingerprints": [one.fingerprint for one in drawn],
        "text": graph.FORMATS["text"](drawn[0]),
    }


def main(order_text: str) -> None:
    """Do what is ordered; print the answer."""
    order = json.loads(order_text)
    place = ground.Ground(**order["ground"])
    if order.get("room"):
        crowding.crowd(pathlib.Path(place.home) / "data", order["room"])
    # What atoms print must not get among the answer.
    answer_to, sys.stdout = sys.stdout, io.StringIO()
    work = _draw(place) if order["what"] == "draw" else _run(place, order)
    answer_to.write(json.dumps(work) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
