# SPDX-License-Identifier: Apache-2.0
"""Certifies a task type: makes all trials, or one of them again."""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import random
import time

from glance_tasks import exceptions
from glance_tasks.testing.certification import case as cases
from glance_tasks.testing.certification import certificate
from glance_tasks.testing.certification import grounds
from glance_tasks.testing.certification import kinds
from glance_tasks.testing.certification import lives
from glance_tasks.testing.certification import patience
from glance_tasks.testing.certification import processes
from glance_tasks.testing.certification import subject as subjects
from glance_tasks.testing.certification.kinds import cancel
from glance_tasks.testing.certification.kinds import cut
from glance_tasks.testing.certification.kinds import freeze
from glance_tasks.testing.certification.kinds import graph
from glance_tasks.testing.certification.kinds import kill
from glance_tasks.testing.certification.kinds import lost
from glance_tasks.testing.certification.kinds import odd
from glance_tasks.testing.certification.kinds import rerun
from glance_tasks.testing.certification.kinds import room
from glance_tasks.testing.certification.kinds import secret
from glance_tasks.testing.certification.kinds import shared
from glance_tasks.testing.certification.kinds import stop
from glance_tasks.testing.certification.kinds import undo

#: The kinds of trial, those that tell most and cost least first.
KINDS: tuple[kinds.Kind, ...] = (
    graph.Graph(),
    rerun.Rerun(),
    undo.Undo(),
    cancel.Cancel(),
    stop.Stop(),
    lost.Lost(),
    shared.Shared(),
    secret.Secret(),
    odd.Odd(),
    cut.Cut(),
    kill.Kill(),
    freeze.Freeze(),
    room.Room(),
)

#: How many trials of a costly kind are made, of each input, by default.
SAMPLE = 20

_LOOK = "plain"


def _silent(line: str) -> None:
    """Say nothing."""


class Certifier:
    """Makes the trials of one type on one database. For one thread."""

    def __init__(
        self,
        subject: subjects.Subject,
        *,
        database: str = "sqlite",
        sample: int = SAMPLE,
        seed: int | None = None,
        only: Sequence[str] = (),
        say: Callable[[str], None] = _silent,
    ) -> None:
        """Prepare; nothing is started yet.

        :param database: ``sqlite``, ``postgresql`` or ``mysql``; a server is
            started and stopped by the kit
        :param sample: trials of each costly kind; 0 makes all there are
        :param seed: of the samples; a new one when None
        :param only: names of kinds; all when empty
        :param say: is given a line for each kind that is done
        :raises InvalidInput: when a kind or the database is unknown
        """
        known = {kind.name for kind in KINDS}
        faults = [
            (name, f"is no kind; expected one of {', '.join(sorted(known))}")
            for name in only
            if name not in known
        ]
        if database not in grounds.DATABASES:
            expected = ", ".join(grounds.DATABASES)
            faults.append((database, f"is no database; expected {expected}"))
        if not subject.inputs:
            faults.append(
                (
                    "input",
                    "is missing; its schema has no examples either",
                )
            )
        if faults:
            raise exceptions.InvalidInput(faults)
        self._type = subject.load()
        self._subject, self._sample, self._only = subject, sample, only
        self._places = grounds.Grounds(subject, database)
        self._seed = random.randrange(10**6) if seed is None else seed
        self._say = say

    def certify(self) -> certificate.Certificate:
        """Make the trials.

        :raises ServerAbsent: when the database's server is not installed
        """
        began = time.monotonic()
        found: list[certificate.Fault] = []
        with self._places.opened():
            these = [
                cases.Case(self._places, given)
                for given in self._subject.inputs
            ]
            counts = [self._look(these, found)]
            if not found:
                counts += [
                    self._try(kind, these, found)
                    for kind in KINDS
                    if not self._only or kind.name in self._only
                ]
        return certificate.Certificate(
            name=self._subject.name,
            version=".".join(map(str, self._type.version)),
            database=self._places.database,
            seed=self._seed,
            counts=tuple(counts),
            faults=tuple(found),
            notes=() if found and len(counts) == 1 else _notes(these),
            seconds=time.monotonic() - began,
        )

    def replay(self, token: str) -> list[certificate.Fault]:
        """Make one trial again; give its faults.

        :raises InvalidInput: when there is no such trial
        """
        number, name, variant = self._parts(token)
        kind = {kind.name: kind for kind in KINDS}.get(name)
        with self._places.opened():
            case = cases.Case(self._places, self._subject.inputs[number])
            wrong = _patiently(case.look)
            if kind is None or wrong:
                return [
                    certificate.Fault(_LOOK, token, text) for text in wrong
                ]
            known, faults = _variants(kind, case, number)
            if faults:
                return faults
            _check(kind, known, variant, token)
            return self._trial(kind, case, variant, token)

    def _parts(self, token: str) -> tuple[int, str, str]:
        number, _, rest = token.partition("/")
        name, _, variant = rest.partition(":")
        known = {_LOOK, *(kind.name for kind in KINDS)}
        inputs = len(self._subject.inputs)
        if (
            not number.isdecimal()
            or int(number) >= inputs
            or name not in known
        ):
            raise exceptions.InvalidInput(
                [
                    (
                        "replay",
                        f"{token!r} is no token of these {inputs} inputs;"
                        " expected one such as 0/rerun:FetchImage",
                    )
                ]
            )
        return int(number), name, variant

    # --- the trials ----------------------------------------------------------

    def _look(
        self, these: Sequence[cases.Case], found: list[certificate.Fault]
    ) -> certificate.Count:
        """See what each input comes to undisturbed."""
        failed = 0
        for number, case in enumerate(these):
            token = f"{number}/{_LOOK}"
            wrong = _patiently(case.look)
            failed += bool(wrong)
            found += [certificate.Fault(_LOOK, token, t) for t in wrong]
        count = certificate.Count(
            _LOOK,
            "twice undisturbed: success, the same result and traces",
            *(len(these), len(these), failed),
        )
        self._say(f"{count.kind}: {count.made} trials, {count.failed} failed")
        return count

    def _try(
        self,
        kind: kinds.Kind,
        these: Sequence[cases.Case],
        found: list[certificate.Fault],
    ) -> certificate.Count:
        absent = kind.absence()
        there = made = failed = 0
        for number, case in enumerate(these if absent is None else ()):
            variants, wrong = _variants(kind, case, number)
            there, failed = there + len(variants), failed + bool(wrong)
            found += wrong
            for variant in self._chosen(kind, variants):
                token = f"{number}/{kind.name}:{variant}"
                faults = self._trial(kind, case, variant, token)
                made, failed = made + 1, failed + bool(faults)
                found += faults
        count = certificate.Count(
            kind.name, kind.what, there, made, failed, absent
        )
        self._say(f"{kind.name}: {made} trials, {failed} failed")
        return count

    def _chosen(self, kind: kinds.Kind, variants: list[str]) -> list[str]:
        costly = [v for v in variants if kind.costly(v)]
        drawn = set(kinds.drawn(costly, self._sample, self._seed))
        return [v for v in variants if v in drawn or not kind.costly(v)]

    def _trial(
        self, kind: kinds.Kind, case: cases.Case, variant: str, token: str
    ) -> list[certificate.Fault]:
        texts = _patiently(lambda: kind.run(case, variant))
        return [
            certificate.Fault(kind.name, token, text)
            for text in dict.fromkeys(texts)
        ]


