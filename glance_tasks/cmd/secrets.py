# SPDX-License-Identifier: Apache-2.0
"""Commands about the keys that secrets of tasks are sealed with."""

import argparse
from typing import Any

from glance_tasks import exceptions
from glance_tasks import keyring
from glance_tasks.adapters import local_secrets
from glance_tasks.cmd import answers
from glance_tasks.secrets import rotation


class SecretKey(answers.Answer):
    """Print a new random key, as the option keys takes it.

    Nothing is stored: put it first in the option, or in the file of keys.
    """

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Print it."""
        self.app.stdout.write(f"{keyring.new_key().line()}\n")


class SecretRotate(answers.ShowAnswer):
    """Seal the secrets of all tasks again, with the first key.

    Exit 1 when the keys of some are not here. Tasks may run meanwhile.
    """

    _left = 0

    def run(self, parsed_args: Any) -> int:
        """Run the command; exit 1 when some are left."""
        code = super().run(parsed_args)
        return code or (answers.TASK_FAILED if self._left else answers.DONE)

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Rotate, and say how many."""
        engine = self.engine()
        store = engine.secret_store
        if not isinstance(store, local_secrets.LocalSecrets):
            raise exceptions.ConfigurationError(
                "the secret store is not 'local'; where secrets lie"
                " elsewhere, their keys are rotated there"
            )
        first = store.ring().first
        done = rotation.rotate(engine.database, store, first)
        self._left = done.left
        return answers.columns(
            {"key": first, "sealed": done.sealed, "left": done.left},
            parsed_args.formatter,
        )
