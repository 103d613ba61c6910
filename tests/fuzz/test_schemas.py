# SPDX-License-Identifier: Apache-2.0
"""Any JSON is a task, or is refused with pointers to what does not fit."""

import json
import re

import hypothesis
from hypothesis import strategies as st
import pytest

import glance_tasks as gt
from glance_tasks import exceptions
from glance_tasks import plugin
from glance_tasks import schema
from glance_tasks.persistence import listing as gt_listing
from glance_tasks_flows import importing
from tests.support import engines
from tests.support import fuzzing

URI = "https://images.example/disk.qcow2"
GOOD = {
    "import_from": URI,
    "import_from_format": "qcow2",
    "checksum": "sha256:" + "0" * 64,
    "image_properties": {"name": "disk", "tags": ["a", "b"], "min_disk": 1},
}

texts = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        [
            *(
                URI,
                "qcow2",
                "raw",
                "ami",
                "bare",
                "id",
                "size",
                "\0",
                "\ud800",
            ),
            *("http://[", "file:///etc/passwd", "sha256:", "x" * 300, "a/~b"),
            *(f"http://u:p@{'a' * 300}/", "http://127.0.0.1/", "//h/", "h:"),
        ]
    ),
)
scalars = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), texts),
    st.sampled_from([2**31, -1, 10**400, 1e308]),
)
json_values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)
    ),
    max_leaves=8,
)


def nested(depth, kind):
    """Give a list of lists, or an object of objects."""
    value = 0
    for _ in range(depth):
        value = [value] if kind == "list" else {"a": value}
    return value


def copied(value):
    """Give an equal value that is another one."""
    return json.loads(json.dumps(value))


deep = st.builds(
    nested,
    st.sampled_from([20, 99, 100, 101, 300, 800, 900]),
    st.sampled_from(["list", "object"]),
)
# Hypothesis gives its tests 2,000 frames more than others have; what compares
# these two takes three a level.
twins = deep.map(lambda value: [value, copied(value)])
values = st.one_of(json_values, json_values, json_values, deep)


@st.composite
def inputs(draw):
    """Draw the input of an import, or what nearly is one."""
    found = json.loads(json.dumps(GOOD))
    for _ in range(draw(st.integers(0, 3))):
        places = [found, found.get("image_properties")]
        place = draw(st.sampled_from([p for p in places if p is not None]))
        if isinstance(place, dict):
            keys = st.sampled_from([*GOOD, *place, "disk_format", "tags"])
            key = draw(st.one_of(keys, texts))
            place[key] = draw(st.one_of(values, twins))
            if draw(st.booleans()):
                place.pop(draw(st.sampled_from(sorted(place))), None)
    return found


def checked(errors, given):
    """Check what an owner is told: pointers into what was given."""
    assert errors
    for pointer, text in errors:
        assert re.fullmatch(r"(/([^~/]|~[01])*)*", pointer, re.DOTALL)
        assert 0 < len(text) < 8000
        assert points(pointer, given) or text == "is required"


def points(pointer, value):
    """Tell whether a JSON pointer, by RFC 6901, leads to something."""
    for word in pointer.split("/")[1:]:
        key = word.replace("~1", "/").replace("~0", "~")
        if isinstance(value, list):
            if not (key.isdigit() and int(key) < len(value)):
                return False
            value = value[int(key)]
        elif isinstance(value, dict) and key in value:
            value = value[key]
        else:
            return False
    return True


@fuzzing.examples(500)
@hypothesis.given(inputs() | values)
def test_a_value_fits_a_schema_or_is_told_where_it_does_not(value):
    try:
        value = plugin.plain(value, "input")
        schema.validate(importing.ImportTask.input_schema, value)
    except exceptions.InvalidInput as error:
        checked(error.errors, value)
    except exceptions.TaskError as error:
        assert error.code == "result_invalid"


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    types = {"import": importing.ImportTask}
    home = tmp_path_factory.mktemp("engine")
    with engines.opened(home, types=types, check_types={}) as opened:
        yield opened


@pytest.mark.fuzz(weight=2.0)
@fuzzing.examples(200)
@hypothesis.given(
    inputs() | values,
    st.sampled_from(["import", "import", "import", "Import", "", "\0"]),
    st.one_of(st.none(), texts),
    st.integers(-(10**7), 10**7),
)
@hypothesis.example(GOOD, "import", "alpha", 0)
def test_a_submission_is_a_task_or_a_refusal(
    engine, given, kind, owner, priority
):
    try:
        made = engine.submit(kind, given, owner=owner, priority=priority)
    except exceptions.InvalidInput as error:
        outside = {"owner", "priority"}
        inside = [e for e in error.errors if e[0] not in outside]
        if inside:
            checked(inside, given)
        return
    except exceptions.TaskTypeNotFound:
        assert kind != "import"
        return

    assert made == engine.get(made.id)
    assert made.input == json.loads(json.dumps(given))
    assert (made.owner, made.priority) == (owner or "", priority)


@fuzzing.examples(300)
@hypothesis.given(
    st.dictionaries(
        st.sampled_from(gt_listing.FILTERS) | texts, scalars, max_size=3
    ),
    values,
    texts,
)
def test_a_listing_is_a_list_or_a_refusal(engine, filters, limit, marker):
    try:
        found = engine.find(
            filters=filters,
            limit=limit if isinstance(limit, int) else 5,
            marker=marker or None,
        )
    except (exceptions.InvalidInput, exceptions.TaskNotFound):
        return

    assert all(isinstance(task, gt.Task) for task in found)


# --- plain JSON --------------------------------------------------------------

anything = st.recursive(
    st.one_of(
        *(scalars, st.binary(max_size=3), st.just(object()), st.just({1})),
        st.complex_numbers(),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner, inner),
        st.dictionaries(
            st.one_of(scalars, st.tuples(st.integers())), inner, max_size=3
        ),
    ),
    max_leaves=8,
)


@fuzzing.examples(1000)
@hypothesis.given(st.one_of(anything, anything, deep), st.integers(2, 200))
def test_what_an_atom_gives_is_what_a_reload_gives(value, limit):
    try:
        kept = plugin.plain(value, "an atom", limit)
    except exceptions.TaskError as error:
        assert error.code == "result_invalid"
        return

    text = json.dumps(kept, allow_nan=False)
    assert json.loads(text) == kept
    assert plugin.plain(kept, "an atom", limit) == kept
    assert len(text) <= limit
