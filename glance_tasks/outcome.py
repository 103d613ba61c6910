# SPDX-License-Identifier: Apache-2.0
"""How a flow ended, and what of it its task shows."""

import dataclasses
from typing import Any

from taskflow import states
from taskflow.types import failure as taskflow_failure

from glance_tasks import graph
from glance_tasks import task
from glance_tasks.persistence import failures

#: States of a flow that is not run again.
ENDED = frozenset({states.SUCCESS, states.REVERTED, states.FAILURE})


def has_ended(state: str, detail: Any) -> bool:
    """Tell a flow that came to its end from one that broke on the way."""
    if state == states.FAILURE:
        return any(atom.revert_failure for atom in detail)
    return state in ENDED


def failure(detail: Any, drawn: graph.Graph) -> task.Failure:
    """Give why a flow failed, and what could not be undone.

    :param detail: TaskFlow's, with the details of its atoms
    """
    # What a retry controller had undone keeps its failure until it runs again;
    # that is no longer why the flow failed.
    failed = [
        atom
        for atom in detail
        if atom.state != states.PENDING
        and (atom.failure or atom.revert_failure)
    ]
    stored = [
        failures.reduce(atom.failure, atom.name)
        for atom in failed
        if isinstance(atom.failure, taskflow_failure.Failure)
    ]
    if not stored:
        return failures.of_error(RuntimeError("the flow ended without a word"))
    first = min(stored, key=lambda kept: kept["at"])
    return dataclasses.replace(
        task.Failure.from_dict(first["failure"]),
        left_behind=(*_not_reverted(failed), *_not_undone(detail, drawn)),
    )


def _not_reverted(failed: list[Any]) -> list[str]:
    undone = [
        failures.reduce(atom.revert_failure, atom.name)["failure"]
        for atom in failed
        if atom.revert_failure
    ]
    return [f"{found['step']}: {found['summary']}" for found in undone]


def _not_undone(detail: Any, drawn: graph.Graph) -> list[str]:
    """Name the atoms whose effects stay where the undoing was stopped.

    Where one cannot be undone TaskFlow stops; those before it stay done. What
    is in the work directory goes all the same.
    """
    leaving = {node.name for node in drawn.nodes if node.leaves}
    return [
        f"{atom.name}: was not undone"
        for atom in detail
        if atom.state == states.SUCCESS and atom.name in leaving
    ]
