# SPDX-License-Identifier: Apache-2.0
"""Conductors in threads of a test, and waiting for what they do."""

import contextlib

import glance_tasks as gt
from tests.support import engines


@contextlib.contextmanager
def conducting(engine, **how):
    """Run a conductor in threads for the block."""
    conductor = gt.Conductor(engine, **how)
    conductor.start()
    try:
        yield conductor
    finally:
        conductor.stop()


def noted(world, line, times=1):
    """Wait until the journal has that line."""
    engines.until(lambda: world.counts()[line] >= times, line)


def ended(engine, task):
    return engine.wait(task.id, 60)
