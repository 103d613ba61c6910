# SPDX-License-Identifier: Apache-2.0
"""Uploads to S3 whose process is killed or frozen, at random moments."""

from collections.abc import Iterator
import dataclasses
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import pytest

from glance_tasks.testing.certification import processes
from tests.support import cutting
from tests.support import importing
from tests.support import s3
from tests.support.s3 import bucket
from tests.support.s3 import s3_credentials

__all__ = ["bucket", "s3_credentials"]

ROOT = pathlib.Path(__file__).parents[2]
WIDTH = s3.allowing().parts_at_once

# It tells the number of each part that it begins to send.
SENDER = """
import json, os, pathlib, sys
from glance_tasks import ports
from glance_tasks.transfer import patience
from tests.support import s3

# moto answers 500 where it should say that there is no such upload.
patience._PAUSES_S = (0.0,) * 5

def tell(asked, ask):
    if asked.part:
        os.write(1, f"{asked.part}\\n".encode())
    return ask()

given = json.loads(sys.argv[1])
s3.send(ports.Parcel(**given), pathlib.Path(sys.argv[2]), alter=tell)
"""


@pytest.fixture
def chooser():
    return random.Random(cutting.seed())


@dataclasses.dataclass
class Life:
    """A process that sends until it is killed or done."""

    process: subprocess.Popen[bytes]

    def begun(self) -> Iterator[int]:
        """Give the numbers of the parts that it begins to send."""
        for line in self.process.stdout:
            yield int(line)


def start(parcel, path):
    words = json.dumps(dataclasses.asdict(parcel)), str(path)
    process = subprocess.Popen(
        [sys.executable, "-c", SENDER, *words],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'flows'}"},
        stdout=subprocess.PIPE,
    )
    return Life(process)


def kill_after(life, count, moment):
    """Kill it ``moment`` seconds after it began its part number ``count``.

    :returns: the parts it had begun
    """
    begun = []
    for number in life.begun():
        begun.append(number)
        if len(begun) == count:
            time.sleep(moment)
            life.process.kill()
    assert life.process.wait() == -9
    life.process.stdout.close()
    return begun


def send_under_fire(bucket, path, kills, each, chooser):
    """Send a file, killed ``kills`` times, at most ``each`` parts apart."""
    parcel, begun = bucket.parcel(path), []
    for _ in range(kills):
        count, moment = chooser.randint(1, each), chooser.uniform(0, 0.2)
        begun += kill_after(start(parcel, path), count, moment)
    life = start(parcel, path)
    begun += life.begun()
    assert life.process.wait() == 0
    life.process.stdout.close()
    return parcel, begun


def check_end(bucket, parcel, begun, kills, tmp_path):
    parts = -(-parcel.size // s3.PART)
    print(f"{parts} parts, {kills} kills, {len(begun)} parts begun")
    assert set(begun) == set(range(1, parts + 1))
    assert len(begun) <= parts + kills * WIDTH
    fetched = s3.fetch(parcel.uri, tmp_path / "read", parcel.credentials)
    assert fetched.digests["md5"] == parcel.md5
    assert bucket.uploads() == []
    s3.remove(parcel)
    assert bucket.objects() == {}


def test_an_upload_goes_on_after_a_kill(bucket, tmp_path, chooser):
    path = tmp_path / "disk"
    importing.noise_file(path, 11 << 20)

    parcel, begun = send_under_fire(bucket, path, 1, 2, chooser)

    check_end(bucket, parcel, begun, 1, tmp_path)


def test_a_process_that_thaws_harms_nothing(bucket, tmp_path, chooser):
    path = tmp_path / "disk"
    importing.noise_file(path, 11 << 20)
    parcel = bucket.parcel(path)
    frozen = start(parcel, path)
    begun = frozen.begun()
    for _ in range(chooser.randint(1, 2)):
        next(begun)
    processes.freeze(frozen.process)
    try:
        s3.send(parcel, path)
    finally:
        frozen.process.send_signal(signal.SIGCONT)
        frozen.process.wait()
        frozen.process.stdout.close()

    assert bucket.objects() == {f"out/disk-{s3.TOKEN}": parcel.size}
    fetched = s3.fetch(parcel.uri, tmp_path / "read", parcel.credentials)
    assert fetched.digests["md5"] == parcel.md5
    assert bucket.uploads() == []


@pytest.mark.soak
def test_a_large_upload_goes_on_after_five_kills(bucket, tmp_path, chooser):
    path = tmp_path / "disk"
    importing.noise_file(path, 256 << 20)

    parcel, begun = send_under_fire(bucket, path, 5, 9, chooser)

    check_end(bucket, parcel, begun, 5, tmp_path)
