# SPDX-License-Identifier: Apache-2.0
"""Exports whose conductor is killed, and such that are cancelled, in midst."""

from collections.abc import Mapping
import contextlib
import json
import pathlib
import random
from typing import Any
from urllib import parse

import pytest

import glance_tasks as gt
from tests.support import conducting
from tests.support import cutting
from tests.support import engines
from tests.support import importing
from tests.support import installation
from tests.support import relay
from tests.support import s3
from tests.support import swift as swifts
from tests.support.swift import swift

__all__ = ["swift"]

MIB = 1 << 20
PART = 5 * MIB

# What is not the image's bytes: heads, logins, and a manifest.
_AROUND = MIB


class SwiftEnd:
    """A container of a real Swift, seen through a relay."""

    def __init__(self, server: Any, way: relay.Relay) -> None:
        self.account = swifts.Account(server)
        self.container = self.account.container()
        self.uri = f"swift://{self.container}/out"
        url = f"http://127.0.0.1:{way.port}/auth/v1.0"
        self.credentials = {**server.credentials, "auth_url": url}

    def left(self) -> dict[str, Any]:
        """Give all objects of ours, segments too, by container."""
        return {
            name: found
            for name in self.account.containers()
            if name.startswith(self.container)
            and (found := self.account.objects(name))
        }

    def md5(self, location: str, path: pathlib.Path) -> str:
        return self.account.md5(
            location.removeprefix("swift:/").replace("//", "/")
        )


class S3End:
    """A bucket of moto's S3, seen through a relay."""

    def __init__(self, credentials: Mapping[str, str], way: relay.Relay):
        self.bucket = s3.Bucket(credentials)
        url = f"http://127.0.0.1:{way.port}"
        self.credentials = {**credentials, "endpoint_url": url}
        self.uri = f"s3://{self.bucket.name}/out/"

    def left(self) -> dict[str, Any]:
        """Give all objects and unfinished uploads."""
        objects, uploads = self.bucket.objects(), self.bucket.uploads()
        return {
            **({"objects": objects} if objects else {}),
            **({"uploads": uploads} if uploads else {}),
        }

    def md5(self, location: str, path: pathlib.Path) -> str:
        return s3.fetch(location, path, self.bucket.credentials).digests["md5"]


@pytest.fixture(params=["swift", "s3"])
def end(request):
    """Give a destination and the relay before it."""
    with contextlib.ExitStack() as stack:
        if request.param == "swift":
            server = request.getfixturevalue("swift")
            way = stack.enter_context(relay.Relay(server.port))
            yield SwiftEnd(server, way), way
        else:
            credentials = stack.enter_context(s3.running())
            port = parse.urlsplit(credentials["endpoint_url"]).port
            way = stack.enter_context(relay.Relay(port))
            yield S3End(credentials, way), way


@pytest.fixture
def chooser():
    return random.Random(cutting.seed())


def prepare(home: pathlib.Path, size: int, end: Any, **options: Any):
    """Have an image of noise and an export of it submitted.

    :returns: the installation, the image's MD5 and the task's id
    """
    home.mkdir()
    disk = home / "disk"
    importing.noise_file(disk, size)
    here = installation.Installation(
        home,
        {"file_roots": str(home)},
        {"part_size": PART, "parts_at_once": 1, **options},
    )
    task = here.submit(importing.given(f"file://{disk}"))
    here.conduct()
    image = here.ask("task", "show", task)["result"]
    secret = home / "credentials"
    secret.write_text(json.dumps(end.credentials))
    given = {"image_id": image["image_id"], "export_to": end.uri}
    words = ("task", "submit", "export", json.dumps(given), "--secret")
    where = f"export_to_credentials=@{secret}"
    return here, image["checksum"], here.ask(*words, where)["id"]


def kill_on_the_way(here, way, size, kills, chooser):
    """Kill conductors while bytes pass, one after the other."""
    for number in range(kills):
        # What is left, by equal shares.
        share = (size - way.up % size) // (kills - number + 1)
        until = way.up + chooser.randint(MIB, max(share, 2 * MIB))
        with here.conductor() as conductor:
            engines.until(lambda: way.up > until, "bytes on their way")  # noqa: B023
            conductor.kill()
            conductor.wait()
        print(f"killed after {way.up / MIB:.1f} MiB")


def survive(tmp_path, end, size, kills, chooser, **options):
    there, way = end
    here, md5, task_id = prepare(tmp_path / "home", size, there, **options)

    kill_on_the_way(here, way, size, kills, chooser)
    here.conduct()

    task = here.ask("task", "show", task_id)
    assert task["status"] == "success", task["message"]
    where = task["result"]["export_location"]
    assert there.md5(where, tmp_path / "read") == md5
    again = way.up - size
    width = options.get("parts_at_once", 1)
    print(f"{kills} kills, {again / MIB:.1f} MiB sent again")
    assert again <= kills * width * PART + _AROUND
    assert importing.left(here.data_dir / "work") == []


@pytest.mark.slow
def test_an_export_survives_the_death_of_its_conductor(tmp_path, end, chooser):
    survive(tmp_path, end, 24 * MIB, 1, chooser)


@pytest.mark.soak
@pytest.mark.parametrize("width", [1, 4])
def test_a_large_export_survives_five_deaths(tmp_path, end, chooser, width):
    survive(tmp_path, end, 256 * MIB, 5, chooser, parts_at_once=width)


def cancelled(here, way, until):
    """Run what waits, and cancel it once so many bytes have passed."""
    conf = engines.configuration(here.data_dir)
    for name, value in (
        ("allowed_networks", ["127.0.0.0/8"]),
        ("allowed_ports", []),
        ("part_size", PART),
    ):
        conf.set_override(name, value, "glance_tasks_send")
    engine = gt.TaskEngine(conf)
    (task,) = engine.find(filters={"type": "export"})
    with contextlib.closing(engine), conducting.conducting(engine):
        engines.until(lambda: way.up > until, "bytes on their way")
        engine.cancel(task.id, reason="it is not wanted any more")
        engine.wait(task.id, 60)


@pytest.mark.slow
def test_after_a_cancel_nothing_of_it_is_there(tmp_path, end, chooser):
    there, way = end
    size = 48 * MIB
    here, _, task_id = prepare(tmp_path / "home", size, there)

    cancelled(here, way, way.up + chooser.randint(PART, size // 2))

    task = here.ask("task", "show", task_id)
    assert task["failure"]["code"] == "cancelled"
    assert task["failure"]["left_behind"] == []
    assert there.left() == {}
    assert importing.left(here.data_dir / "work") == []
