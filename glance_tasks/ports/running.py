# SPDX-License-Identifier: Apache-2.0
"""What a run gives its atoms: files, signals, and somebody who listens."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any
from typing import Protocol
from typing import TypedDict


class Artifact(TypedDict, total=False):
    """A file an atom leaves in the work directory, as JSON for the next one.

    ``name`` is relative to the work directory, because another conductor has
    its work directory elsewhere. Digests are lower-case hexadecimal, and
    those that were not computed are absent.

    ``sha256`` is for the atoms alone: Glance shows ``checksum``, which is the
    MD5, and the hash. So is ``spent``: the name of a file that this one was
    made from, and that nobody needs any more once this is checkpointed.

    ``content_digest`` is the guest content digest, ``gcd1:HEX``: of the disk
    inside, whatever the format.
    """

    name: str
    size: int
    checksum: str
    sha256: str
    spent: str
    os_hash_algo: str
    os_hash_value: str
    disk_format: str
    virtual_size: int
    content_digest: str


class StopSignal(Protocol):
    """Tells a running atom that it must leave.

    Look at it at least once a second; leave by letting :meth:`check` raise.
    """

    def check(self) -> None:
        """Return at once while the run may go on.

        :raises RunInterrupted: when the atom must leave, as if it had died
        :raises TaskError: when the task's verdict is in and it must revert
        """

    def undoing(self) -> AbstractContextManager[None]:
        """While it is open, :meth:`check` raises no verdict in this thread."""

    def wait(self, seconds: float) -> None:
        """Wait that long, or until :meth:`check` would raise, and check."""


class Fence(Protocol):
    """Asked before an effect that a successor must not suffer from."""

    @property
    def number(self) -> int:
        """This run's number; that of any successor is larger."""

    def check(self) -> None:
        """Ask the database whether this run still holds the task.

        :raises LeaseLost: when it does not
        """


class Progress(Protocol):
    """Takes the progress of the atom at work; cheap enough for every chunk."""

    def bytes(self, done: int, total: int | None) -> None:
        """Report ``done`` of ``total`` bytes; None while it is not known."""

    def advanced(self) -> None:
        """Report that what is on disk now would survive this process.

        A task that advances between two deaths is not stuck: the death does
        not count as an attempt.
        """


class EventLog(Protocol):
    """Takes what happened to a task, for its timeline."""

    def append(
        self,
        kind: str,
        text: str = "",
        *,
        atom: str | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        """Note one event.

        :param kind: one word, such as ``atom_finished``
        :param text: one scrubbed line
        :param detail: JSON for the operator, scrubbed
        """
