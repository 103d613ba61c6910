# SPDX-License-Identifier: Apache-2.0
"""The same graph and names, however often and wherever it is built."""

from collections.abc import Iterator
import difflib

from glance_tasks.testing.certification import case as cases
from glance_tasks.testing.certification import kinds
from glance_tasks.testing.certification import processes


class Graph(kinds.Kind):
    """Builds the graph in processes whose hashes have different seeds."""

    name = "graph"
    what = "the same graph and names on rebuild"

    def variants(self, case: cases.Case) -> list[str]:
        """Give one trial: it compares all builds."""
        return ["rebuild"]

    def run(self, case: cases.Case, variant: str) -> Iterator[str]:
        """Build it six times in three processes."""
        drawn = []
        with case.fresh() as place:
            for seed in "1", "2", "3":
                with processes.started(
                    place,
                    what="draw",
                    environment={"PYTHONHASHSEED": seed},
                ) as worker:
                    drawn.append(worker.answer())
                    if drawn[-1] is None:
                        yield f"it cannot be built: {_last(worker.said)}"
                        return
        found = [one for one in drawn if one]
        prints = {text for one in found for text in one["fingerprints"]}
        if len(prints) > 1:
            texts = list(dict.fromkeys(one["text"] for one in found))
            yield (
                f"plan() and build() gave {len(prints)} different graphs of"
                f" one input: {_difference(texts[0], texts[-1])}"
            )


def _difference(one: str, other: str) -> str:
    lines = difflib.ndiff(one.splitlines(), other.splitlines())
    changed = [line.strip() for line in lines if line[0] in "+-"]
    return "; ".join(changed[:2]) or "within one process"


def _last(text: str) -> str:
    return (text.strip().splitlines() or ["it said nothing"])[-1]
