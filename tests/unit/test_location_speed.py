# SPDX-License-Identifier: Apache-2.0
"""The fastest place is read from, and found again when that changes."""

import concurrent.futures
import dataclasses
import json
import os
import random
import subprocess
import sys

import hypothesis
from hypothesis import strategies as st
import pytest

import glance_tasks as gt
from glance_tasks import location_speed
from glance_tasks import registry
from glance_tasks.adapters.sql_catalogue import tables
from glance_tasks.location_speed import Speed
from glance_tasks.persistence import events
from glance_tasks.persistence import models

MIB = 1 << 20
METADATA = (models.METADATA, tables.METADATA)
SHOWN = (gt.Task, gt.Failure, gt.Image, gt.Location, events.Event)


class World:
    """Places that answer at given speeds, read by whoever ranks them.

    :ivar rates: bytes per second, by place; None fails
    """

    def __init__(self, rates, latency=0.01):
        """Begin with these rates."""
        self.rates = dict(rates)
        self.latency = latency
        self.read = []

    def use(self, book, times=1):
        """Read so often from what ``book`` puts first."""
        for _ in range(times):
            place = book.rank(sorted(self.rates))[0]
            self.read.append(place)
            rate = self.rates[place]
            if rate is None:
                book.note_failure(place)
            else:
                book.note(place, latency=self.latency, rate=rate)


def book(path=None, seed=1):
    return location_speed.SpeedBook(path, chance=random.Random(seed).random)


def settled(**rates):
    """Give a book without chance that knows these rates."""
    kept = location_speed.SpeedBook(chance=lambda: 1.0)
    for place, rate in rates.items():
        kept.note(place, latency=0.01, rate=rate)
    return kept


def test_every_place_is_tried_before_any_is_preferred():
    world = World({"a": MIB, "b": 100 * MIB, "c": 10 * MIB})

    world.use(location_speed.SpeedBook(chance=lambda: 1.0), 3)

    assert sorted(world.read) == ["a", "b", "c"]


def test_the_fastest_is_read_from():
    world = World({"slow": MIB, "fast": 100 * MIB, "middling": 10 * MIB})

    world.use(book(), 200)

    assert world.read.count("fast") > 180


def test_a_place_that_became_fast_is_found_and_then_read_from():
    world = World({"a": 100 * MIB, "b": MIB})
    kept = book()
    world.use(kept, 100)

    world.rates["b"] = 1000 * MIB
    world.use(kept, 200)

    assert world.read[100:].count("b") > 100
    assert world.read[-50:].count("b") > 40


def test_a_place_that_became_slow_is_left():
    world = World({"a": 100 * MIB, "b": 50 * MIB})
    kept = book()
    world.use(kept, 100)

    world.rates["a"] = MIB
    world.use(kept, 100)

    assert world.read[-50:].count("b") > 40


def test_a_place_that_fails_is_left_and_taken_up_again():
    world = World({"a": 100 * MIB, "b": 50 * MIB})
    kept = book()
    world.use(kept, 50)

    world.rates["a"] = None
    world.use(kept, 100)
    failing = world.read[-50:].count("a")
    world.rates["a"] = 100 * MIB
    world.use(kept, 400)

    assert failing < 10
    assert world.read[-50:].count("a") > 40


def test_chance_alone_decides_when_another_place_is_tried():
    kept = settled(a=100 * MIB, b=10 * MIB, c=MIB)

    usual = kept.rank(["c", "b", "a"])
    draws = iter([0.0, 0.99])
    kept._chance = lambda: next(draws)

    assert usual == ["a", "b", "c"]
    assert kept.rank(["c", "b", "a"]) == ["c", "a", "b"]


def test_the_same_chance_makes_the_same_choices():
    rates = {"a": MIB, "b": 2 * MIB, "c": 3 * MIB}
    first, second = World(rates), World(rates)

    first.use(book(seed=7), 100)
    second.use(book(seed=7), 100)

    assert first.read == second.read


def test_a_place_that_answers_late_but_fast_wins_for_large_reads():
    kept = location_speed.SpeedBook(chance=lambda: 1.0)
    kept.note("near", latency=0.001, rate=10 * MIB)
    kept.note("far", latency=0.5, rate=100 * MIB)

    assert kept.rank(["near", "far"]) == ["far", "near"]


