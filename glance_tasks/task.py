# SPDX-License-Identifier: Apache-2.0
"""What a task is: a frozen snapshot, and the machine of its states.

``status`` is Glance's and all that its clients know; ``phase`` says more.
:data:`MOVES` is the whole machine as data: :func:`check_moves` proves that it
has no dead end and nothing out of reach, and :func:`draw_moves` draws it.
"""

from collections.abc import Iterable
from collections.abc import Mapping
import dataclasses
import datetime
import enum
from typing import Any

from glance_tasks import exceptions


class Status(enum.StrEnum):
    """The four words of Glance's Tasks API; they only ever move on."""

    PENDING = "pending"
    PROCESSING = "processing"
    SUCCESS = "success"
    FAILURE = "failure"

    @property
    def ended(self) -> bool:
        """Whether a task of this status can change no more."""
        return self in (Status.SUCCESS, Status.FAILURE)


class Phase(enum.StrEnum):
    """Where in its life a task is."""

    QUEUED = "queued"
    PROCESSING = "processing"
    TRANSFERRING = "transferring"
    PAUSING = "pausing"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    REVERTING = "reverting"
    DONE = "done"


class Control(enum.StrEnum):
    """What was asked of a task, until whoever holds it has obeyed."""

    PAUSE = "pause"
    CANCEL = "cancel"


class StallReason(enum.StrEnum):
    """Why a living task does not move."""

    CONDUCTOR_LOST = "conductor_lost"
    CONDUCTOR_DIED = "conductor_died"
    CONDUCTOR_FROZEN = "conductor_frozen"
    FAR_END_SILENT = "far_end_silent"
    NO_PROGRESS = "no_progress"


@dataclasses.dataclass(frozen=True, slots=True)
class Stall:
    """That nothing moves, as the conductor that works on a task sees it.

    :ivar seconds: for how long
    """

    seconds: float
    reason: StallReason


#: What an atom may show; the rest is for those who hold the task to say.
AT_WORK = frozenset({Phase.PROCESSING, Phase.TRANSFERRING, Phase.REVERTING})


@dataclasses.dataclass(frozen=True, slots=True)
class Move:
    """One permitted change of phase, and what brings it about."""

    source: Phase
    target: Phase
    cause: str


def _moves() -> Iterable[Move]:
    working = (Phase.PROCESSING, Phase.TRANSFERRING)
    yield Move(Phase.QUEUED, Phase.PROCESSING, "claimed")
    yield Move(Phase.PROCESSING, Phase.TRANSFERRING, "bytes move")
    yield Move(Phase.TRANSFERRING, Phase.PROCESSING, "bytes have moved")
    yield Move(Phase.QUEUED, Phase.PAUSED, "pause")
    yield Move(Phase.QUEUED, Phase.CANCELLING, "cancel")
    yield Move(Phase.PAUSED, Phase.QUEUED, "resume")
    yield Move(Phase.PAUSED, Phase.CANCELLING, "cancel")
    yield Move(Phase.PAUSING, Phase.PAUSED, "the atom left")
    yield Move(Phase.PAUSING, Phase.PROCESSING, "resume")
    yield Move(Phase.PAUSING, Phase.CANCELLING, "cancel")
    yield Move(Phase.PAUSING, Phase.DONE, "ended first")
    yield Move(Phase.PAUSING, Phase.REVERTING, "an atom failed first")
    yield Move(Phase.CANCELLING, Phase.REVERTING, "the atom left")
    yield Move(Phase.CANCELLING, Phase.DONE, "nothing to undo")
    yield Move(Phase.REVERTING, Phase.DONE, "undone")
    for phase in working:
        yield Move(phase, Phase.PAUSING, "pause")
        yield Move(phase, Phase.PAUSED, "pause, while nobody holds it")
        yield Move(phase, Phase.CANCELLING, "cancel")
        yield Move(phase, Phase.REVERTING, "an atom failed")
        yield Move(phase, Phase.DONE, "ended")
        yield Move(Phase.REVERTING, phase, "tried again")


#: Every permitted change of phase. Nothing else may happen to a task.
MOVES: tuple[Move, ...] = tuple(_moves())

#: Where every task begins and where it must be able to end.
FIRST, LAST = Phase.QUEUED, Phase.DONE


def may_move(source: Phase, target: Phase) -> bool:
    """Tell whether a task in ``source`` may go to ``target``."""
    return source == target or any(
        move.source == source and move.target == target for move in MOVES
    )


def _closure(first: str, edges: Iterable[tuple[str, str]]) -> set[str]:
    pairs = set(edges)
    found, frontier = {first}, {first}
    while frontier:
        frontier = {b for a, b in pairs if a in frontier} - found
        found |= frontier
    return found


def check_moves(
    moves: Iterable[Move] = MOVES, *, first: str = FIRST, last: str = LAST
) -> list[str]:
    """List what is wrong with a state machine; an empty list is a good one.

    Finds states no path leads to, states no path leads out of to ``last``,
    moves out of ``last``, moves declared twice, and states of :class:`Phase`
    that no move names.
    """
    edges = [(move.source, move.target) for move in moves]
    named = {first, last, *(state for edge in edges for state in edge)}
    reached = _closure(first, edges)
    ending = _closure(last, [(b, a) for a, b in edges])
    faults = [f"{state} is never reached" for state in named - reached]
    faults += [f"{state} is a dead end" for state in named - ending]
    faults += [f"{last} is left for {b}" for a, b in edges if a == last]
    faults += [
        f"{a} to {b} is declared twice"
        for a, b in set(edges)
        if edges.count((a, b)) > 1
    ]
    faults += [f"{phase} is never named" for phase in set(Phase) - named]
    return sorted(faults)


