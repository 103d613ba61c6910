# SPDX-License-Identifier: Apache-2.0
"""What a run does before it goes on: looks whether finished work still is."""

import logging
from typing import Any

from taskflow import states

from glance_tasks import plugin

LOG = logging.getLogger(__name__)


def recover(atoms: list[Any], storage: Any) -> list[str]:
    """Have the atoms run again whose artifacts are gone; give their names.

    :param atoms: the flow's atoms
    :param storage: TaskFlow's storage of the flow
    """
    lost = lost_atoms(atoms, storage)
    for name in lost:
        storage.reset(name)
    for atom in atoms if lost else ():
        # The parallel engine begins with what was at work, and does not wait
        # for what that needs: it met results that were not there.
        if storage.get_atom_state(atom.name) == states.RUNNING:
            storage.reset(atom.name)
    return lost


def lost_atoms(atoms: list[Any], storage: Any) -> list[str]:
    """Name the finished atoms whose artifacts are gone and needed.

    Goes from the unfinished atoms back to those whose results they take: an
    artifact that nobody needs any more may be gone. An atom found lost is
    unfinished again, and its own sources are looked at too.

    :param atoms: the flow's atoms
    :param storage: TaskFlow's storage of the flow
    """
    state = {atom.name: storage.get_atom_state(atom.name) for atom in atoms}
    if any(s not in _BEFORE_FAILURE for s in state.values()):
        return []
    givers = {symbol: atom for atom in atoms for symbol in atom.provides}
    unfinished = [a for a in atoms if state[a.name] != states.SUCCESS]
    asked: set[str] = set()
    lost: list[str] = []
    while unfinished:
        needy = unfinished.pop()
        if not getattr(needy, "reads_artifacts", True):
            continue
        for symbol in needy.requires:
            giver = givers.get(symbol)
            if giver is None or giver.name in asked:
                continue
            asked.add(giver.name)
            if state[giver.name] != states.SUCCESS:
                continue
            if not _holds(giver, storage):
                lost.append(giver.name)
                unfinished.append(giver)
    return lost


# A flow that already reverts is not repaired, it is undone.
_BEFORE_FAILURE = frozenset(
    {states.PENDING, states.RUNNING, states.SUCCESS, states.IGNORE}
)


def _holds(atom: Any, storage: Any) -> bool:
    if not isinstance(atom, plugin.Atom):
        return True
    try:
        return bool(atom.holds(storage.get(atom.name)))
    except Exception:  # a plugin raises anything
        LOG.exception("%s cannot say whether its artifact holds", atom.name)
        return False
