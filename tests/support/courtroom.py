# SPDX-License-Identifier: Apache-2.0
"""Where images are judged: each by a child with little memory and time.

Reads ``FORMAT PATH`` a line, answers with a line of JSON: verdict, text, peak
of the memory in bytes, seconds of processor. It holds nothing but the
inspector, so what it measures is the inspector's.
"""

import json
import os
import pathlib
import resource
import sys
from typing import Any

from glance_tasks import exceptions
from glance_tasks.imagefile import inspect

MIB = 1 << 20

#: Bytes a disk may have here.
LIMIT = 1 << 40

#: Bytes of address space that judging one image may take, beside what the
#: interpreter with its libraries has.
MEMORY = 128 * MIB


def judged(declared: str, path: pathlib.Path, processor: int) -> list[Any]:
    """Judge in a child; this process has one thread, as forking wants."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        _decide(declared, path, processor, writing)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        printed = pipe.read()
    _, status, used = os.wait4(child, 0)
    words = json.loads(printed) if printed else [f"died of {status}", ""]
    return [*words, used.ru_maxrss * 1024, used.ru_utime + used.ru_stime]


def _decide(
    declared: str, path: pathlib.Path, processor: int, writing: int
) -> None:
    """Judge, write the verdict and end this process."""
    try:
        pages = pathlib.Path("/proc/self/statm").read_text().split()[0]
        held = int(pages) * resource.getpagesize()
        _limit(resource.RLIMIT_AS, held + MEMORY)
        _limit(resource.RLIMIT_CPU, processor)
        found = _verdict(declared, path)
        os.write(writing, json.dumps(found).encode())
    finally:
        os._exit(0)


def _verdict(declared: str, path: pathlib.Path) -> tuple[str, str]:
    try:
        found = inspect.inspect(path, declared, LIMIT)
    except exceptions.TaskError as error:
        return error.code, str(error)
    except Exception as error:  # noqa: BLE001 - any other is the finding
        return type(error).__name__, str(error)
    return "passed", str(found)


def _limit(kind: int, value: int) -> None:
    resource.setrlimit(kind, (value, value))


def main(processor: str) -> None:
    """Judge until standard input ends.

    :param processor: seconds that judging one image may take
    """
    for line in sys.stdin:
        declared, path = line.rstrip("\n").split(" ", 1)
        found = judged(declared, pathlib.Path(path), int(processor))
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
