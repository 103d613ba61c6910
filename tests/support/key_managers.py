# SPDX-License-Identifier: Apache-2.0
"""A key manager of castellan's own tests, kept from engine to engine."""

from castellan.common import exception
from castellan.tests.unit.key_manager import mock_key_manager

import glance_tasks as gt
from glance_tasks.adapters import castellan_secrets
from tests.support import engines
from tests.support import secret_types


class KeyManager(mock_key_manager.MockKeyManager):
    """Castellan's in-process key manager, which can be away.

    :ivar away: whether it refuses everything, by raising ``error``
    """

    def __init__(self):
        """Begin with no keys."""
        super().__init__()
        self.away = False
        self.error: Exception = exception.KeyManagerError(reason="no answer")

    def _ask(self):
        if self.away:
            raise self.error

    def store(self, *args, **kwargs):
        """Store, or refuse."""
        self._ask()
        return super().store(*args, **kwargs)

    def get(self, *args, **kwargs):
        """Get, or refuse."""
        self._ask()
        return super().get(*args, **kwargs)

    def delete(self, *args, **kwargs):
        """Delete, or refuse."""
        self._ask()
        return super().delete(*args, **kwargs)


def make_engine(home, manager):
    """Give an engine whose secrets lie in ``manager``; the caller closes."""
    conf = engines.configuration(home)
    nothing = engines.Nothing()
    return gt.TaskEngine(
        conf,
        types=gt.Registry(types=secret_types.TYPES, checks={}),
        catalogue=nothing,
        store=nothing,
        secret_store=castellan_secrets.CastellanSecrets(conf, manager=manager),
    )
