# SPDX-License-Identifier: Apache-2.0
"""What makes an atom leave, and what it does not hear while it undoes."""

import threading
import time

import pytest

import glance_tasks as gt
from glance_tasks import exceptions
from glance_tasks import stopping
from glance_tasks import verdicts
from glance_tasks.testing import doubles

VERDICT = gt.TaskError("enough", code="gave_up")


def begun(fence, claim_ttl):
    return stopping.RunSignal(fence, claim_ttl, time.monotonic())


@pytest.fixture
def signal():
    return begun(doubles.OpenFence(), 60.0)


def test_a_run_that_may_go_on_is_not_stopped(signal):
    signal.check()
    signal.wait(0)

    assert not signal.interrupted


@pytest.mark.parametrize("ask", ["check", "wait"])
def test_an_interrupt_makes_atoms_leave(signal, ask):
    signal.interrupt()

    with pytest.raises(exceptions.RunInterrupted):
        getattr(signal, ask)(*([60] if ask == "wait" else []))
    assert signal.interrupted


def test_an_interrupt_ends_a_wait(signal):
    left = []

    def wait():
        try:
            signal.wait(600)
        except exceptions.RunInterrupted:
            left.append("interrupted")

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    signal.interrupt()
    thread.join(60)

    assert left == ["interrupted"]


def test_a_verdict_makes_atoms_fail_again_and_again(signal):
    signal.condemn(VERDICT)

    for _ in range(2):
        with pytest.raises(gt.TaskError) as caught:
            signal.check()
        assert caught.value is VERDICT


def test_a_verdict_is_not_heard_by_what_undoes(signal):
    signal.condemn(VERDICT)

    with signal.undoing():
        signal.check()

    with pytest.raises(gt.TaskError):
        signal.check()


def test_a_verdict_is_not_heard_after_an_undoing_within_another(signal):
    # A revert() that calls its base's revert() first.
    signal.condemn(VERDICT)

    with signal.undoing():
        with signal.undoing():
            signal.check()
        signal.check()


def test_a_verdict_is_heard_by_other_threads_while_one_undoes(signal):
    signal.condemn(VERDICT)
    heard = []

    def other():
        try:
            signal.check()
        except gt.TaskError as error:
            heard.append(error)

    with signal.undoing():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()

    assert heard == [VERDICT]


def test_an_interrupt_is_heard_by_what_undoes(signal):
    signal.interrupt()

    with signal.undoing(), pytest.raises(exceptions.RunInterrupted):
        signal.check()


def test_a_run_whose_lease_was_renewed_asks_nobody():
    signal = begun(doubles.LostFence(), 60.0)

    signal.check()


def test_a_run_that_may_have_been_frozen_asks_the_fence_before_it_goes_on():
    signal = begun(doubles.LostFence(), -1.0)

    with pytest.raises(exceptions.LeaseLost), signal.undoing():
        signal.check()


# --- what nothing can undo ---------------------------------------------------

CANCELLED = verdicts.cancelled("by me")
LATE = exceptions.TaskError("too late", code="deadline_passed")


@pytest.fixture
def final(signal):
    """Give a signal of a run whose final atom has begun."""
    signal.enter_final()
    return signal


def test_a_cancel_that_came_first_is_heard(signal):
    signal.condemn(CANCELLED)
    signal.enter_final()

    with pytest.raises(exceptions.TaskError):
        signal.check()


def test_a_cancel_behind_the_point_of_no_return_is_not(final):
    final.condemn(CANCELLED)
    final.enter_final()

    final.check()


def test_nor_is_one_that_came_behind_it_in_another_run(signal):
    signal.condemn(CANCELLED)
    signal.enter_final(done=True)

    signal.check()


def test_it_does_not_keep_other_verdicts_out(final):
    final.condemn(CANCELLED)
    final.condemn(LATE)

    with pytest.raises(exceptions.TaskError, match="too late"):
        final.check()


class _Frozen:
    """Tasks whose first answers come after a freeze that began before them."""

    def __init__(self, monkeypatch, answers):
        """Give ``answers`` in turn, each a second late but the last."""
        self._answers, self._now = list(answers), 0.0
        monkeypatch.setattr(time, "monotonic", lambda: self._now)

    def holds(self, task_id, fence):
        """Give the next answer."""
        if len(self._answers) > 1:
            self._now += 1.0
            return self._answers.pop(0)
        return self._answers[0]


def test_an_answer_from_before_a_freeze_is_not_believed(monkeypatch):
    tasks = _Frozen(monkeypatch, [True, False])
    fence = stopping.RunFence(tasks, "task", 1)

    with pytest.raises(exceptions.LeaseLost):
        fence.check()


def test_an_answer_that_is_late_once_does_not_end_a_run(monkeypatch):
    stopping.RunFence(_Frozen(monkeypatch, [True, True]), "task", 1).check()


def test_where_every_answer_is_late_nobody_can_say(monkeypatch):
    tasks = _Frozen(monkeypatch, [True] * 20)

    with pytest.raises(exceptions.DatabaseGone, match="more than"):
        stopping.RunFence(tasks, "task", 1).check()