@hypothesis.given(
    st.lists(st.sampled_from("abcdef"), unique=True),
    st.lists(st.tuples(st.sampled_from("abcdef"), st.floats(0, 1e12))),
    st.integers(0, 1000),
)
def test_whatever_was_noted_every_place_is_ranked_once(found, noted, seed):
    kept = book(seed=seed)
    for place, rate in noted:
        kept.note(place, latency=rate / 1e12, rate=rate)
        kept.note_failure(place)

    assert sorted(kept.rank(found)) == sorted(found)


def test_anything_with_a_place_can_be_ranked():
    kept = settled(a=MIB, b=100 * MIB)

    ranked = kept.rank([("a", 1), ("b", 2)], lambda one: one[0])

    assert ranked == [("b", 2), ("a", 1)]


def test_threads_may_share_a_book():
    kept = book()

    def work(number):
        for _ in range(200):
            kept.note(f"place-{number}", latency=0.0, rate=number * MIB)
            kept.rank(["place-1", "place-2", "place-3"])

    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(1, 5)))

    speeds = [kept.speed(f"place-{number}").rate for number in range(1, 5)]
    assert speeds == pytest.approx([n * MIB for n in range(1, 5)])


def test_only_so_many_places_are_remembered():
    kept = book()

    for number in range(location_speed._MAX_PLACES + 10):
        kept.note(str(number), latency=0.0, rate=1.0)

    assert kept.speed("9") is None
    assert kept.speed("10") is not None


# --- the file ----------------------------------------------------------------


def test_what_was_saved_is_known_to_the_next_process(tmp_path):
    path = tmp_path / "new" / "speed.json"
    first = book(path)
    first.note("a", latency=0.25, rate=5.0)
    first.note_failure("b")

    first.save()

    second = book(path)
    assert second.speed("a") == first.speed("a")
    assert second.speed("b") == first.speed("b")
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rubbish",
        "[]",
        "\udcff",
        '{"a": 1}',
        '{"a": {"latency": 1}}',
        '{"a": {"latency": "1", "rate": 1, "errors": 0}}',
        '{"a": {"latency": NaN, "rate": 1, "errors": 0}}',
        '{"a": {"latency": -1, "rate": 1, "errors": 0}}',
        '{"a": {"latency": 1, "rate": Infinity, "errors": 0}}',
        "[" * 100_000,
    ],
)
def test_rubbish_in_the_file_is_ignored(tmp_path, text):
    path = tmp_path / "speed.json"
    path.write_bytes(text.encode(errors="surrogateescape"))

    kept = book(path)

    assert kept.rank(["b", "a"]) == ["b", "a"]
    assert kept.speed("a") is None


def test_of_a_file_with_rubbish_the_rest_is_used(tmp_path):
    path = tmp_path / "speed.json"
    good = {"latency": 1.0, "rate": 2.0, "errors": 0.5}
    path.write_text(json.dumps({"a": good, "b": None}))

    assert book(path).speed("a") == location_speed.Speed(1.0, 2.0, 0.5)


def test_a_file_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / "file").touch()
    kept = book(tmp_path / "file" / "speed.json")
    kept.note("a", latency=0.0, rate=1.0)

    kept.save()

    assert kept.speed("a") is not None


# --- alone -------------------------------------------------------------------


def test_the_module_needs_the_standard_library_alone():
    words = "import sys; before = set(sys.modules)"
    words += "; import glance_tasks.location_speed"
    words += "; print(*(set(sys.modules) - before))"
    done = subprocess.run(
        [sys.executable, "-c", words],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )

    loaded = {name.partition(".")[0] for name in done.stdout.split()}

    assert loaded - sys.stdlib_module_names == {"glance_tasks"}
    assert {
        n for n in done.stdout.split() if n.startswith("glance_tasks")
    } == {
        *("glance_tasks", "glance_tasks.location_speed"),
    }


def names_in_schemas(value):
    """Give every property that a schema speaks of."""
    if isinstance(value, dict):
        yield from value.get("properties", ())
        for inner in value.values():
            yield from names_in_schemas(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from names_in_schemas(inner)


def test_no_figure_stands_in_a_table_or_in_what_owners_are_shown():
    figures = {field.name for field in dataclasses.fields(Speed)} | {"speed"}
    types = registry.Registry()
    shown = {
        *(c.name for m in METADATA for t in m.tables.values() for c in t.c),
        *(f.name for kind in SHOWN for f in dataclasses.fields(kind)),
        *names_in_schemas(
            [
                schema
                for name in types.names()
                for schema in (
                    types.get(name).input_schema,
                    types.get(name).result_schema,
                )
            ]
        ),
    }

    assert {"locations", "attempts", "import_from"} <= shown
    assert not shown & figures
