# SPDX-License-Identifier: Apache-2.0
"""What is left in a real Swift after kills, freezes and removals."""

import dataclasses
import hashlib
import json
import os
import pathlib
import random
import signal
import subprocess
import sys

import pytest

from glance_tasks import exceptions
from glance_tasks.testing import doubles
from tests.support import engines
from tests.support import relay as relays
from tests.support import swift as swifts

MIB = 1 << 20
PART = swifts.PART
ROOT = pathlib.Path(__file__).parents[3]

PROGRAM = """
import json, pathlib, sys
from glance_tasks import exceptions
from glance_tasks.testing import doubles
from tests.support import swift
uri, path, lost, words = sys.argv[1:]
path, lost, words = pathlib.Path(path), pathlib.Path(lost), json.loads(words)
parcel = swift.parcel(uri, path, words.pop("credentials"))
print("ready", flush=True)
try:
    sent = swift.send(
        parcel, path, stop=doubles.StopWhen(lost.exists), **words
    )
    print(sent.sent)
except exceptions.LeaseLost:
    print("lost")
"""


@pytest.fixture
def relay(swift):
    with relays.Relay(swift.port) as running:
        yield running


@pytest.fixture
def parcel(swift, container, file):
    return swifts.parcel(f"swift://{container}/x", file, swift.credentials)


@pytest.fixture
def child(swift, relay):
    """Give what starts an upload through the relay in a process of its own."""
    here = f"http://127.0.0.1:{relay.port}/auth/v1.0"
    credentials = {**swift.credentials, "auth_url": here}
    started = []

    def start(uri, path, **words):
        words["credentials"], lost = credentials, path.with_name("lost")
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                PROGRAM,
                uri,
                path,
                lost,
                json.dumps(words),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def answer(process):
    """Wait for an upload; gives what it printed."""
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return output.split()[-1]


def signal_at(process, relay, moment, number):
    """Send a signal when an upload has sent so many bytes."""
    engines.until(
        lambda: relay.up >= moment or process.poll() is not None,
        "its bytes",
        limit=120,
    )
    process.send_signal(number)


