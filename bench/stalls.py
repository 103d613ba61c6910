# SPDX-License-Identifier: Apache-2.0
"""How soon each kind of standstill is told, and by which name.

From the moment at which something stands still to the one at which the task
says so, as a ratio to the threshold that was configured; the limit is two.
Then a transfer that is throttled, for MINUTES: how often it was taken for a
standstill, which must be never. Needs root for the full disk.
``python -m bench.stalls [MINUTES]``
"""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any

from oslo_config import cfg
import psutil

import glance_tasks
from glance_tasks.testing import http_source
from glance_tasks.transfer import pace

MIB = 1 << 20
THRESHOLD = 4.0
RATE = MIB

Reached = Callable[[glance_tasks.Task], str | None]


class Place:
    """An installation of its own, with one conductor process.

    :ivar engine: that looks at its tasks
    """

    def __init__(self, home: pathlib.Path, **groups: dict[str, Any]) -> None:
        """Configure it; every threshold is the same."""
        chosen: dict[str, dict[str, Any]] = {
            "glance_tasks": {
                "data_dir": home,
                "claim_ttl": THRESHOLD,
                "stall_after": THRESHOLD,
                "poll_interval": 0.1,
            },
            "glance_tasks_fetch": {
                "allowed_networks": "127.0.0.0/8",
                "allowed_ports": "",
                "file_roots": home.parent,
                "allowed_schemes": "http,file",
                "read_timeout": 10 * THRESHOLD,
            },
        }
        for group, more in groups.items():
            chosen.setdefault(group, {}).update(more)
        self.config = home.parent / f"{home.name}.conf"
        self.config.write_text(
            "\n".join(
                line
                for group, options in chosen.items()
                for line in (
                    f"[{group}]",
                    *(f"{name} = {value}" for name, value in options.items()),
                )
            )
        )
        conf = cfg.ConfigOpts()
        glance_tasks.register_opts(conf)
        conf([], default_config_files=[str(self.config)])
        self.engine = glance_tasks.TaskEngine(conf)

    def submit(self, url: str, **more: Any) -> str:
        """Submit an import."""
        given = {"import_from": url, "import_from_format": "raw", **more}
        return self.engine.submit("import", given, owner="bench").id

    @contextlib.contextmanager
    def conductor(self) -> Iterator[psutil.Process]:
        """Run a conductor for the block, then kill it."""
        words = [sys.executable, "-m", "glance_tasks.cmd.main"]
        words += ["--config-file", str(self.config), "conductor", "run"]
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(words, stdout=quiet, stderr=quiet)
        try:
            yield psutil.Process(process.pid)
        finally:
            process.kill()
            process.wait()
            self.engine.close()

    def until(self, task_id: str, reached: Reached) -> str:
        """Give what the task shows, once it shows something."""
        limit = time.monotonic() + 20 * THRESHOLD
        while time.monotonic() < limit:
            if found := reached(self.engine.get(task_id)):
                return found
            time.sleep(0.02)
        return "nothing"


def moved(found: glance_tasks.Task) -> str | None:
    """Tell whether bytes have moved."""
    return "moved" if found.progress.get("done_bytes") else None


def verdict(found: glance_tasks.Task) -> str | None:
    """Give why it stands still, or has failed."""
    if found.failure:
        return found.failure.code
    return found.stall_reason


# --- what stands still -------------------------------------------------------


def hit(
    number: signal.Signals,
) -> Callable[[Place, http_source.HttpSource], Any]:
    """Give what sends the worker a signal in a transfer."""

    def case(place: Place, source: http_source.HttpSource) -> Any:
        body = bytes(64 * MIB)
        url = source.put("/d", http_source.Resource(body=body, rate=RATE))
        task_id = place.submit(url)
        with place.conductor() as conductor:
            place.until(task_id, moved)
            conductor.send_signal(number)
            return _timed(place, task_id)

    return case


def silent(place: Place, source: http_source.HttpSource) -> Any:
    """Have the far end send nothing any more, the connection open."""
    body = bytes(8 * MIB)
    url = source.put("/d", http_source.Resource(body=body, stall_after=MIB))
    task_id = place.submit(url)
    with place.conductor():
        source.stalled.wait(60)
        return _timed(place, task_id)


