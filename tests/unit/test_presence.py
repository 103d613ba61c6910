# SPDX-License-Identifier: Apache-2.0
"""A conductor that died is told from one that lives or is frozen."""

import os
import signal
import subprocess
import sys

import pytest

from glance_tasks import presence
from tests.support import engines

PROGRAM = """
import pathlib, sys
from glance_tasks import presence
held = presence.Presence(pathlib.Path(sys.argv[1]), "other")
print("present", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path):
    """Run a process that is present as ``other``."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"present\n"
    yield process
    process.kill()
    process.communicate()


def test_nobody_is_dead_where_nobody_ever_was(tmp_path):
    assert list(presence.dead(tmp_path)) == []
    assert not presence.any_alive(tmp_path)


def test_one_that_lives_is_not_dead(tmp_path, other):
    assert list(presence.dead(tmp_path)) == []
    assert presence.any_alive(tmp_path)


def test_one_of_this_process_is_not_dead(tmp_path):
    mine = presence.Presence(tmp_path, "mine")

    assert list(presence.dead(tmp_path)) == []
    assert presence.any_alive(tmp_path)
    mine.leave()


def test_one_that_is_frozen_is_not_dead(tmp_path, other):
    other.send_signal(signal.SIGSTOP)

    assert list(presence.dead(tmp_path)) == []
    other.send_signal(signal.SIGCONT)


def test_one_that_was_killed_is_dead_and_named_once(tmp_path, other):
    other.kill()
    other.wait()

    first, second = (
        list(presence.dead(tmp_path)),
        list(presence.dead(tmp_path)),
    )

    assert first == ["other"]
    assert second == []
    assert not presence.any_alive(tmp_path)


def test_one_that_left_in_good_order_is_not_dead(tmp_path):
    presence.Presence(tmp_path, "mine").leave()

    assert list(presence.dead(tmp_path)) == []
    assert not presence.any_alive(tmp_path)


def test_a_name_that_could_not_be_dealt_with_is_given_again(tmp_path, other):
    other.kill()
    other.wait()
    names = presence.dead(tmp_path)

    # The caller dies over it: the generator is never asked to go on.
    next(names)
    names.close()

    assert list(presence.dead(tmp_path)) == ["other"]


def test_two_gravediggers_do_not_get_the_same_name(tmp_path, other):
    other.kill()
    other.wait()
    first = presence.dead(tmp_path)
    next(first)

    assert list(presence.dead(tmp_path)) == []
    assert list(first) == []


def test_a_program_that_is_started_does_not_keep_the_dead_alive(tmp_path):
    # qemu-img outlives a conductor that is killed; it must not hold its lock.
    program = PROGRAM.replace(
        "sys.stdin.read()",
        "import subprocess; subprocess.Popen(['sleep', '60'],"
        " stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)\n"
        "print('started', flush=True); sys.stdin.read()",
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    process.stdout.readline()
    process.stdout.readline()

    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    found = engines.until(lambda: list(presence.dead(tmp_path)))

    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert found == ["other"]
