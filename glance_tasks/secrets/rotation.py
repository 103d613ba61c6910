# SPDX-License-Identifier: Apache-2.0
"""Sealing again, with the first key, what another one sealed."""

import dataclasses

from glance_tasks import exceptions
from glance_tasks import ports
from glance_tasks.persistence import database as db
from glance_tasks.persistence import secrets as rows

# One batch is one transaction, and SQLite has a single writer.
_BATCH = 100


@dataclasses.dataclass(frozen=True, slots=True)
class Rotated:
    """What came of it.

    :ivar sealed: secrets that the first key seals now
    :ivar left: secrets whose key is not here
    """

    sealed: int
    left: int


def rotate(
    database: db.Database, store: ports.SecretStore, first: str
) -> Rotated:
    """Seal all secrets with the first key; cut anywhere, the next goes on.

    Tasks may run and end meanwhile.

    :param first: the name of the first key
    :raises DatabaseUnreachable: when the database is away
    """
    sealed = left = 0
    batch: list[rows.Row] = []
    while True:
        batch = rows.sealed_otherwise(
            database, first, after=batch[-1] if batch else None, limit=_BATCH
        )
        if not batch:
            return Rotated(sealed, left)
        again = [(row, _again(store, row)) for row in batch]
        left += sum(kept is None for _, kept in again)
        with database.write() as connection:
            # A row may be gone by now: its task has ended.
            sealed += sum(
                rows.replace(connection, row, kept)
                for row, kept in again
                if kept is not None
            )


def _again(store: ports.SecretStore, row: rows.Row) -> ports.KeptSecret | None:
    if row.kept is None:
        return None
    try:
        value = store.reveal(row.task_id, row.name, row.kept)
        return store.keep(row.task_id, row.name, value)
    except exceptions.SecretsUnavailable:
        return None
