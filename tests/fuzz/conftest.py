# SPDX-License-Identifier: Apache-2.0
"""Runs every fuzzer once, or for as long as the environment says."""

import functools
import logging

from hypothesis import stateful
import pytest

from tests.support import fuzzing

fuzzing.load_profile()

BOX = pytest.StashKey[fuzzing.TimeBox]()
TARGET = pytest.StashKey[fuzzing.Target]()


def pytest_configure(config):
    config.stash[BOX] = fuzzing.TimeBox(fuzzing.SECONDS)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    for item in items:
        test = getattr(item, "obj", None)
        if "fuzz" not in item.path.parts or not is_fuzzer(item, test):
            continue
        mark = item.get_closest_marker("fuzz")
        weight = mark.kwargs["weight"] if mark else 1.0
        target = config.stash[BOX].add(item.name, weight)
        item.stash[TARGET] = target
        if not fuzzing.SECONDS:
            # Making a failure small may take Hypothesis five minutes.
            item.add_marker(pytest.mark.timeout(900))
        if hasattr(test, "hypothesis"):
            test.hypothesis.inner_test = target.counting(
                test.hypothesis.inner_test
            )


def is_fuzzer(item, test):
    return hasattr(test, "hypothesis") or "machine" in item.fixturenames


@pytest.fixture(autouse=True)
def quiet():
    """Log nothing: what fails on purpose fills the report otherwise."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def machine(request):
    """Give a way to run a state machine whose runs are counted."""

    def run(factory, settings):
        target = request.node.stash[TARGET]
        counted = target.counting(factory)
        stateful.run_state_machine_as_test(counted, settings=settings)

    return run


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    if TARGET not in pyfuncitem.stash:
        return None
    names = pyfuncitem._fixtureinfo.argnames
    given = {name: pyfuncitem.funcargs[name] for name in names}
    pyfuncitem.config.stash[BOX].run(
        pyfuncitem.name, functools.partial(pyfuncitem.obj, **given)
    )
    return True


def pytest_terminal_summary(terminalreporter, config):
    lines = config.stash[BOX].account()
    if fuzzing.SECONDS and lines:
        terminalreporter.section("examples per target")
        for line in lines:
            terminalreporter.write_line(line)