def _notes(these: Sequence[cases.Case]) -> tuple[str, ...]:
    return tuple(
        dict.fromkeys(note for case in these for note in case.notes())
    )


def _patiently(work: Callable[[], Iterable[str]]) -> list[str]:
    """Give what is wrong, whatever the type does to the trial."""
    wrong: list[str] = []
    with patience.limited() as limit:
        try:
            wrong += work()
        except (lives.NoEnd, processes.Stuck) as error:
            wrong.append(str(error))
        except Exception as error:  # noqa: BLE001 - a type breaks anything
            wrong.append(f"the run broke: {type(error).__name__}: {error}")
    if limit.lost:
        return [f"it does not end within {patience.LIMIT_S:.0f} s"]
    return wrong


def _variants(
    kind: kinds.Kind, case: cases.Case, number: int
) -> tuple[list[str], list[certificate.Fault]]:
    """Give the variants of a kind, or what keeps them from being counted.

    To count what may be cut the task runs, and fails, and may not end.
    """
    found: list[str] = []

    def fill() -> list[str]:
        found.extend(kind.variants(case))
        return []

    wrong = [
        certificate.Fault(kind.name, f"{number}/{kind.name}", text)
        for text in _patiently(fill)
    ]
    return found, wrong


def _check(
    kind: kinds.Kind, known: list[str], variant: str, token: str
) -> None:
    """Refuse what is no variant; how many points there are may differ."""
    atoms = {one.rpartition(":")[0] for one in known}
    atom, _, number = variant.rpartition(":")
    point = number.isdecimal() and atom in atoms and kind.costly(variant)
    if variant not in known and not point:
        raise exceptions.InvalidInput(
            [
                (
                    "replay",
                    f"{token!r} names no trial; expected for example"
                    f" {kind.name}:{known[0]}",
                )
            ]
        )


def certify(
    name: str,
    inputs: Sequence[Mapping[str, object]] = (),
    *,
    place: str | None = None,
    database: str = "sqlite",
    sample: int = SAMPLE,
    seed: int | None = None,
) -> certificate.Certificate:
    """Certify a task type.

    :param name: under which it is installed
    :param inputs: what its tasks are given; the examples of its schema when
        there are none. Hosts ``*.example`` stand for the kit's source, which
        serves ``/disk.raw`` and ``/disk.qcow2``, and paths below
        ``/scratch.example`` for a directory that is looked at afterwards
    :param place: ``module:Class``, for a type that is not installed
    :param database: ``sqlite``, ``postgresql`` or ``mysql``
    :param sample: trials of each costly kind; 0 makes all there are
    :raises InvalidInput: when there is nothing to give to it
    :raises TaskTypeNotFound: when there is no such type
    :raises ServerAbsent: when the database's server is not installed
    """
    given = tuple(inputs) or tuple(
        subjects.examples(subjects.load(name, place))
    )
    subject = subjects.Subject(name, given, place)
    return Certifier(
        subject, database=database, sample=sample, seed=seed
    ).certify()
