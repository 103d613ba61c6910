# SPDX-License-Identifier: Apache-2.0
"""May a task go on in this release? Its graph must be the one it began with.

TaskFlow would not notice: an atom that has another name runs again, silently,
and one that is gone is never undone.
"""

from collections.abc import Mapping
import json
from typing import Any

from glance_tasks import building
from glance_tasks import exceptions
from glance_tasks import graph
from glance_tasks import task
from glance_tasks.persistence import database as db
from glance_tasks.persistence import flows

#: What the reason of a task begins with that waits for another release.
NEEDS_VERSION = "needs_version"


def prepare(
    database: db.Database, held: task.Task, built: building.Built
) -> str | None:
    """Have a claimed task ready to go on with what its type builds now.

    :returns: what was changed for that, in words; None for nothing
    :raises GraphChanged: when it cannot go on in this release
    :raises LeaseLost: when another claim holds the task
    """
    stored = flows.of_task(database, held.id)
    if stored is None:
        return None
    renamed = compared(stored, built, held)
    if renamed is None:
        return None
    if not flows.change(database, held.id, held.fence, built.stored, renamed):
        raise exceptions.LeaseLost(
            f"task {held.id} is no longer held by claim {held.fence}"
        )
    return ", ".join(f"{old} is now {new}" for old, new in renamed.items())


def compared(
    stored: flows.StoredFlow, built: building.Built, held: task.Task
) -> Mapping[str, str] | None:
    """Give the atoms to be renamed, old names to new ones.

    :param stored: the flow at the task's first run
    :param built: what its type builds now
    :returns: None when nothing has changed
    :raises GraphChanged: when the task cannot go on in this release
    """
    major = stored.type_version.partition(".")[0]
    if major != str(built.task_type.version[0]):
        raise _needs(
            held,
            f"it began with version {stored.type_version} of it and this"
            f" release has {built.type_version}",
        )
    if stored.fingerprint == built.graph.fingerprint:
        return None
    renamed = built.task_type.renamed_atoms
    if renamed and stored.graph is not None:
        before = json.loads(stored.graph)
        now = graph.shape(built.graph)
        if _renamed(before, renamed, now) == now:
            names = _names(before)
            return {old: new for old, new in renamed.items() if old in names}
    raise _needs(held, _difference(stored, built.graph))


def _needs(held: task.Task, why: str) -> exceptions.GraphChanged:
    return exceptions.GraphChanged(
        f"{NEEDS_VERSION}: the task type {held.type!r} has changed: {why}; the"
        " task waits for a release that goes on where it was"
    )


def _names(shape: Mapping[str, Any]) -> set[str]:
    return {node[0] for node in shape["nodes"]}


def _renamed(
    shape: Mapping[str, Any],
    renamed: Mapping[str, str],
    now: Mapping[str, Any],
) -> dict[str, Any]:
    """Give a stored shape with the names of this release.

    An atom is named after its class, as a rule: then that has another name.
    """
    kinds = {node[0]: node[1] for node in now["nodes"]}
    nodes = []
    for old, kind, *rest in shape["nodes"]:
        new = renamed.get(old, old)
        other = renamed.get(kind, kind)
        nodes.append([new, other if kinds.get(new) == other else kind, *rest])
    edges = [[renamed.get(a, a), renamed.get(b, b)] for a, b in shape["edges"]]
    return {"nodes": sorted(nodes), "edges": sorted(edges)}


def _difference(stored: flows.StoredFlow, now: graph.Graph) -> str:
    if stored.graph is None:
        return "it builds another graph"
    before, after = _names(json.loads(stored.graph)), _names(graph.shape(now))
    gone, new = sorted(before - after), sorted(after - before)
    parts = [
        *([f"without {', '.join(gone)}"] if gone else []),
        *([f"with {', '.join(new)}"] if new else []),
    ]
    how = " and ".join(parts) or "of the same atoms"
    return f"it builds another graph, {how}"
