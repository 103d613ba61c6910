# SPDX-License-Identifier: Apache-2.0
"""What is secret, and what keeps it."""

from collections.abc import Callable
import dataclasses
from typing import Any
from typing import NoReturn
from typing import Protocol


class Secret:
    """A value that only an atom at work may see.

    It shows itself as ``***``, is no JSON and cannot be pickled or copied.
    """

    __slots__ = ("_reveal",)

    def __init__(self, reveal: Callable[[], Any]) -> None:
        """Have ``reveal`` give the value, each time it is asked for."""
        self._reveal = reveal

    def reveal(self) -> Any:
        """Give the value, JSON; keep it no longer than you need it.

        What was revealed is struck from the failures, events and logs of the
        run, and refused in results.

        :raises SecretLocked: when it cannot be read now; let it pass: the
            task waits
        """
        return self._reveal()

    def __repr__(self) -> str:
        return "***"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret cannot be pickled or copied")


@dataclasses.dataclass(frozen=True, slots=True)
class KeptSecret:
    """What the database keeps of a secret.

    :ivar key_id: of the key, or the place, that it is kept with
    :ivar sealed: the value, encrypted; or where it lies
    """

    key_id: str
    sealed: bytes


class SecretStore(Protocol):
    """Keeps secrets of tasks until they end.

    Every method raises ``SecretsUnavailable``, with a text for the operator,
    when a key is missing or the store is away.
    """

    @property
    def elsewhere(self) -> bool:
        """Whether values lie outside our database, and must be forgotten."""

    def keep(self, task_id: str, name: str, value: bytes) -> KeptSecret:
        """Keep a value, so that only this task's secret of this name is it."""

    def reveal(self, task_id: str, name: str, kept: KeptSecret) -> bytes:
        """Give the value back."""

    def forget(self, task_id: str, name: str, kept: KeptSecret | None) -> None:
        """Remove a value that lies elsewhere; absence is no error.

        :param kept: None when :meth:`keep` was cut: whatever it left
        """
