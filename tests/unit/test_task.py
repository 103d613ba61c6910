# SPDX-License-Identifier: Apache-2.0
"""The machine of a task's states, and the snapshot that shows it."""

import dataclasses
import itertools

import pytest

from glance_tasks import exceptions
from glance_tasks import task

QUEUED, PROCESSING, DONE = (
    task.Phase.QUEUED,
    task.Phase.PROCESSING,
    task.Phase.DONE,
)


def test_the_machine_has_no_fault():
    assert task.check_moves() == []


def test_a_missing_way_out_is_a_dead_end():
    moves = [m for m in task.MOVES if m.source is not task.Phase.REVERTING]

    assert "reverting is a dead end" in task.check_moves(moves)


def test_a_missing_way_in_is_never_reached():
    moves = [m for m in task.MOVES if m.target is not task.Phase.CANCELLING]

    assert "cancelling is never reached" in task.check_moves(moves)


def test_a_loop_without_a_way_out_is_a_dead_end():
    moves = [
        task.Move(QUEUED, DONE, "ended"),
        task.Move(QUEUED, task.Phase.PAUSED, "pause"),
        task.Move(task.Phase.PAUSED, task.Phase.PAUSING, "round"),
        task.Move(task.Phase.PAUSING, task.Phase.PAUSED, "and round"),
    ]

    faults = task.check_moves(moves)

    assert "paused is a dead end" in faults
    assert "pausing is a dead end" in faults


def test_an_end_that_is_left_again_is_a_fault():
    moves = [*task.MOVES, task.Move(DONE, PROCESSING, "again")]

    assert task.check_moves(moves) == ["done is left for processing"]


def test_a_move_that_is_declared_twice_is_a_fault():
    moves = [*task.MOVES, task.Move(QUEUED, PROCESSING, "claimed again")]

    faults = task.check_moves(moves)

    assert faults == ["queued to processing is declared twice"]


def test_a_phase_that_no_move_names_is_a_fault():
    moves = [
        m
        for m in task.MOVES
        if task.Phase.TRANSFERRING not in (m.source, m.target)
    ]

    assert task.check_moves(moves) == ["transferring is never named"]


@pytest.mark.parametrize(
    ("source", "target"), [*itertools.product(task.Phase, task.Phase)]
)
def test_what_may_move_is_what_is_declared(source, target):
    declared = {(m.source, m.target) for m in task.MOVES}

    assert task.may_move(source, target) == (
        source == target or (source, target) in declared
    )


def test_a_task_whose_part_is_tried_again_works_again():
    assert task.may_move(task.Phase.REVERTING, PROCESSING)


def test_the_drawing_has_every_move_once():
    drawn = task.draw_moves().splitlines()

    assert drawn[0] == "stateDiagram-v2"
    assert drawn[1] == "    [*] --> queued"
    assert drawn[-1] == "    done --> [*]"
    assert drawn[2:-1] == [
        f"    {m.source} --> {m.target}: {m.cause}" for m in task.MOVES
    ]


@pytest.mark.parametrize("status", task.Status)
def test_success_and_failure_are_the_only_ends(status):
    assert status.ended == (status.value in ("success", "failure"))


def failure(**chosen):
    return task.Failure(
        **{
            "code": "source_cut",
            "summary": "12 of 20 bytes came",
            "advice": "Retry the task",
            "retryable": True,
            **chosen,
        }
    )


def test_a_failure_comes_back_from_its_json():
    known = failure(step="FetchImage", left_behind=("a", "b"))

    assert task.Failure.from_dict(known.to_dict()) == known


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({}, "12 of 20 bytes came. Retry the task"),
        (
            {"step": "FetchImage"},
            "FetchImage: 12 of 20 bytes came. Retry the task",
        ),
        (
            {"support_id": "s1"},
            "12 of 20 bytes came (support id s1). Retry the task",
        ),
        (
            {"left_behind": ("a: x", "b: y")},
            "12 of 20 bytes came. Retry the task."
            " Could not be undone: a: x; b: y",
        ),
    ],
)
def test_a_message_says_where_what_and_what_to_do(chosen, message):
    assert failure(**chosen).message == message


def test_a_snapshot_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        failure().code = "internal"


@pytest.mark.parametrize("name", ["project_id", "user_id", "request_id"])
@pytest.mark.parametrize(
    "text", ["x" * 256, "a\0b", "a\ud800b", "x ", " x", 7, b"x"], ids=ascii
)
def test_a_requester_is_made_of_text_that_every_database_takes(name, text):
    with pytest.raises(exceptions.InvalidInput) as caught:
        task.Requester(**{"project_id": "demo", name: text})

    assert [pointer for pointer, _ in caught.value.errors] == [name]


def test_a_requester_of_no_project_is_refused():
    # Tasks of the operator's own have no owner either.
    with pytest.raises(exceptions.InvalidInput, match="project_id"):
        task.Requester("")


def test_a_requester_needs_no_more_than_a_project():
    asking = task.Requester("demo")

    assert (asking.user_id, asking.request_id, asking.roles) == (
        None,
        None,
        (),
    )
