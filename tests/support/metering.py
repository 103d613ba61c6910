# SPDX-License-Identifier: Apache-2.0
"""What a piece of code costs, in numbers that do not vary with the load."""

from collections.abc import Iterator
import contextlib
import dataclasses
import pathlib
import tracemalloc


@dataclasses.dataclass
class Cost:
    """What a block used.

    :ivar memory: bytes of Python's objects at the peak
    :ivar read: bytes that this process read meanwhile
    :ivar calls: of the kernel to read them
    """

    memory: int = 0
    read: int = 0
    calls: int = 0


@contextlib.contextmanager
def metered(*, memory: bool = True) -> Iterator[Cost]:
    """Measure the block; its cost is known once it has ended.

    :param memory: False leaves the memory out, which makes a block that
        computes much ten times slower
    """
    cost, before = Cost(), _account()
    if memory:
        tracemalloc.start()
    try:
        yield cost
    finally:
        if memory:
            cost.memory = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        after = _account()
        cost.read = after["rchar"] - before["rchar"]
        cost.calls = after["syscr"] - before["syscr"]


def _account() -> dict[str, int]:
    lines = pathlib.Path("/proc/self/io").read_text().splitlines()
    return {
        name: int(number)
        for name, number in (line.split(": ") for line in lines)
    }
