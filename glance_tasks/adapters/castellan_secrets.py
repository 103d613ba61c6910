# SPDX-License-Identifier: Apache-2.0
"""Secrets in Barbican, or another key manager that castellan speaks to.

Our database keeps where they lie, and nothing of the values.
"""

from collections.abc import Iterator
import contextlib
import logging
from typing import Any

from castellan import key_manager
from castellan.common import exception as castellan_exceptions
from castellan.common import utils as castellan_credentials
from castellan.common.objects import opaque_data
from oslo_config import cfg
from oslo_context import context as oslo_context

from glance_tasks import exceptions
from glance_tasks import ports

LOG = logging.getLogger(__name__)

_KEY_ID = "castellan"


class CastellanSecrets:
    """Keep secrets in the key manager of ``[key_manager]``.

    Castellan's own options, among them those of the login, are read from the
    same configuration. Safe to share between threads, as castellan's key
    managers are.
    """

    elsewhere = True

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        engine: Any = None,
        *,
        manager: key_manager.key_manager.KeyManager | None = None,
    ) -> None:
        """Load the key manager; it is not asked for anything yet.

        :param manager: instead of the one that is configured
        """
        self._conf = conf
        self._manager = manager or key_manager.API(conf)

    def keep(self, task_id: str, name: str, value: bytes) -> ports.KeptSecret:
        """Store a value; what is kept is its reference."""
        secret = opaque_data.OpaqueData(value, name=_called(task_id, name))
        with _in_words("store"):
            reference = self._manager.store(self._who(), secret)
        return ports.KeptSecret(_KEY_ID, str(reference).encode())

    def reveal(self, task_id: str, name: str, kept: ports.KeptSecret) -> bytes:
        """Get the value, if it is what was stored under this name."""
        with _in_words("get"):
            found = self._manager.get(self._who(), kept.sealed.decode())
        if found.name != _called(task_id, name):
            raise exceptions.SecretsUnavailable(
                "the key manager has another secret in its place"
            )
        return bytes(found.get_encoded() or b"")

    def forget(
        self, task_id: str, name: str, kept: ports.KeptSecret | None
    ) -> None:
        """Delete the value; where it is not known, look for its name.

        Castellan 5.8 lists no more than the ten that Barbican gives at once,
        so there a store that was cut can stay: one secret of no task.
        """
        with _in_words("delete"):
            if kept is not None:
                self._delete(kept.sealed.decode())
                return
            who = self._who()
            for found in self._manager.list(who, metadata_only=True):
                if found.name == _called(task_id, name) and found.id:
                    self._delete(found.id)

    def _delete(self, reference: str) -> None:
        with contextlib.suppress(
            castellan_exceptions.ManagedObjectNotFoundError
        ):
            self._manager.delete(self._who(), reference)

    def _who(self) -> Any:
        """Give who asks: the service itself, as tasks outlive any token."""
        conf = self._conf
        conf.register_opts(
            castellan_credentials.credential_opts,
            group=castellan_credentials.OPT_GROUP,
        )
        if conf.key_manager.auth_type is None:
            # Vault's login is among the options of its own.
            return oslo_context.RequestContext()
        return castellan_credentials.credential_factory(conf)


def _called(task_id: str, name: str) -> str:
    return f"glance-tasks {task_id} {name}"


@contextlib.contextmanager
def _in_words(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        LOG.warning("The key manager refused to %s a secret: %s", what, error)
        raise exceptions.SecretsUnavailable(
            f"the key manager refused to {what} it ({type(error).__name__});"
            " the log of the service says more"
        ) from error
