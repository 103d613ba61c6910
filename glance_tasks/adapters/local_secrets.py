# SPDX-License-Identifier: Apache-2.0
"""Secrets sealed into our own database, by keys of the configuration."""

import logging
import threading
from typing import Any

from oslo_config import cfg

from glance_tasks import keyring
from glance_tasks import opts
from glance_tasks import ports

LOG = logging.getLogger(__name__)


class LocalSecrets:
    """Seal secrets with the keys of ``[glance_tasks_secrets]``.

    Where none are configured, with those of a file in the data directory,
    which is made when the first secret is kept.
    """

    elsewhere = False

    def __init__(self, conf: cfg.ConfigOpts, engine: Any = None) -> None:
        """Read the keys that are configured; the file is not looked at yet.

        :raises ConfigurationError: when a key cannot be one
        """
        # By index: an attribute of this name is the mapping's own.
        self.source = keyring.KeySource(
            conf.glance_tasks_secrets["keys"], opts.key_file(conf)
        )
        self._ring: keyring.Keyring | None = None
        self._lock = threading.Lock()

    def keep(self, task_id: str, name: str, value: bytes) -> ports.KeptSecret:
        """Seal a value with the first key."""
        ring = self.ring()
        sealed = ring.seal(value, _context(task_id, name))
        return ports.KeptSecret(ring.first, sealed)

    def reveal(self, task_id: str, name: str, kept: ports.KeptSecret) -> bytes:
        """Open what was sealed with any of the keys."""
        return self.ring().open(
            kept.key_id, kept.sealed, _context(task_id, name)
        )

    def forget(
        self, task_id: str, name: str, kept: ports.KeptSecret | None
    ) -> None:
        """Do nothing: the row was all there was of it."""

    def ring(self) -> keyring.Keyring:
        """Give the keys.

        :raises SecretsUnavailable: when their file cannot be used; what is
            wrong with it is logged
        """
        with self._lock:
            if self._ring is None:
                self._ring = keyring.Keyring(self.source.load())
            return self._ring


def _context(task_id: str, name: str) -> bytes:
    """Give what binds a sealed value to its place.

    Put into another task's row, or under another name, it does not open.
    """
    return f"{task_id}/{name}".encode()
