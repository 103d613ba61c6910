# SPDX-License-Identifier: Apache-2.0
"""The contract of atoms and task types, as far as no engine is needed."""

import contextlib
import errno
import math
import types

import pytest

import glance_tasks as gt
from glance_tasks import exceptions
from glance_tasks import plugin


class Stop:
    """A stop signal that a test sets."""

    def __init__(self, error=None):
        """Raise ``error`` when asked, unless it is None."""
        self.error = error

    def check(self):
        """Raise what was given."""
        if self.error is not None:
            raise self.error

    def wait(self, seconds):
        """Check at once."""
        self.check()

    def undoing(self):
        """Hear everything all the same."""
        return contextlib.nullcontext()


def context(stop=None):
    return types.SimpleNamespace(stop=stop or Stop())


class Give(gt.Atom):
    """Give or raise what it was made with."""

    behaviour = "idempotent"

    def __init__(self, what, ctx=None):
        """Give ``what``."""
        super().__init__(ctx)
        self.what = what

    def execute(self):
        """Give it, or raise it."""
        if isinstance(self.what, BaseException):
            raise self.what
        return self.what

    def revert(self, **kwargs):
        """Do the same."""
        if isinstance(self.what, BaseException):
            raise self.what
        return self.what


def test_an_atom_is_named_after_its_class_wherever_that_lives():
    assert Give(1).name == "Give"


def test_an_atom_keeps_the_name_it_is_given():
    class Named(Give):
        def __init__(self):
            plugin.Atom.__init__(self, name="chosen")

    assert Named().name == "chosen"


@pytest.mark.parametrize(
    ("given", "reloaded"),
    [
        ((1, (2, 3)), [1, [2, 3]]),
        ({1: "a", None: "b", False: 0}, {"1": "a", "null": "b", "false": 0}),
        ("\ud800", "\ud800"),
        ("a\0b", "a\0b"),
        (None, None),
        (0.1, 0.1),
    ],
)
def test_a_result_is_what_a_reload_would_give(given, reloaded):
    assert Give(given).execute() == reloaded


def circle():
    value = []
    value.append(value)
    return value


def deep():
    value = []
    for _ in range(100_000):
        value = [value]
    return value


@pytest.mark.parametrize(
    "given",
    [
        *(b"bytes", {1, 2}, object(), {"a": object()}, {(1, 2): 3}),
        *(math.nan, math.inf, circle(), deep()),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_result_that_is_not_json_is_a_failure_in_words(given):
    with pytest.raises(
        gt.TaskError, match=r"Give gave \w+ that is not JSON"
    ) as e:
        Give(given).execute()

    assert e.value.code == "result_invalid"


def nested(depth):
    value = {}
    for number in range(depth - 1):
        value = [value] if number % 2 else {"a": value}
    return value


def test_a_result_that_is_too_deep_is_a_failure_in_words():
    with pytest.raises(gt.TaskError, match="more than 100 deep") as caught:
        Give(nested(101)).execute()

    assert caught.value.code == "result_invalid"
    assert Give(nested(100)).execute() == nested(100)


def test_a_result_that_is_too_large_is_a_failure_in_words():
    with pytest.raises(gt.TaskError, match="expected at most 65536") as caught:
        Give("x" * plugin.MAX_RESULT_BYTES).execute()

    assert caught.value.code == "result_invalid"


def test_a_result_of_the_largest_size_is_taken():
    largest = "x" * (plugin.MAX_RESULT_BYTES - 2)

    assert Give(largest).execute() == largest


def test_what_a_revert_gives_is_not_kept():
    assert Give(object()).revert() is None


class BadText(Exception):
    """An exception whose text raises."""

    def __str__(self):
        raise ValueError("no text")


class WorseText(Exception):
    """An exception whose text ends the program."""

    def __str__(self):
        raise SystemExit(4)


@pytest.mark.parametrize("method", ["execute", "revert"])
@pytest.mark.parametrize(
    "error",
    [
        *(SystemExit(3), KeyboardInterrupt(), GeneratorExit()),
        *(BaseException("base"), BadText(), WorseText()),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_no_failure_can_be_made_of_becomes_one_in_words(error, method):
    with pytest.raises(gt.TaskError, match=type(error).__name__) as caught:
        getattr(Give(error), method)()

    assert caught.value.code == "internal"
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_called_so(number):
    with pytest.raises(gt.DiskFull) as caught:
        Give(OSError(number, "full", "/srv/secret/path")).execute()

    assert "/work" not in str(caught.value)


@pytest.mark.parametrize(
    "error",
    [ValueError("x"), OSError(errno.EIO, "io"), gt.TaskError("x")],
    ids=lambda error: type(error).__name__,
)
def test_any_other_error_is_left_as_it_is(error):
    with pytest.raises(type(error)) as caught:
        Give(error).execute()

    assert caught.value is error


@pytest.mark.parametrize("method", ["execute", "revert"])
def test_an_interruption_leaves_an_atom_as_it_is(method):
    with pytest.raises(exceptions.RunInterrupted):
        getattr(Give(exceptions.RunInterrupted("stop")), method)()


@pytest.mark.parametrize("method", ["execute", "revert"])
def test_an_atom_does_not_begin_in_a_run_that_must_stop(method):
    stop = Stop(exceptions.RunInterrupted("stop"))
    atom = Give(AssertionError("it began"), context(stop))

    with pytest.raises(exceptions.RunInterrupted):
        getattr(atom, method)()


def test_an_atom_fails_with_a_verdict_that_is_in():
    atom = Give(1, context(Stop(gt.TaskError("x", code="gave_up"))))

    with pytest.raises(gt.TaskError) as caught:
        atom.execute()

    assert caught.value.code == "gave_up"


class Giving:
    """An ``execute`` that comes from elsewhere."""

    def execute(self):
        """Give what a reload would not."""
        return (1, 2)


class Mixed(Giving, gt.Atom):
    """An atom whose ``execute`` is inherited from no atom."""

    behaviour = "idempotent"


class Derived(Give):
    """An atom whose ``execute`` calls its base's."""

    def execute(self):
        """Give a tuple of what the base gives."""
        return (super().execute(),)


def test_an_inherited_execute_is_guarded_too():
    assert Mixed().execute() == [1, 2]


def test_an_execute_may_call_its_bases():
    assert Derived((1, 2)).execute() == [[1, 2]]


def test_what_execute_requires_is_still_read_from_its_signature():
    class Needy(gt.Atom):
        behaviour = "idempotent"

        def execute(self, uri, size=3):
            """Need something."""

    assert set(Needy().requires) == {"uri"}
    assert set(Needy().optional) == {"size"}


def test_an_atom_without_a_context_says_how_to_make_it():
    with pytest.raises(gt.BrokenPlugin, match=r"expected Give\(ctx\)"):
        Give(1).run  # noqa: B018


def test_a_type_decides_nothing_unless_it_says_so():
    assert gt.TaskType().plan(None) == {}
    assert gt.TaskType().result({"a": 1}) == {}


def test_a_type_that_builds_nothing_says_so():
    with pytest.raises(
        NotImplementedError, match=r"TaskType has no build\(\)"
    ):
        gt.TaskType().build(None)
