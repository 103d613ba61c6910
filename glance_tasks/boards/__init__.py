# SPDX-License-Identifier: Apache-2.0
"""The job board: which tasks wait, and which conductor holds which."""

from collections.abc import Collection
from collections.abc import Iterable
import dataclasses
from typing import Any
from typing import Protocol

from glance_tasks import task

#: Seconds within which whoever holds a task must answer a call: by renewing
#: its lease. A conductor looks twice a second.
CALL_S = 5.0


@dataclasses.dataclass(frozen=True, slots=True)
class Claim:
    """A task held by a conductor until its lease lapses.

    :ivar task: as it is after the claim; ``task.fence`` is the claim's number
    :ivar holder: the name of the conductor
    :ivar since: the monotonic clock before the claim was made: a process that
        was frozen right behind it must not take its lease for a new one
    :ivar lapsed: the conductor that held it before, when its lease lapsed
    :ivar contested: whether that one may be frozen, and thaw at any time
    """

    task: task.Task
    holder: str
    since: float
    lapsed: str | None = None
    contested: bool = False


class Board(Protocol):
    """A queue with leases. Safe to share between threads and processes.

    ``connection`` is the open transaction of whoever calls, for boards that
    live in the same database; others ignore it.
    """

    def post(
        self,
        connection: Any,
        task_id: str,
        priority: int,
        *,
        again: bool = False,
    ) -> None:
        """Queue a task; the larger ``priority``, the sooner it runs.

        :param again: whether it has run before
        """

    def withdraw(
        self, connection: Any, task_id: str, claim: Claim | None = None
    ) -> bool:
        """Take a task off the board that nobody holds, but for ``claim``.

        :returns: False when somebody holds it
        """

    def call(
        self, connection: Any, task_id: str, *, urgent: bool = False
    ) -> None:
        """Have a task looked at: within :data:`CALL_S`, if it is held.

        A lease ends then, unless it is renewed. What was set aside is ready.

        :param urgent: whether it goes before all that wait
        """

    def claim(
        self,
        holder: str,
        ttl: float,
        task_id: str | None = None,
        but: Collection[str] = (),
    ) -> Claim | None:
        """Take the next task (or that one) for ``ttl`` seconds.

        Of several conductors one gets it. The claim raises the task's fence
        in the same transaction.

        :param but: task types that are left to others
        :returns: None when there is none to take
        """

    def renew(self, claims: Iterable[Claim], ttl: float) -> list[Claim]:
        """Prolong leases by ``ttl`` seconds from now; give those lost."""

    def give_back(self, claim: Claim, delay: float = 0.0) -> bool:
        """Let anybody take the task, after ``delay`` seconds.

        :returns: False when the claim had been lost
        """

    def set_aside(self, connection: Any, claim: Claim) -> None:
        """Keep the task from being taken until :meth:`wake`."""

    def wake(self, older_than: float, task_id: str | None = None) -> None:
        """Let tasks be taken that were set aside that many seconds ago.

        :param task_id: only that one
        """

    def lapse(self, claim: Claim) -> None:
        """Let go of a task as if its holder had died: that is an attempt."""

    def release(self, holder: str) -> int:
        """Let the leases of a conductor lapse that is known to be dead.

        :returns: how many tasks it held
        """

    def pending(self, but: Collection[str] = ()) -> int:
        """Count the tasks that wait or are held, without those set aside.

        :param but: task types that do not count
        """
