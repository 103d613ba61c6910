# SPDX-License-Identifier: Apache-2.0
"""A suite of test cases says of a task what went wrong with it."""

import pathlib
import unittest

import pytest
import testtools

from glance_tasks import testing
from tests.support import task_types


class OneCase(testing.TaskTypeTestCase):
    """Runs whatever the test of this module gives it."""

    types = task_types.TYPES
    checks = task_types.CHECKS
    options = {"max_attempts": 3}
    settings = {"glance_tasks_fetch": {"max_bytes": 7}}

    __test__ = False

    def __init__(self, act):
        super().__init__("act")
        self._act = act

    def act(self):
        self._act(self)


@pytest.fixture
def said(world):
    """Run one test case; give what its result says, or None."""

    def run(act):
        result = unittest.TestResult()
        OneCase(act).run(testtools.ExtendedToOriginalDecorator(result))
        assert not result.errors
        assert result.testsRun == 1
        return result.failures[0][1] if result.failures else None

    return run


def test_a_task_that_succeeds_passes_and_gives_its_result(said, world):
    results = []

    def act(case):
        task = case.run_task("line", world.given())
        results.append(case.assertSucceeds(task))
        assert task.owner == "project"
        case.assertNothingLeft()

    assert said(act) is None
    assert results[0]["steps"][0] == "given-step-0"


def test_a_failure_that_was_not_expected_is_told_with_its_traceback(
    said, world
):
    def act(case):
        case.assertSucceeds(
            case.run_task("line", world.given(exit_at="step-1"))
        )

    text = said(act)

    assert "failed with internal at step-1" in text
    assert "expected success" in text
    assert "atom_finished step-0" in text
    assert "SystemExit: 3" in text


def test_the_expected_failure_passes_and_is_given(said, world):
    failures = []

    def act(case):
        task = case.run_task("line", world.given(fail_at="step-1"), owner="o")
        failures.append(case.assertFails(task, "check_refused"))
        case.assertFails(task, "check_refused", step="step-1")
        assert task.owner == "o"

    assert said(act) is None
    assert failures[0].summary == "step-1 was told so"


@pytest.mark.parametrize(
    ("told", "expected", "text"),
    [
        ({}, ["disk_full"], "is success, done; expected the failure disk_f"),
        ({"fail_at": "step-1"}, ["disk_full"], "failed with check_refused"),
        (
            {"fail_at": "step-1"},
            ["check_refused", "step-2"],
            "expected the failure check_refused at step-2",
        ),
    ],
)
def test_another_outcome_than_expected_is_told(
    said, world, told, expected, text
):
    def act(case):
        task = case.run_task("line", world.given(**told))
        case.assertFails(task, *expected)

    assert text in said(act)


def test_what_is_left_behind_is_listed(said):
    def act(case):
        stray = case.fixture.home / "store" / "stray"
        stray.parent.mkdir()
        stray.touch()
        case.assertNothingLeft()

    assert "- store: the object stray, of no image" in said(act)


def test_a_case_has_an_engine_a_source_and_a_clock_of_its_own(said, world):
    seen = []

    def act(case):
        conf = case.engine.conf
        seen.append((conf.glance_tasks.max_attempts, case.fixture.home))
        assert conf.glance_tasks_fetch.max_bytes == 7
        assert case.engine.registry.checks(["refuse"])
        assert case.source.url("/a").startswith("http://127.0.0.1:")
        case.clock.advance(60)
        before = case.engine
        case.fixture.restart()
        assert case.engine is not before

    assert said(act) is None
    assert said(act) is None
    assert [attempts for attempts, _ in seen] == [3, 3]
    assert not any(pathlib.Path(home).exists() for _, home in seen)
