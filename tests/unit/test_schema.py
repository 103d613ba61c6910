# SPDX-License-Identifier: Apache-2.0
"""Misfits of an input are named where they are."""

import pytest

from glance_tasks import exceptions
from glance_tasks import schema

SCHEMA = {
    "type": "object",
    "required": ["source"],
    "additionalProperties": False,
    "properties": {
        "source": {
            "type": "object",
            "required": ["uri"],
            "additionalProperties": False,
            "properties": {
                "uri": {"type": "string", "format": "uri"},
                "a/b~c": {"type": "integer"},
            },
        },
        "tags": {"type": "array", "items": {"type": "string"}},
        "disk_format": {"enum": ["raw", "qcow2"]},
        "size": {"anyOf": [{"type": "integer", "minimum": 1}, {"const": 0}]},
    },
}
URI = "https://source.example/image"


def misfits(value, of=SCHEMA):
    with pytest.raises(exceptions.InvalidInput) as caught:
        schema.validate(of, value)
    return dict(caught.value.errors)


def test_what_fits_is_let_through():
    schema.validate(SCHEMA, {"source": {"uri": URI}, "tags": ["a"]})


@pytest.mark.parametrize(
    ("value", "pointer"),
    [
        ({}, "/source"),
        ({"source": {}}, "/source/uri"),
        ({"source": {"uri": 7}}, "/source/uri"),
        ({"source": {"uri": URI, "a/b~c": "x"}}, "/source/a~1b~0c"),
        ({"source": {"uri": URI}, "tags": ["a", 1]}, "/tags/1"),
        ({"source": {"uri": URI}, "disk_format": "tar"}, "/disk_format"),
        ({"source": {"uri": URI}, "size": "big"}, "/size"),
        ([], ""),
    ],
)
def test_a_misfit_is_pointed_at(value, pointer):
    assert list(misfits(value)) == [pointer]


def test_a_missing_field_is_said_to_be_required():
    assert misfits({}) == {"/source": "is required"}


def test_every_misfit_is_named_at_once():
    found = misfits({"source": {"uri": 7}, "tags": 1, "disk_format": "tar"})

    assert set(found) == {"/source/uri", "/tags", "/disk_format"}


def test_an_unknown_field_is_met_with_the_nearest_known():
    found = misfits({"source": {"uri": URI}, "disc_format": "raw"})

    assert found == {
        "/disc_format": "is not known; did you mean 'disk_format'?"
    }


def test_an_unknown_field_like_no_other_is_met_with_the_list():
    found = misfits({"source": {"uri": URI, "zzz": 1}})

    assert found == {
        "/source/zzz": "is not known; expected one of ['uri', 'a/b~c']"
    }


@pytest.mark.parametrize(
    "uri", ["not a uri", "//host/path", "http://[::1", ""]
)
def test_the_format_uri_is_checked(uri):
    assert list(misfits({"source": {"uri": uri}})) == ["/source/uri"]


def test_of_alternatives_the_nearest_is_explained():
    found = misfits({"source": {"uri": URI}, "size": -5})

    assert "-5 is less than the minimum of 1" in found["/size"]


@pytest.mark.parametrize(
    "value",
    [
        {"source": {"uri": URI}, "tags": list(range(5000))},
        {"source": {"uri": URI}, **{f"k{n}": n for n in range(5000)}},
    ],
)
def test_a_hostile_input_gets_a_short_answer(value):
    found = misfits(value)

    assert len(found) <= 20
    assert all(len(text) < 1000 for text in found.values())


def test_a_schema_that_is_none_is_refused():
    with pytest.raises(exceptions.BrokenPlugin, match=r"\$\.type"):
        schema.check_schema({"type": "objekt"})


@pytest.mark.parametrize(
    ("given", "example"),
    [
        ({"type": "object", "examples": [{"a": 1}]}, {"a": 1}),
        (
            {
                "type": "object",
                "required": ["a", "b", "c", "d", "e"],
                "properties": {
                    "a": {"type": "string", "minLength": 2},
                    "b": {"type": "integer", "minimum": 4},
                    "c": {"enum": ["raw"]},
                    "d": {"type": ["boolean", "null"]},
                    "e": {"type": "array"},
                },
            },
            {"a": "xx", "b": 4, "c": "raw", "d": True, "e": []},
        ),
    ],
)
def test_an_example_fits_the_schema_it_is_made_of(given, example):
    assert schema.example(given) == example
    schema.validate(given, schema.example(given))


def test_an_example_of_a_uri_is_one():
    given = {"type": "string", "format": "uri"}

    schema.validate(given, schema.example(given))
