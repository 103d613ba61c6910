# SPDX-License-Identifier: Apache-2.0
"""What ends tasks from outside: cancels, deadlines, deaths of conductors.

See :mod:`tests.support.faults`.
"""

import time

from tests.support import engines
from tests.support import faults
from tests.support import task_types


def _cut(where, end, *, given=None, call=1, **options):
    """Arrange that the run dies behind a call, and what happens then."""
    name, method = where

    def arrange(stage):
        stage.option("glance_tasks", **options)
        found = given(stage) if given else stage.given()
        how = {"call": call, "times": None, "side": "after"}
        died = task_types.Died("as a kill would")

        def play(task):
            with stage.monkeypatch.context() as patch:
                stage.breaks(name, method, patch, error=died, **how)
                end(stage, task)
            return stage.kit.run(task.id)

        stage.play = play
        return found

    return arrange


def _cancel(stage, task):
    engines.die(stage.kit.engine)
    reason = f"not wanted at https://me:{faults.CANARY}@host/"
    stage.kit.engine.cancel(task.id, reason=reason)


def _let_pass(stage, task):
    engines.die(stage.kit.engine)
    stage.kit.clock.advance(3600)


def _die_again(stage, task):
    engine = stage.kit.engine
    engines.die(engine)
    # Lives in which a step finished do not count.
    while engine.get(task.id).attempts < 2:
        engines.die(engine)


def stops(kind, step, *where, **how):
    """Give the cases of a type that is stopped behind a call of a port."""
    late = {"time_limit": [f"{kind}:60"], **how}
    dying = {"max_attempts": 2, **how}
    return {
        "cancelled": (
            _cut(where, _cancel, **how),
            step,
            "cancelled",
            "by the operator: not wanted at https://***@host/",
        ),
        "a deadline": (
            _cut(where, _let_pass, **late),
            step,
            "deadline_passed",
            "longer than the 60 s",
        ),
        "a deadly step": (
            _cut(where, _die_again, **dying),
            step,
            "gave_up",
            "died 2 times in a row without getting any further",
        ),
    }


def hangs(name, atom, *, given=None):
    """Arrange that a store takes longer than a step may."""

    def arrange(stage):
        stage.monkeypatch.setattr(atom, "time_limit", 0.1)
        found = given(stage) if given else stage.given()

        def put(*words, stop, **named):
            # Its end comes with the conductor's pulse.
            for _ in range(1000):
                stop.wait(0.02)
            raise AssertionError("nobody has stopped it")

        stage.broken.append(
            lambda task: stage.monkeypatch.setattr(
                stage.port(name), "put", put
            )
        )
        return found

    return arrange


def waits(atom):
    """Arrange a deletion that is waited for longer than a step may take."""

    def arrange(stage):
        stage.monkeypatch.setattr(atom, "time_limit", 0.1)
        return stage.given(delay=4.0)

    return arrange


class _Slow:
    """Knows every project, after a while."""

    def exists(self, project_id):
        """Take a while."""
        time.sleep(0.02)
        return True


def slow_directory(atom):
    """Arrange that to ask for all projects takes longer than it may."""

    def arrange(stage):
        stage.monkeypatch.setattr(atom, "time_limit", 0.1)
        stage.parts["projects"] = _Slow()
        return stage.given(projects=[f"p-{number}" for number in range(256)])

    return arrange