def tarpit(place: Place, source: http_source.HttpSource) -> Any:
    """Have the far end send a few bytes a second, for ever."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 8388608\r\n\r\n"
    url = source.put("/d", http_source.Resource(raw=head, drip=b"drip"))
    task_id = place.submit(url)
    with place.conductor():
        place.until(task_id, moved)
        return _timed(place, task_id)


def hung(place: Place, source: http_source.HttpSource) -> Any:
    """Freeze qemu-img in a conversion."""
    disk = place.config.parent / "disk.raw"
    disk.write_bytes(random.Random(1).randbytes(64 * MIB))
    properties = {"disk_format": "vmdk"}
    task_id = place.submit(f"file://{disk}", image_properties=properties)
    with place.conductor() as conductor:
        while not (found := _children(conductor, "qemu-img")):
            time.sleep(0.001)
        for child in found:
            child.suspend()
        return _timed(place, task_id)


def full(place: Place, source: http_source.HttpSource) -> Any:
    """Let a transfer fill the disk."""
    body = random.Random(1).randbytes(32 * MIB)
    url = source.put("/d", http_source.Resource(body=body, chunked=True))
    task_id = place.submit(url)
    with place.conductor():
        place.until(task_id, moved)
        return _timed(place, task_id)


def _timed(place: Place, task_id: str) -> tuple[str, float]:
    began = time.perf_counter()
    said = place.until(task_id, verdict)
    return said, time.perf_counter() - began


def _children(process: psutil.Process, name: str) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return [
            child
            for child in process.children(recursive=True)
            if name in child.name()
        ]
    return []


# What it is, what is to be said, and the threshold in seconds.
CASES: dict[str, tuple[Any, str, float]] = {
    "worker frozen (SIGSTOP)": (
        hit(signal.SIGSTOP),
        "conductor_frozen",
        THRESHOLD,
    ),
    "worker dead (SIGKILL)": (
        hit(signal.SIGKILL),
        "conductor_died",
        THRESHOLD,
    ),
    "black hole": (silent, "far_end_silent", THRESHOLD),
    # min_rate is taken over a minute.
    "tarpit": (tarpit, "source_too_slow", pace.WINDOW),
    "qemu-img hung": (hung, "no_progress", THRESHOLD),
    "disk full": (full, "disk_full", THRESHOLD),
}


def throttled(minutes: float) -> tuple[int, float, str]:
    """Fetch slowly; give the standstills that were told, seconds, the end."""
    size = int(RATE * minutes * 60)
    with tempfile.TemporaryDirectory() as folder:
        home = pathlib.Path(folder)
        disk = home / "disk.raw"
        with disk.open("wb") as file:
            os.truncate(file.fileno(), size)
        with http_source.HttpSource() as source:
            resource = http_source.Resource(body=disk, rate=RATE)
            url = source.put("/d", resource)
            place = Place(home / "data")
            task_id = place.submit(url)
            began = time.perf_counter()
            false = 0
            with place.conductor():
                while not (found := place.engine.get(task_id)).ended:
                    false += found.stall_reason is not None
                    time.sleep(0.1)
                told = place.engine.events(task_id)
            false += sum(event.kind == "stalled" for event in told)
            return false, time.perf_counter() - began, found.status


@contextlib.contextmanager
def small_disk(path: pathlib.Path, wanted: bool) -> Iterator[dict[str, Any]]:
    """Give the option of a work directory with room for some MiB."""
    if not wanted:
        yield {}
        return
    path.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", path], check=True
    )
    try:
        yield {"glance_tasks": {"work_dir": path}}
    finally:
        subprocess.run(["umount", path], check=True)


def main() -> None:
    """Print both tables."""
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    print(f"{'':26}{'told as':18}{'seconds':>9}{'threshold':>11}{'ratio':>7}")
    for name, (case, expected, threshold) in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            home = pathlib.Path(folder)
            with (
                http_source.HttpSource() as source,
                small_disk(home / "small", case is full) as more,
            ):
                place = Place(home / "data", **more)
                said, seconds = case(place, source)
        wrong = "" if said == expected else f"  WRONG: {expected} expected"
        figures = f"{seconds:9.2f}{threshold:11g}{seconds / threshold:7.2f}"
        print(f"{name:26}{said:18}{figures}{wrong}", flush=True)
    false, seconds, status = throttled(minutes)
    row = {"false verdicts": false, "seconds": round(seconds), "end": status}
    print(f"\nthrottled to {RATE} bytes/s: {json.dumps(row)}")


if __name__ == "__main__":
    main()
