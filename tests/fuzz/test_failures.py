# SPDX-License-Identifier: Apache-2.0
"""Whatever an atom raises is a few words of JSON, and holds no secret."""

import functools
import json

import hypothesis
from hypothesis import strategies as st
from taskflow.types import failure as taskflow_failure

import glance_tasks as gt
from glance_tasks import exceptions
from glance_tasks import task
from glance_tasks.persistence import failures
from tests.support import fuzzing

CANARY = "Zq9CANARY"
ADDRESS = f"http://user:{CANARY}@source.example/image?sig={CANARY}"


class Unspeakable:
    """An object that raises whatever is asked of it."""

    def __init__(self, error):
        self.error = error

    def __str__(self):
        raise self.error

    __repr__ = __str__


class Mute(Exception):
    """An exception that cannot be told."""

    def __str__(self):
        raise self.args[0]


class Odd(Exception):
    """An exception whose text is none."""

    def __str__(self):
        return self.args[0]


texts = st.one_of(
    st.text(max_size=20),
    st.sampled_from([ADDRESS, "a\0b", "\ud800", "a\nb", "x" * 99]),
    st.integers(1, 100_000).map("x".__mul__),
)


def later(make, *makers):
    """Give what makes an object of what others make.

    Hypothesis shows what it draws, and these objects do not let themselves be
    shown.
    """
    return lambda: make(*(maker() for maker in makers))


def thing(value):
    """Give what makes that value."""
    return lambda: value


def told(kind, code, advice, text, *pairs):
    """Give an error that its owner may read."""
    detail = dict(zip(pairs[::2], pairs[1::2], strict=False))
    return kind(text, code=code, advice=advice, detail=detail)


def caused(error, cause):
    """Give an error with a cause."""
    error.__cause__ = cause
    return error


things = st.one_of(
    *(texts, st.binary(max_size=5), st.integers(), st.floats(), st.none()),
    st.sampled_from([object(), dict]),
    st.lists(texts, max_size=2).map(tuple),
).map(thing) | st.sampled_from([ValueError, SystemExit]).map(
    lambda kind: later(Unspeakable, kind)
)
known = st.builds(
    lambda kind, code, advice, given: later(
        functools.partial(told, kind, code, advice), *given
    ),
    st.sampled_from([gt.TaskError, gt.FetchError, exceptions.UnsafeImage]),
    st.none() | st.sampled_from([*exceptions.FAILURES, "own"]),
    st.none() | texts,
    st.lists(things, min_size=1, max_size=5),
)
foreign = st.builds(
    lambda kind, given: later(kind, *given),
    st.sampled_from(
        [
            *(ValueError, KeyError, OSError, Mute, Odd, RuntimeError),
            *(SystemExit, KeyboardInterrupt, GeneratorExit, StopIteration),
            *(AssertionError, MemoryError, RecursionError),
        ]
    ),
    st.lists(things, min_size=1, max_size=3),
)
errors = st.recursive(
    st.one_of(known, foreign),
    lambda inner: st.one_of(
        st.builds(lambda *given: later(caused, *given), inner, inner),
        st.builds(
            lambda text, given: later(
                lambda *found: BaseExceptionGroup(text, found), *given
            ),
            st.text(max_size=5),
            st.lists(inner, min_size=1, max_size=2),
        ),
    ),
    max_leaves=4,
)


class Raise(gt.Atom):
    """Raise what it was made with."""

    behaviour = "idempotent"

    def __init__(self, error):
        super().__init__()
        self.error = error

    def execute(self):
        """Raise it."""
        raise self.error


def failure_of(error):
    """Give the failure that TaskFlow makes of what an atom raises."""
    try:
        Raise(error).execute()
    except BaseException:  # noqa: BLE001 - what is raised is the question
        return taskflow_failure.Failure()


@fuzzing.examples(600)
@hypothesis.given(errors, st.none() | st.just("step-1"))
def test_whatever_is_raised_can_be_stored_and_told(make, step):
    kept = failures.reduce(failure_of(make()), step)

    text = json.dumps(kept, ensure_ascii=False)
    assert CANARY not in text
    assert len(text) < 200_000
    told = task.Failure.from_dict(kept["failure"])
    assert told.to_dict() == kept["failure"]
    assert "\0" not in told.message
    stored = json.loads(text)
    assert failures.reduce(failures.restore(stored), step) == stored


@fuzzing.examples(600)
@hypothesis.given(errors)
def test_an_error_is_put_into_words_its_owner_may_read(make):
    error = make()

    told = failures.of_error(error, "step")

    assert CANARY not in told.message
    assert json.loads(json.dumps(told.to_dict())) == told.to_dict()
    if not isinstance(error, gt.TaskError):
        assert told.code == "internal"