def draw_moves(moves: Iterable[Move] = MOVES) -> str:
    """Draw the state machine as Mermaid text, one move a line."""
    lines = ["stateDiagram-v2", f"    [*] --> {FIRST}"]
    lines += [f"    {m.source} --> {m.target}: {m.cause}" for m in moves]
    return "\n".join([*lines, f"    {LAST} --> [*]"])


def check_texts(**texts: Any) -> None:
    """Return when every value can be kept, and compared, as a column's text.

    MariaDB takes ``"demo "`` for ``"demo"``, PostgreSQL takes no NUL.

    :raises InvalidInput: with the name of each that is not; None is fine
    """
    faults = [
        (name, "is no text of at most 255 printable characters")
        for name, text in texts.items()
        if text is not None and not _is_plain(text)
    ]
    if faults:
        raise exceptions.InvalidInput(faults)


def _is_plain(text: Any) -> bool:
    return (
        isinstance(text, str)
        and len(text) <= 255
        and text == text.strip()
        and not any(ord(c) < 32 or 0xD800 <= ord(c) <= 0xDFFF for c in text)
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Lock:
    """What a task keeps others from while it lives.

    :ivar resource: kind and id, such as ``image:UUID``; at most 255
        characters
    :ivar exclusive: whether no other task may have it; shared locks go
        together
    """

    resource: str
    exclusive: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Requester:
    """Who asks. Where a call takes None instead, the operator asks.

    :ivar project_id: whose tasks may be seen; becomes a new task's owner
    :raises InvalidInput: when an id is no text that a column can hold
    """

    project_id: str
    user_id: str | None = None
    roles: tuple[str, ...] = ()
    request_id: str | None = None

    def __post_init__(self) -> None:
        """Refuse ids that a database would take for another's."""
        if not self.project_id:
            # Tasks of the operator's own have no owner.
            raise exceptions.InvalidInput([("project_id", "is empty")])
        check_texts(
            project_id=self.project_id,
            user_id=self.user_id,
            request_id=self.request_id,
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Failure:
    """Why a task failed, as far as its owner may know.

    :ivar code: a key of :data:`glance_tasks.exceptions.FAILURES`, or a
        plugin's own
    :ivar step: the name of the atom that failed; None when none did
    :ivar summary: what happened, with the values in it
    :ivar advice: what the owner can do
    :ivar support_id: what to tell the operator; the events carry it too
    :ivar left_behind: what could not be undone, one line each
    """

    code: str
    summary: str
    advice: str
    retryable: bool
    step: str | None = None
    support_id: str | None = None
    left_behind: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        """The one line that ``Task.message`` shows."""
        where = f"{self.step}: " if self.step else ""
        support = f" (support id {self.support_id})" if self.support_id else ""
        left = (
            f". Could not be undone: {'; '.join(self.left_behind)}"
            if self.left_behind
            else ""
        )
        return f"{where}{self.summary}{support}. {self.advice}{left}"

    def to_dict(self) -> dict[str, Any]:
        """Give the JSON form that is stored and shown."""
        return {
            **dataclasses.asdict(self),
            "left_behind": list(self.left_behind),
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> "Failure":
        """Read what :meth:`to_dict` gave."""
        return cls(**{**stored, "left_behind": tuple(stored["left_behind"])})


@dataclasses.dataclass(frozen=True, slots=True)
class Task:
    """A task as it was when it was read; it changes no more.

    Times are UTC with microseconds. ``input`` holds no secret. ``progress``
    is ``{"step", "done_bytes", "total_bytes", "ratio"}``: the atom at work,
    its bytes (``total_bytes`` None while unknown), 0..1 of that step.

    :ivar result: None unless ``status`` is success
    :ivar message: None unless ``status`` is failure
    :ivar plan: what was decided at submit: ids, steps, limits; JSON
    :ivar parent_id: the task that this one is a part of, if any
    :ivar queue_reason: why a queued task does not run, None when it may
    :ivar attempts: lapsed leases in a row during which nothing moved
    :ivar fence: the number of the last claim; it only grows
    :ivar control: what was asked of it and is not done yet
    :ivar control_note: who asked, and why
    :ivar stalled_since: when it last moved; None while it moves, or need not
    :ivar stall_reason: why it does not
    :ivar time_limit: seconds that it may take from its first claim on, without
        those it is paused
    :ivar deadline_at: when it is ended that has not ended by then; None before
        it runs for the first time, or when it may take as long as it likes
    :ivar idempotency_key: chosen by whoever submitted it; an owner's tasks
        have different ones
    """

    id: str
    type: str
    status: Status
    phase: Phase
    owner: str
    input: Mapping[str, Any]
    created_at: datetime.datetime
    updated_at: datetime.datetime
    result: Mapping[str, Any] | None = None
    message: str | None = None
    failure: Failure | None = None
    progress: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    plan: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    image_id: str | None = None
    user_id: str | None = None
    request_id: str | None = None
    retry_of: str | None = None
    parent_id: str | None = None
    queue_reason: str | None = None
    priority: int = 0
    attempts: int = 0
    fence: int = 0
    control: Control | None = None
    control_note: str | None = None
    idempotency_key: str | None = None
    stalled_since: datetime.datetime | None = None
    stall_reason: StallReason | None = None
    time_limit: int | None = None
    deadline_at: datetime.datetime | None = None
    started_at: datetime.datetime | None = None
    finished_at: datetime.datetime | None = None
    expires_at: datetime.datetime | None = None

    @property
    def ended(self) -> bool:
        """Whether the task has reached its final status."""
        return self.status.ended
