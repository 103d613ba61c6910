# SPDX-License-Identifier: Apache-2.0
"""How soon a cancel and a pause take effect, at random moments of real work.

From the call to the failure ``cancelled`` with everything undone, or to the
phase ``paused`` with the worker free; the limit is two seconds. The work: an
import from a source that takes three seconds, of raw, and to a compressed
qcow2 by qemu-img; an export to a sink that takes three seconds.
``python -m bench.control [MOMENTS]``
"""

from collections.abc import Iterator
import contextlib
import pathlib
import random
import statistics
import sys
import time
from typing import Any

from bench import surroundings
import glance_tasks
from glance_tasks.testing import http_sink
from glance_tasks.testing import http_source

MIB = 1 << 20
SIZE = 96 * MIB
MOMENTS = 20


@contextlib.contextmanager
def works(folder: str) -> Iterator[dict[str, tuple[str, dict[str, Any]]]]:
    """Give types and inputs of tasks by what they do."""
    disk = pathlib.Path(folder) / "disk.raw"
    disk.write_bytes(random.Random(1).randbytes(SIZE))
    with http_source.HttpSource() as source, http_sink.HttpSink() as sink:
        slow = http_source.Resource(body=disk, rate=SIZE // 3)
        url = source.put("/slow", slow)
        yield {
            "import over http": (
                "import",
                {"import_from": url, "import_from_format": "raw"},
            ),
            "import to qcow2": (
                "import",
                {
                    "import_from": f"file://{disk}",
                    "import_from_format": "raw",
                    "image_properties": {"disk_format": "qcow2"},
                },
            ),
            "export over http": ("export", {"export_to": sink.uri("/to")}),
        }


class Asked:
    """What was measured of one kind of work."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.cancelled: list[float] = []
        self.paused: list[float] = []
        self.steps: set[str] = set()
        self.late = 0

    def row(self, name: str) -> tuple[str, ...]:
        """Give it as a row of a table."""
        return (
            name,
            f"{len(self.cancelled)} + {len(self.paused)}",
            f"{self.late}",
            _spread(self.cancelled),
            _spread(self.paused),
            str(len(self.steps)),
        )


def _spread(taken: list[float]) -> str:
    if not taken:
        return "-"
    return f"{statistics.median(taken):.2f} / {max(taken):.2f} s"


def ask(
    engine: glance_tasks.TaskEngine,
    task_id: str,
    after: float,
    verb: str,
    found: Asked,
) -> None:
    """Cancel or pause a task some time after it began."""
    _until(lambda: engine.get(task_id).status != "pending")
    time.sleep(after)
    step = engine.get(task_id).progress.get("step", "")
    began = time.perf_counter()
    try:
        getattr(engine, verb)(task_id)
        _until(lambda: _settled(engine.get(task_id)))
    except glance_tasks.TaskConflict:
        found.late += 1
        return
    taken = time.perf_counter() - began
    if engine.get(task_id).status == "success":
        found.late += 1
        return
    found.steps.add(step)
    (found.cancelled if verb == "cancel" else found.paused).append(taken)


def _settled(task: glance_tasks.Task) -> bool:
    return task.ended or task.phase == "paused"


def _until(true: Any) -> None:
    limit = time.monotonic() + 120
    while not true() and time.monotonic() < limit:
        time.sleep(0.005)


def measure(
    engine: glance_tasks.TaskEngine,
    type_name: str,
    given: dict[str, Any],
    moments: int,
    chooser: random.Random,
) -> Asked:
    """Ask at random moments of as many tasks."""
    found = Asked()
    began = time.perf_counter()
    engine.wait(engine.submit(type_name, given).id, 300)
    whole = time.perf_counter() - began
    for number in range(2 * moments):
        task = engine.submit(type_name, given)
        verb = ("cancel", "pause")[number % 2]
        ask(engine, task.id, chooser.uniform(0, whole), verb, found)
        if not engine.get(task.id).ended:
            engine.cancel(task.id)
            engine.wait(task.id, 120)
    return found


def main(moments: str = str(MOMENTS)) -> None:
    """Print a table."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chooser = random.Random(seed)
    rows = [("", "asked", "too late", "cancelled", "paused", "steps")]
    with (
        surroundings.folder() as folder,
        works(folder) as kinds,
        contextlib.closing(
            surroundings.engine(
                f"sqlite:///{folder}/bench.sqlite",
                folder,
                poll_interval=0.05,
                fetch__file_roots=[folder],
                fetch__allowed_ports=[],
                fetch__allowed_networks=["127.0.0.0/8"],
                send__allowed_ports=[],
                send__allowed_networks=["127.0.0.0/8"],
                send__max_rate=SIZE // 3,
            )
        ) as engine,
    ):
        conductor = glance_tasks.Conductor(engine, max_tasks=1)
        conductor.start()
        image = engine.submit("import", kinds["import to qcow2"][1])
        image_id = engine.wait(image.id, 300).image_id
        kinds["export over http"][1]["image_id"] = image_id
        for name, (type_name, given) in kinds.items():
            asked = measure(engine, type_name, given, int(moments), chooser)
            rows.append(asked.row(name))
        conductor.stop()
    surroundings.table("median / worst; the limit is 2 s", rows)


if __name__ == "__main__":
    main(*sys.argv[1:])
