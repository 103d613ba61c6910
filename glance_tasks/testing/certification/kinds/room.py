# SPDX-License-Identifier: Apache-2.0
"""A disk that is full, at each write in turn."""

from collections.abc import Iterator

from glance_tasks.testing.certification import case as cases
from glance_tasks.testing.certification import crowding
from glance_tasks.testing.certification import ending
from glance_tasks.testing.certification import kinds
from glance_tasks.testing.certification import processes

_PAGE = 4096

# What a task may fail with when there is no room; all say so in words.
_CODES = ("disk_full", "store_full")

# The work directory and the store share the small file system: a task that
# still fails with this much room is not short of it.
_PLENTY = 64 << 20


class Room(kinds.AtPoints):
    """Gives work directory and store a file system of so many bytes.

    From one page up, in steps that grow, to where the task succeeds.
    """

    name = "room"
    what = "a full disk, at each write"

    def absence(self) -> str | None:
        """Say why this cannot be tried here."""
        return crowding.absence()

    def variants(self, case: cases.Case) -> list[str]:
        """Give the sizes."""
        sizes, size = [], _PAGE
        while size < _PLENTY:
            sizes.append(size)
            size = max(size + 4 * _PAGE, size * 5 // 4 // _PAGE * _PAGE)
        return [str(size) for size in sizes]

    def run(self, case: cases.Case, variant: str) -> Iterator[str]:
        """Run it with that much room."""
        with (
            case.fresh() as place,
            processes.started(place, submit=True, room=int(variant)) as worker,
        ):
            answer = worker.answer()
        if answer is not None and "told" in answer:
            return
        if answer is None or "ending" not in answer:
            left = (answer or {}).get("left") or worker.said.strip()[-200:]
            yield f"with {variant} bytes of room it does not end: {left}"
            return
        ended = ending.Ending.from_dict(answer["ending"])
        if ended.status == "success":
            faults = case.differs(ended)
        elif ended.code in _CODES:
            faults = case.undone(ended, ended.code or "")
        else:
            faults = case.undone(ended, _CODES[0])
        for line in faults:
            yield f"with {variant} bytes of room: {line}"
