# SPDX-License-Identifier: Apache-2.0
"""Locations move as the table says; an image's status follows from them."""

import dataclasses
import datetime
import json

import hypothesis
from hypothesis import strategies as st
import pytest

from glance_tasks import exceptions
from glance_tasks import locations
from glance_tasks import task
from glance_tasks.locations import ImageStatus
from glance_tasks.locations import Location
from glance_tasks.locations import LocationStatus

WHEN = datetime.datetime(2026, 11, 21, 12, 0, 0, 250_000, datetime.UTC)
RANK = [status for _, status in locations.STATUSES]

statuses = st.sampled_from(LocationStatus)
some = st.one_of(st.none(), st.text(max_size=5))
single = st.builds(
    Location,
    key=st.text("abc", min_size=1, max_size=2),
    store=st.sampled_from(["", "fast", "cheap"]),
    status=statuses,
    disk_format=st.sampled_from([None, "raw", "qcow2"]),
    size=st.one_of(st.none(), st.integers(0, 1 << 60)),
    content_digest=some,
    deletes_at=st.one_of(st.none(), st.just(WHEN)),
).map(
    lambda one: (
        one
        if one.status is LocationStatus.PENDING_DELETE
        else dataclasses.replace(one, deletes_at=None)
    )
)
held = st.lists(
    single, max_size=6, unique_by=lambda location: location.place
).map(tuple)


# --- the tables --------------------------------------------------------------


def test_no_status_of_a_location_is_a_dead_end_or_out_of_reach():
    moves = [task.Move(*move) for move in locations.MOVES]

    faults = task.check_moves(moves, first="pending", last="deleted")

    assert [f for f in faults if not f.endswith("never named")] == []
    assert {one for move in moves for one in (move.source, move.target)} == (
        set(LocationStatus)
    )


def test_every_status_of_a_location_makes_one_of_an_image():
    assert sorted(one for one, _ in locations.STATUSES) == (
        sorted(LocationStatus)
    )
    assert set(RANK) == set(ImageStatus)


def test_the_drawing_has_every_move():
    drawn = locations.draw_moves().splitlines()

    assert len(drawn) == len(locations.MOVES) + 3
    assert "    active --> pending_delete: delete" in drawn


# --- the image's status ------------------------------------------------------


@hypothesis.given(held, st.randoms())
def test_the_order_of_locations_does_not_matter(some_held, chance):
    shuffled = list(some_held)
    chance.shuffle(shuffled)

    assert locations.status_of(shuffled) == locations.status_of(some_held)


@hypothesis.given(held)
def test_an_image_is_active_exactly_when_a_location_is(some_held):
    any_active = any(one.status == "active" for one in some_held)

    status = locations.status_of(some_held)

    assert (status is ImageStatus.ACTIVE) is any_active
    assert bool(locations.readable(some_held)) is any_active


@hypothesis.given(held, held)
def test_two_sets_of_locations_make_the_better_of_both(first, second):
    hypothesis.assume(first and second)
    ranks = [RANK.index(locations.status_of(one)) for one in (first, second)]

    together = locations.status_of(first + second)

    assert RANK.index(together) == min(ranks)


@hypothesis.given(held)
def test_an_image_is_deleted_exactly_when_all_its_data_is(some_held):
    all_gone = bool(some_held) and all(
        one.status == "deleted" for one in some_held
    )

    assert (locations.status_of(some_held) == "deleted") is all_gone


def test_an_image_without_a_location_is_queued():
    assert locations.status_of(()) is ImageStatus.QUEUED


@pytest.mark.parametrize(
    ("of_locations", "status"),
    [
        ("active pending_delete failed", "active"),
        ("uploading pending_delete", "saving"),
        ("pending failed deleted", "queued"),
        ("pending_delete failed deleted", "pending_delete"),
        ("failed deleted", "killed"),
        ("deleted deleted", "deleted"),
    ],
)
def test_an_image_is_called_what_the_table_says(of_locations, status):
    some_held = [
        Location(str(number), status=LocationStatus(word))
        for number, word in enumerate(of_locations.split())
    ]

    assert locations.status_of(some_held) == status


# --- changes -----------------------------------------------------------------


@hypothesis.given(held, single, statuses)
def test_a_location_moves_only_as_the_table_says(some_held, one, target):
    start = (*locations.drop(some_held, one.place), one)
    legal = one.status == target or locations.may_move(one.status, target)

    try:
        moved = locations.move(start, one.place, target)
    except exceptions.CatalogueError as error:
        assert not legal
        assert error.code == "location_conflict"
    else:
        assert legal
        assert moved[:-1] == start[:-1]
        assert (moved[-1].place, moved[-1].status) == (one.place, target)


@hypothesis.given(held, single)
def test_a_place_is_taken_once(some_held, one):
    taken = {other.place for other in some_held}

    try:
        now = locations.add(some_held, one)
    except exceptions.CatalogueError:
        assert one.place in taken
    else:
        assert one in now
        assert locations.add(now, one) == now
        assert len({other.place for other in now}) == len(now)


@hypothesis.given(held)
def test_what_is_marked_and_restored_is_as_before(some_held):
    before = locations.restore(some_held)

    marked = locations.mark(before, WHEN)

    assert locations.status_of(marked) is not ImageStatus.ACTIVE
    assert locations.restore(marked) == before


@hypothesis.given(held, single)
def test_what_has_begun_to_go_does_not_come_back(some_held, one):
    going = dataclasses.replace(
        one, status=LocationStatus.PENDING_DELETE, deletes_at=WHEN
    )
    start = (*locations.drop(some_held, one.place), going)

    begun = locations.begin_deletion(start, one.place)

    assert locations.restore(begun)[-1].status == "pending_delete"
    assert locations.begin_deletion(begun, one.place) == begun


def test_what_was_restored_does_not_go():
    restored = (Location("a"),)

    with pytest.raises(exceptions.CatalogueError, match="undone") as caught:
        locations.begin_deletion(restored, restored[0].place)

    assert caught.value.code == "deletion_undone"


def test_one_place_can_be_marked_alone():
    some_held = (Location("a"), Location("a", store="fast"))

    marked = locations.mark(some_held, WHEN, [("fast", "a")])

    assert [one.status for one in marked] == ["active", "pending_delete"]
    assert locations.status_of(marked) is ImageStatus.ACTIVE


def test_who_takes_only_some_formats_is_given_only_those():
    some_held = (
        Location("a", disk_format="raw"),
        Location("b", disk_format="qcow2"),
        Location("c", disk_format="raw", status=LocationStatus.FAILED),
    )

    assert locations.readable(some_held, ["raw", "vmdk"]) == some_held[:1]
    assert locations.readable(some_held) == some_held[:2]


@pytest.mark.parametrize(
    "change",
    [
        lambda some: locations.add(some, Location("secret", size=3)),
        lambda some: locations.move(some, ("", "secret"), "deleted"),
        lambda some: locations.move(some, ("", "other"), "deleted"),
    ],
)
def test_a_refusal_does_not_tell_the_key_of_the_data(change):
    with pytest.raises(exceptions.CatalogueError) as caught:
        change((Location("secret"),))

    assert "secret" not in str(caught.value)


# --- as JSON -----------------------------------------------------------------


@hypothesis.given(held)
def test_locations_come_back_from_json_as_they_were(some_held):
    text = json.dumps([one.to_dict() for one in some_held])

    back = tuple(Location.from_dict(one) for one in json.loads(text))

    assert back == some_held


def test_what_a_later_release_adds_is_left_out():
    stored = {**Location("a").to_dict(), "region": "north"}

    assert Location.from_dict(stored) == Location("a")
