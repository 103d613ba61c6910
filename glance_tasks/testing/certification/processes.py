# SPDX-License-Identifier: Apache-2.0
"""Starts the processes of a certification, and ends what it started."""

from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from typing import Any

from glance_tasks.testing.certification import crowding
from glance_tasks.testing.certification import ground

# Seconds. A life on a sample takes one or two.
LIMIT_S = 120.0

_MODULE = "glance_tasks.testing.certification.worker"


def freeze(process: "subprocess.Popen[Any]") -> None:
    """Freeze a child, and wait until all of its threads stand still.

    The signal alone returns before: a thread may take a lock meanwhile.
    """
    process.send_signal(signal.SIGSTOP)
    how = os.WSTOPPED | os.WEXITED | os.WNOWAIT
    os.waitid(os.P_PID, process.pid, how)


class Stuck(Exception):
    """A process did not get where it should within :data:`LIMIT_S`."""


class Worker:
    """One life in a process of its own."""

    def __init__(
        self,
        place: ground.Ground,
        what: str = "run",
        *,
        environment: Mapping[str, str] | None = None,
        **order: Any,
    ) -> None:
        """Start it.

        :param what: ``run`` or ``draw``
        :param environment: variables besides those of this process
        :param order: see :mod:`.worker`; ``room`` needs mounts of its own
        """
        self.flag = pathlib.Path(place.home) / "reached"
        disturbance = {**order.pop("disturbance", {}), "flag": str(self.flag)}
        text = json.dumps(
            {
                "ground": dataclasses.asdict(place),
                "what": what,
                "disturbance": disturbance,
                **order,
            }
        )
        apart = crowding.words() if order.get("room") else []
        self.process = subprocess.Popen(
            [*apart, sys.executable, "-m", _MODULE, text],
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
                "TMPDIR": str(pathlib.Path(place.home) / "tmp"),
                **(environment or {}),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def answer(self) -> dict[str, Any] | None:
        """Wait for its end; give its answer, None when it gave none.

        :raises Stuck: when it does not end
        """
        try:
            out, self.said = self.process.communicate(timeout=LIMIT_S)
        except subprocess.TimeoutExpired as error:
            raise Stuck(f"no end after {LIMIT_S:.0f} s") from error
        lines = out.splitlines()
        found: dict[str, Any] | None = json.loads(lines[-1]) if lines else None
        return found

    def reached(self) -> bool:
        """Wait until it has struck itself, or ended; tell which.

        :raises Stuck: when neither happens
        """
        until = time.monotonic() + LIMIT_S
        while time.monotonic() < until:
            if self.flag.exists() and self._state() in "TZX":
                return True
            if self.process.poll() is not None:
                return self.flag.exists()
            time.sleep(0.005)
        raise Stuck(f"not there after {LIMIT_S:.0f} s")

    def _state(self) -> str:
        """Give the letter of the process's state; X when it is gone."""
        try:
            stat = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text()
        except OSError:
            return "X"
        return stat.rpartition(")")[2].split()[0]


@contextlib.contextmanager
def started(place: ground.Ground, **order: Any) -> Iterator[Worker]:
    """Give a worker for the block; it is dead afterwards."""
    worker = Worker(place, **order)
    try:
        yield worker
    finally:
        worker.process.kill()
        worker.process.communicate()
