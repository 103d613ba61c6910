# SPDX-License-Identifier: Apache-2.0
"""What a trial came to, and how that differs from what it should be."""

from collections.abc import Iterator
from collections.abc import Mapping
import dataclasses
import json
from typing import Any

from glance_tasks import task
from glance_tasks.testing import kept


@dataclasses.dataclass(frozen=True)
class Ending:
    """How a task ended, with the ids of task and image put aside.

    :ivar result: of the task, JSON
    :ivar left: what is there afterwards: names to digests
    :ivar left_behind: what the task itself says it could not undo
    """

    status: str
    code: str | None = None
    message: str | None = None
    result: Any = None
    left: Mapping[str, str] = dataclasses.field(default_factory=dict)
    left_behind: tuple[str, ...] = ()

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "Ending":
        """Make it of what :func:`dataclasses.asdict` gave, by JSON."""
        behind = tuple(plain["left_behind"])
        return cls(**{**plain, "left_behind": behind})


def of_task(found: task.Task, left: Mapping[str, str]) -> Ending:
    """Give the ending of a task.

    :param left: what is there, names to digests
    """
    failure = found.failure
    return Ending(
        status=found.status.value,
        code=failure.code if failure else None,
        message=nameless(found.message, found) if found.message else None,
        result=json.loads(nameless(json.dumps(found.result), found)),
        left={nameless(name, found): how for name, how in left.items()},
        left_behind=failure.left_behind if failure else (),
    )


def nameless(text: str, found: task.Task) -> str:
    """Put the ids that differ from task to task aside."""
    text = text.replace(found.id, "<task>")
    if found.image_id in (None, found.input.get("image_id")):
        # One that was there before is the same in every trial.
        return text
    return text.replace(found.image_id, "<image>")


def differences(
    expected: Ending, got: Ending, volatile: frozenset[str] = frozenset()
) -> Iterator[str]:
    """Say how an ending is not what it should be, a line each.

    :param volatile: keys of the result, and names of what is left, that
        differ from run to run even when nothing happens
    """
    if (expected.status, expected.code) != (got.status, got.code):
        yield f"it ended as {_named(got)}; expected {_named(expected)}"
        return
    for behind in got.left_behind:
        yield f"it could not be undone: {behind}"
    if expected.status == "success":
        yield from _results(expected.result, got.result, volatile)
    yield from _leftovers(expected.left, got.left, volatile)


def _named(ending: Ending) -> str:
    if ending.code is None:
        return ending.status
    return f"{ending.status} ({ending.code}: {ending.message})"


def _results(
    expected: Any, got: Any, volatile: frozenset[str]
) -> Iterator[str]:
    for key in sorted({*expected, *got} - volatile):
        one, other = expected.get(key), got.get(key)
        if one != other:
            yield f"its result has {key} = {other!r}; expected {one!r}"


def _leftovers(
    expected: Mapping[str, str],
    got: Mapping[str, str],
    volatile: frozenset[str],
) -> Iterator[str]:
    for name in sorted({*expected, *got} - volatile):
        if name.startswith(kept.GOOD):
            # A retry can use it; none can count on it.
            continue
        if name not in expected:
            yield f"it leaves {name}; expected nothing there"
        elif name not in got:
            yield f"it does not leave {name}"
        elif _seen(expected, name, volatile) != _seen(got, name, volatile):
            yield f"{name} is {got[name]}; expected {expected[name]}"


def _seen(left: Mapping[str, str], name: str, volatile: frozenset[str]) -> str:
    """Give what is compared of a file: its size alone, where bytes differ."""
    how = left[name]
    return how.partition(" ")[0] if f"{name}: bytes" in volatile else how


def unsteady(one: Ending, other: Ending) -> frozenset[str]:
    """Name what differs between two undisturbed runs, by nature."""
    results = {
        key
        for key in {*(one.result or {}), *(other.result or {})}
        if (one.result or {}).get(key) != (other.result or {}).get(key)
    }
    left = {
        name
        if one.left[name].partition(" ")[0]
        != other.left[name].partition(" ")[0]
        else f"{name}: bytes"
        for name in {*one.left} & {*other.left}
        if one.left[name] != other.left[name]
    }
    return frozenset(results | left)