def kill_and_resume(child, relay, uri, path, *, kills, seed, **words):
    """Upload a file with kills at random moments.

    :returns: the bytes that the last run sent
    """
    dice, part = random.Random(seed), words["chunk_size"]
    for _ in range(kills):
        process = child(uri, path, **words)
        moment = relay.up + dice.randrange(part // 2, 5 * part // 2)
        signal_at(process, relay, moment, signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    return int(answer(child(uri, path, **words)))


def everything(account, container):
    """Give what is in a container and in that of its segments."""
    return {
        **account.objects(container),
        **account.objects(f"{container}_segments"),
    }


def test_a_killed_upload_goes_on_with_the_next_part(
    account, container, file, relay, child
):
    file.write_bytes(os.urandom(3 * MIB))

    kill_and_resume(
        child,
        relay,
        f"swift://{container}/x",
        file,
        kills=1,
        seed=7,
        chunk_size=MIB,
        parts_at_once=1,
    )

    # One part again, and some requests' heads.
    assert relay.up < 4 * MIB + MIB // 16
    assert account.md5(f"/{container}/x") == md5(file)


@pytest.mark.soak
def test_five_kills_cost_a_part_for_each_sending_thread(
    account, container, file, relay, child
):
    with file.open("wb") as image:
        for _ in range(256):
            image.write(os.urandom(MIB))

    last = kill_and_resume(
        child,
        relay,
        f"swift://{container}/x",
        file,
        kills=5,
        seed=20261121,
        chunk_size=16 * MIB,
        parts_at_once=2,
    )

    again = relay.up - 256 * MIB
    print(
        f"256 MiB, 5 kills, 2 threads, parts of 16 MiB: {again / MIB:.1f} MiB"
        f" sent again, {last / MIB:g} MiB by the last run"
    )
    assert again < 5 * 2 * 16 * MIB + MIB
    assert account.md5(f"/{container}/x") == md5(file)


def md5(path):
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


# --- a predecessor that was frozen -------------------------------------------


@pytest.mark.parametrize("successor", [swifts.send, None])
def test_a_frozen_upload_does_not_meddle_with_its_successor(
    swift, account, container, file, relay, child, successor
):
    file.write_bytes(os.urandom(3 * MIB))
    uri = f"swift://{container}/x"
    words = {"chunk_size": MIB, "parts_at_once": 1}
    frozen = child(uri, file, **words)
    signal_at(frozen, relay, 3 * MIB // 2, signal.SIGSTOP)
    parcel = swifts.parcel(uri, file, swift.credentials)
    if successor:
        successor(parcel, file, **words)
    else:
        swifts.remove(parcel, **words)
    before = everything(account, container)

    file.with_name("lost").touch()
    frozen.send_signal(signal.SIGCONT)

    assert answer(frozen) == "lost"
    assert everything(account, container) == before
    assert bool(before) == bool(successor)


# --- removing ----------------------------------------------------------------


@pytest.mark.parametrize("parts", [1, 3])
def test_nothing_is_left_of_a_whole_upload(
    account, container, file, parcel, parts
):
    size = 4 * PART // parts
    before = account.containers()
    swifts.send(parcel, file, chunk_size=size)

    swifts.remove(parcel, chunk_size=size)

    assert account.objects(container) == {}
    assert account.containers() == before


def test_nothing_is_left_of_an_upload_that_was_not_completed(
    account, container, file, parcel
):
    before = account.containers()
    with pytest.raises(exceptions.LeaseLost):
        swifts.send(parcel, file, fence=doubles.LostFence(after=1))

    swifts.remove(parcel)

    assert account.objects(container) == {}
    assert account.containers() == before


def test_nothing_is_left_of_parts_of_another_size(
    account, container, file, parcel
):
    before = account.containers()
    with pytest.raises(exceptions.LeaseLost):
        swifts.send(parcel, file, fence=doubles.LostFence(after=1))

    swifts.remove(parcel, chunk_size=4 * PART)

    assert account.containers() == before


def test_segments_that_are_not_listed_yet_are_removed_too(
    account, container, file, parcel
):
    before = account.containers()
    with pytest.raises(exceptions.LeaseLost):
        swifts.send(parcel, file, fence=doubles.LostFence(after=1))

    def alter(method, uri, ask):
        reply = ask()
        if method == "GET" and "prefix=" in uri:
            return dataclasses.replace(reply, body=b"[]")
        return reply

    swifts.altered(alter).remove(parcel, stop=doubles.NeverStop())

    assert account.containers() == before


def test_removing_what_is_not_there_is_no_error(swift, file, parcel):
    elsewhere = dataclasses.replace(parcel, uri="swift://nowhere/x")

    swifts.remove(parcel)
    swifts.remove(elsewhere)


def test_an_object_and_segments_of_others_stay(
    account, container, file, parcel
):
    with pytest.raises(exceptions.LeaseLost):
        swifts.send(parcel, file, fence=doubles.LostFence(after=1))
    account.ask("PUT", f"/{container}/x", b"theirs")
    account.ask("PUT", f"/{container}_segments/x/task-2/00000001", b"theirs")

    swifts.remove(parcel)

    assert everything(account, container) == {"x": 6, "x/task-2/00000001": 6}


def test_an_empty_container_for_segments_of_others_stays(
    account, container, file, parcel
):
    account.ask("PUT", f"/{container}_segments")
    swifts.send(parcel, file)

    swifts.remove(parcel)

    assert f"{container}_segments" in account.containers()
    assert everything(account, container) == {}


def test_a_refused_removal_is_told(swift, account, file, parcel):
    swifts.send(parcel, file)
    powerless = dataclasses.replace(parcel, credentials=swift.powerless)

    with pytest.raises(exceptions.SendError) as caught:
        swifts.remove(powerless)

    assert caught.value.code == "destination_denied"
