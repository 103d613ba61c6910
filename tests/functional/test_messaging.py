# SPDX-License-Identifier: Apache-2.0
"""Notifications on a real message bus, heard by oslo.messaging's listener."""

import contextlib
import json
import os
import shutil
import subprocess

import pytest

from glance_tasks import testing
from glance_tasks.testing import http_source
from glance_tasks.testing import rabbitmq_server
from glance_tasks.testing import servers
from tests.support import importing
from tests.support import installation

NOISE = importing.noise(1 << 20)

LISTENER = """
import json, sys, threading
import oslo_messaging
from oslo_config import cfg

url, wanted = sys.argv[1], int(sys.argv[2])
heard, enough = [], threading.Event()

class Endpoint:
    def info(self, ctxt, publisher_id, event_type, payload, metadata):
        heard.append([event_type, payload, metadata["message_id"],
                      publisher_id, ctxt.get("request_id")])
        if len(heard) >= wanted:
            enough.set()

conf = cfg.ConfigOpts()
conf([])
transport = oslo_messaging.get_notification_transport(conf, url=url)
listener = oslo_messaging.get_notification_listener(
    transport, [oslo_messaging.Target(topic="notifications")], [Endpoint()],
    executor="threading")
listener.start()
enough.wait(60)
print(json.dumps(heard))
sys.stdout.flush()
import os
os._exit(0)
"""


def absent(why):
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)


@pytest.fixture(scope="module")
def python():
    """Give a Python that has oslo.messaging."""
    home = os.environ.get("GLANCE_TASKS_MESSAGING", "")
    found = shutil.which("python", path=f"{home}/bin")
    if found is None:
        absent("oslo.messaging cannot be tested: GLANCE_TASKS_MESSAGING")
    return found


@pytest.fixture(scope="module")
def broker():
    with contextlib.ExitStack() as stack:
        try:
            broker = stack.enter_context(rabbitmq_server.running())
        except servers.ServerAbsent as error:
            absent(f"RabbitMQ cannot be tested: {error}")
        yield broker


@pytest.fixture
def server():
    with http_source.HttpSource() as server:
        yield server


@pytest.fixture
def here(tmp_path, python, broker):
    bus = {"oslo_messaging_notifications": {"transport_url": broker.url}}
    return installation.Installation(
        tmp_path, python=python, groups=bus, notifier="messaging"
    )


def listen(python, broker, wanted):
    """Give what comes of the queue, oldest first."""
    words = [python, "-W", "ignore", "-c", LISTENER, broker.url, str(wanted)]
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=120, check=True
    )
    return json.loads(done.stdout)


def test_every_outcome_is_heard_on_the_bus(here, server, python, broker):
    good = here.submit(importing.given(server.put("/d", body(NOISE))))
    bad = here.submit(importing.given(server.url("/absent")))
    done = here.run("conductor", "run", "--until-idle")
    assert done.code == 0, done.err

    heard = listen(python, broker, 4)

    of = {good: [], bad: []}
    for event_type, payload, message_id, publisher, _ in heard:
        of[payload["id"]].append((event_type, message_id))
        assert publisher.startswith("glance-tasks.")
    assert [kind for kind, _ in of[good]] == ["task.create", "task.success"]
    assert [kind for kind, _ in of[bad]] == ["task.create", "task.failure"]
    assert len({one for told in of.values() for _, one in told}) == 4
    last = next(h[1] for h in heard if h[0] == "task.failure")
    assert last["failure"]["code"] == "source_not_found"


def test_what_a_dead_bus_did_not_hear_is_told_when_it_lives(
    here, server, python, broker
):
    task_id = here.submit(importing.given(server.put("/d", body(NOISE))))
    broker.stop()
    try:
        done = here.run("conductor", "run", "--until-idle")
    finally:
        broker.start()
    assert done.code == 0, done.err
    assert here.ask("task", "show", task_id)["status"] == "success"

    # What failed is left alone for half a minute; of a task that comes first.
    for _ in range(2):
        with testing.EngineFixture(home=here.data_dir) as kit:
            kit.clock.advance(31)
        assert here.run("conductor", "run", "--until-idle").code == 0
    heard = listen(python, broker, 2)

    assert [(h[0], h[1]["id"]) for h in heard] == [
        ("task.create", task_id),
        ("task.success", task_id),
    ]


def test_without_the_extra_it_says_what_is_missing(tmp_path):
    here = installation.Installation(tmp_path, notifier="messaging")

    done = here.run("task", "list")

    assert done.code == 2
    assert "notifier = 'messaging' cannot be loaded" in done.err
    assert "oslo_messaging" in done.err
    assert "Traceback" not in done.err


def body(data):
    return http_source.Resource(body=data)
