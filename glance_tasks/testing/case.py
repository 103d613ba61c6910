# SPDX-License-Identifier: Apache-2.0
"""A test case that runs tasks of the types it is about."""

from collections.abc import Mapping
from typing import Any
from typing import ClassVar

import testtools

from glance_tasks import engine as task_engine
from glance_tasks import plugin
from glance_tasks import task
from glance_tasks.testing import clock
from glance_tasks.testing import engines
from glance_tasks.testing import http_source
from glance_tasks.testing import leftovers
from glance_tasks.testing import sources


class TaskTypeTestCase(testtools.TestCase):
    """Tests of task types, each with an engine and a source of its own.

    :cvar types: task types by name; those installed when None
    :cvar checks: check atoms by name; those installed when None
    :cvar options: of the group ``glance_tasks``
    :cvar settings: options of other groups, by the groups' names
    :ivar source: a scripted HTTP source on loopback, which may be fetched from
    :ivar fixture: what holds the engine
    """

    types: ClassVar[Mapping[str, type[plugin.TaskType]] | None] = None
    checks: ClassVar[Mapping[str, type[plugin.Atom]] | None] = None
    options: ClassVar[Mapping[str, Any]] = {}
    settings: ClassVar[engines.Settings] = {}

    source: http_source.HttpSource
    fixture: engines.EngineFixture

    def setUp(self) -> None:
        """Start the source and make the engine."""
        super().setUp()
        self.source = self.useFixture(sources.SourceFixture()).source
        self.fixture = self.useFixture(self.make_fixture())

    def make_fixture(self) -> engines.EngineFixture:
        """Give what will hold the engine; override it for another one.

        Here is the place for a :class:`FailingStore`, a :class:`FullDisk` or
        the database of a :class:`PostgreSQLFixture`.
        """
        return engines.EngineFixture(
            types=self.types,
            checks=self.checks,
            settings=self.settings,
            **self.options,
        )

    @property
    def engine(self) -> task_engine.TaskEngine:
        """The engine, another one after ``fixture.restart()``."""
        return self.fixture.engine

    @property
    def clock(self) -> clock.FakeClock:
        """Makes time pass for the engine's database."""
        return self.fixture.clock

    def run_task(
        self,
        type_name: str,
        task_input: Mapping[str, Any],
        *,
        owner: str = "project",
    ) -> task.Task:
        """Submit a task and run it to its end in this thread.

        :raises AssertionError: when it did not end, such as when its undoing
            waits for a catalogue that is away
        :raises InvalidInput: when the input does not fit the type
        """
        submitted = self.engine.submit(type_name, task_input, owner=owner)
        return self.fixture.run(submitted.id)

    def assertSucceeds(self, ended: task.Task) -> Mapping[str, Any]:
        """Fail unless the task succeeded; give its result.

        The failure shows the task's timeline with the tracebacks in it.
        """
        if ended.status is not task.Status.SUCCESS:
            self.fail(
                f"{_outcome(ended)}; expected success{self._told(ended)}"
            )
        return ended.result or {}

    def assertFails(
        self, ended: task.Task, code: str, step: str | None = None
    ) -> task.Failure:
        """Fail unless the task failed so; give its failure.

        :param code: the failure code
        :param step: the name of the atom that failed; None does not look
        """
        failure = ended.failure
        if (
            failure is None
            or failure.code != code
            or step not in (None, failure.step)
        ):
            where = f" at {step}" if step else ""
            self.fail(
                f"{_outcome(ended)}; expected the failure {code}{where}"
                f"{self._told(ended)}"
            )
        return failure

    def assertNothingLeft(self) -> None:
        """Fail when a task left something behind; see find_leftovers."""
        found = leftovers.find_leftovers(self.engine)
        if found:
            self.fail("\n- ".join(["left behind; expected nothing:", *found]))

    def _told(self, ended: task.Task) -> str:
        lines = [""]
        for event in self.engine.events(ended.id):
            lines.append(f"{event.kind} {event.atom or ''}: {event.text}")
            if event.detail and "traceback" in event.detail:
                lines.append(str(event.detail["traceback"]))
        return "\n".join(lines)


def _outcome(ended: task.Task) -> str:
    if ended.failure is not None:
        return (
            f"task {ended.id} failed with {ended.failure.code} at"
            f" {ended.failure.step}: {ended.message}"
        )
    return f"task {ended.id} is {ended.status}, {ended.phase}"
