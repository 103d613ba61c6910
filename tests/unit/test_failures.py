# SPDX-License-Identifier: Apache-2.0
"""Whatever an atom raises is kept as a few words of JSON, scrubbed."""

import json

import pytest
from taskflow.types import failure as taskflow_failure

import glance_tasks as gt
from glance_tasks import exceptions
from glance_tasks.persistence import failures
from tests.support.errors import CANARY
from tests.support.errors import KINDS


def caught(error):
    """Give the failure TaskFlow makes of an error that was raised."""
    try:
        raise error
    except type(error):
        return taskflow_failure.Failure()


of_every_kind = pytest.mark.parametrize("kind", KINDS)


@of_every_kind
def test_a_failure_is_json_that_every_database_takes(kind):
    kept = failures.reduce(caught(KINDS[kind]), "Atom")

    text = json.dumps(kept, ensure_ascii=False)
    assert "\0" not in text and "\\u0000" not in text
    text.encode("utf-8")


@of_every_kind
def test_a_failure_is_small(kind):
    kept = failures.reduce(caught(KINDS[kind]), "Atom")

    assert len(json.dumps(kept)) < 64 * 1024
    assert len(kept["failure"]["summary"]) < 4 * 1024


@of_every_kind
def test_a_failure_holds_no_credential(kind):
    assert CANARY not in json.dumps(failures.reduce(caught(KINDS[kind]), "A"))


@of_every_kind
def test_the_message_of_a_failure_is_text_that_every_database_takes(kind):
    message = failures.of_error(KINDS[kind], "Atom").message

    assert "\0" not in message
    message.encode("utf-8")


@of_every_kind
def test_a_failure_that_was_stored_comes_back_as_it_was(kind):
    kept = json.loads(json.dumps(failures.reduce(caught(KINDS[kind]), "Atom")))

    again = failures.reduce(failures.restore(kept), "Atom")

    assert again == kept


def test_only_a_task_errors_text_reaches_the_owner():
    told = failures.of_error(gt.TaskError("12 of 20 bytes came"), "Fetch")
    other = failures.of_error(ValueError("/srv/secret/path"), "Fetch")

    assert told.summary == "12 of 20 bytes came"
    assert "/srv" not in other.message
    assert "ValueError" in other.message


@pytest.mark.parametrize(
    "error", [ValueError("x"), gt.TaskError("x")], ids=["foreign", "internal"]
)
def test_what_has_no_better_word_gets_a_support_id(error):
    known = failures.of_error(error)

    assert known.code == "internal"
    assert known.support_id
    assert known.support_id in known.message


def test_a_known_cause_needs_no_support_id():
    known = failures.of_error(gt.FetchError("x", code="source_cut"))

    assert known.support_id is None
    assert known.retryable
    assert known.advice == exceptions.FAILURES["source_cut"].advice


def test_a_plugins_own_code_keeps_its_advice():
    known = failures.of_error(KINDS["own code"], "Atom")

    assert (known.code, known.advice, known.retryable) == ("own", "pray", True)


def test_the_operator_gets_text_types_and_traceback():
    kept = failures.reduce(caught(ValueError("the cause")), "Atom")

    assert kept["text"] == "the cause"
    assert kept["types"][0].endswith("ValueError")
    assert "ValueError: the cause" in kept["traceback"]
    assert "test_failures.py" in kept["traceback"]


def test_the_cause_of_a_failure_is_in_its_traceback():
    error = RuntimeError("outer")
    error.__cause__ = ValueError("inner")

    kept = failures.reduce(caught(error), "Atom")

    assert "RuntimeError: outer" in kept["traceback"]
    assert "ValueError: inner" in kept["traceback"]


@pytest.mark.parametrize("code", exceptions.FAILURES)
def test_a_code_explains_itself(code):
    entry = exceptions.FAILURES[code]

    assert entry.code == code
    for text in (entry.summary, entry.advice):
        assert len(text.split()) >= 4
        assert not text.endswith(".")
        assert "error" not in text.lower().split()[:1]


@pytest.mark.parametrize(
    "kind", gt.TaskError.__subclasses__(), ids=lambda kind: kind.__name__
)
def test_an_error_of_ours_has_a_code_of_the_catalogue(kind):
    assert kind("x").code in exceptions.FAILURES
