# SPDX-License-Identifier: Apache-2.0
"""The stand-ins for the ports do what the ports promise."""

import pytest

import glance_tasks as gt
from glance_tasks import exceptions
from glance_tasks import testing


def test_a_stop_signal_comes_with_the_chosen_check_and_stays():
    stop = testing.StopAfter(3)
    stop.check()
    stop.wait(3600)

    for _ in range(2):
        with pytest.raises(exceptions.RunInterrupted):
            stop.check()


def test_a_stop_signal_brings_the_verdict_it_was_given():
    stop = testing.StopAfter(1, gt.TaskError("cancelled", code="cancelled"))

    with pytest.raises(gt.TaskError, match="cancelled"):
        stop.check()


def test_a_stop_signal_comes_when_its_condition_holds():
    seen = []
    stop = testing.StopWhen(lambda: len(seen) == 1)
    stop.check()

    seen.append("it")

    with pytest.raises(gt.LeaseLost):
        stop.wait(3600)


def test_an_undoing_goes_on_under_every_signal():
    for stop in testing.NeverStop(), testing.StopAfter(9):
        with stop.undoing():
            stop.check()


def test_a_lost_fence_lets_nobody_through():
    assert testing.LostFence(4).number == 4

    with pytest.raises(gt.LeaseLost):
        testing.LostFence().check()


def test_progress_and_events_are_kept_in_their_order():
    progress, events = testing.RecordingProgress(), testing.RecordingEvents()

    progress.bytes(1, None)
    progress.bytes(2, 2)
    progress.advanced()
    events.append("began")
    events.append("found", "a thing", atom="Look", detail={"n": 1})

    assert progress.reports == [(1, None), (2, 2)]
    assert progress.advances == 1
    assert events.kinds == ["began", "found"]
    assert events.noted[1] == testing.Noted(
        "found", "a thing", "Look", {"n": 1}
    )
