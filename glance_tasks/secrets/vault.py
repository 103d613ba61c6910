# SPDX-License-Identifier: Apache-2.0
"""The vault: keeps the secrets of tasks from submit to end.

A secret that the store keeps elsewhere is noted before it is kept and until
it is forgotten, so that a crash at any point leaves a row that says what is
still to be removed.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import functools
import itertools
import json
import logging
import random
from typing import Any

import sqlalchemy as sa

from glance_tasks import exceptions
from glance_tasks import plugin
from glance_tasks import ports
from glance_tasks import redaction
from glance_tasks import task
from glance_tasks.persistence import database as db
from glance_tasks.persistence import secrets as rows
from glance_tasks.secrets import inputs

LOG = logging.getLogger(__name__)

# So long a submit may be about to keep something.
_SUBMIT_S = 3600.0
# A conductor that sweeps claims nothing meanwhile.
_BATCH = 100


class Vault:
    """The secrets of one database's tasks; safe to share between threads."""

    def __init__(
        self, database: db.Database, store: ports.SecretStore
    ) -> None:
        """Keep secrets in ``store``, and know of them in ``database``."""
        self._database, self._store = database, store

    # --- submit --------------------------------------------------------------

    @contextlib.contextmanager
    def keeping(
        self, task_id: str, secrets: Mapping[str, Any]
    ) -> Iterator[Mapping[str, ports.KeptSecret]]:
        """Keep secrets by name while a task is submitted in the block.

        When the block raises they are forgotten.

        :raises SecretsUnavailable: when they cannot be kept
        :raises DatabaseUnreachable: when the database is away
        """
        if secrets and self._store.elsewhere:
            with self._database.write() as connection:
                rows.intend(connection, task_id, secrets)
        try:
            yield {
                name: self._store.keep(
                    task_id, name, json.dumps(value).encode()
                )
                for name, value in secrets.items()
            }
        except BaseException:
            if secrets:
                self.forget(task_id)
            raise

    def write(
        self,
        connection: sa.Connection,
        task_id: str,
        kept: Mapping[str, ports.KeptSecret],
    ) -> None:
        """Write what :meth:`keeping` gave within the submit's transaction."""
        if kept:
            rows.add(
                connection, task_id, kept, elsewhere=self._store.elsewhere
            )

    # --- a run ---------------------------------------------------------------

    def opened(
        self,
        held: task.Task,
        task_type: plugin.TaskType,
        hidden: redaction.Hidden,
    ) -> dict[str, Any]:
        """Give what the atoms of a run get for the secrets of its task.

        For an address that is the plain text, as atoms that fetch it know
        nothing else; for all others a :class:`ports.Secret`.

        :param hidden: takes what is revealed
        :raises SecretsUnavailable: when an address cannot be read
        """
        names = held.plan.get("secrets", ())
        found = {}
        if names:
            found = {
                row.name: row for row in rows.of_task(self._database, held.id)
            }
        given: dict[str, Any] = {}
        for name in names:
            reveal = functools.partial(
                self._revealed, held.id, name, found.get(name)
            )
            noted = functools.partial(_noted, reveal, task_type, name, hidden)
            if inputs.is_address(task_type, name):
                given[name] = noted()
            else:
                given[name] = ports.Secret(functools.partial(_locked, noted))
        return given

    def _revealed(self, task_id: str, name: str, row: rows.Row | None) -> Any:
        if row is None or row.kept is None:
            raise exceptions.SecretsUnavailable(
                f"the secret {name!r} is not in the database any more"
            )
        if row.elsewhere != self._store.elsewhere:
            raise exceptions.SecretsUnavailable(
                f"the secret {name!r} is kept by another secret_store"
            )
        try:
            return json.loads(self._store.reveal(task_id, name, row.kept))
        except exceptions.SecretsUnavailable as error:
            raise exceptions.SecretsUnavailable(
                f"the secret {name!r} cannot be read: {error}"
            ) from error

    # --- the end -------------------------------------------------------------

    def forget(self, task_id: str) -> None:
        """Remove what the store keeps elsewhere of a task; never raises.

        Of one that has ended or was not submitted: a transaction that seemed
        to fail may have been committed. What cannot be removed now is left to
        :meth:`sweep`.
        """
        if not self._store.elsewhere:
            return
        try:
            for row in rows.strays(self._database, task_id=task_id):
                self._forget(row)
        except exceptions.DatabaseUnreachable as error:
            LOG.warning("Task %s: its secrets are there: %s", task_id, error)

    def sweep(self) -> int:
        """Remove what is kept elsewhere of tasks that have ended; count it.

        Stops at the first refusal, for the store may be away.

        :raises DatabaseUnreachable: when the database is away
        """
        if not self._store.elsewhere:
            return 0
        found = list(rows.strays(self._database, older_than=_SUBMIT_S))
        # In any order: one that is refused for ever may not come first.
        random.shuffle(found)
        swept = itertools.takewhile(self._forget, found[:_BATCH])
        return sum(1 for _ in swept)

    def _forget(self, row: rows.Row) -> bool:
        try:
            self._store.forget(row.task_id, row.name, row.kept)
        except exceptions.SecretsUnavailable as error:
            LOG.warning(
                "Task %s: its secret %r cannot be removed now: %s",
                row.task_id,
                row.name,
                error,
            )
            return False
        rows.remove(self._database, row)
        return True


def _noted(
    reveal: Callable[[], Any],
    task_type: plugin.TaskType,
    name: str,
    hidden: redaction.Hidden,
) -> Any:
    value = reveal()
    hidden.add(inputs.texts(task_type, name, value))
    return value


def _locked(reveal: Callable[[], Any]) -> Any:
    """Give a secret to an atom, or leave the run as a crash would."""
    try:
        return reveal()
    except exceptions.SecretsUnavailable as error:
        raise exceptions.SecretLocked(str(error)) from error
