# SPDX-License-Identifier: Apache-2.0
"""Notifications posted to an address, signed, and told again until heard."""

import hashlib
import hmac
import http.server
import json
import socket
import threading

import pytest

import glance_tasks as gt
from glance_tasks import testing
from tests.support import engines
from tests.support import task_types
from tests.support.conducting import conducting
from tests.support.conducting import ended


class Receiver(http.server.BaseHTTPRequestHandler):
    """Keeps what is posted; answers as it was told."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        statuses = self.server.statuses
        status = statuses.pop(0) if statuses else 204
        self.server.posted.append((self.path, dict(self.headers), body))
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, *args):
        """Say nothing."""


@pytest.fixture
def hook():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    server.posted, server.statuses = [], []
    server.url = f"http://127.0.0.1:{server.server_address[1]}/hook?t=canary"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def kit(hook, tmp_path):
    with testing.EngineFixture(
        types=task_types.TYPES,
        settings={"glance_tasks_webhook": {"url": hook.url, "key": "k3y"}},
        notifier="webhook",
        poll_interval=0.05,
    ) as kit:
        yield kit


@pytest.fixture
def world(tmp_path):
    return task_types.World(tmp_path / "world")


def run(kit, world, **told):
    task = kit.engine.submit("line", world.given(**told), owner="project")
    with conducting(kit.engine):
        return ended(kit.engine, task)


def test_an_outcome_is_posted_and_signed(kit, hook, world):
    task = run(kit, world)

    told = [json.loads(body) for _, _, body in hook.posted]
    assert [one["event_type"] for one in told] == [
        "task.create",
        "task.success",
    ]
    assert {one["payload"]["id"] for one in told} == {task.id}
    for _, headers, body in hook.posted:
        digest = hmac.new(b"k3y", body, hashlib.sha256).hexdigest()
        assert headers["X-Glance-Tasks-Signature"] == f"sha256={digest}"


@pytest.mark.parametrize("status", [500, 404, 302])
def test_what_was_refused_is_told_again_under_the_same_id(
    kit, hook, world, status, caplog
):
    hook.statuses.append(status)
    run(kit, world)
    assert len(hook.posted) == 1

    kit.clock.advance(31)
    with conducting(kit.engine):
        engines.until(lambda: len(hook.posted) == 3, "the rest")

    told = [json.loads(body) for _, _, body in hook.posted]
    assert [one["event_type"] for one in told] == [
        "task.create",
        "task.create",
        "task.success",
    ]
    assert told[0]["id"] == told[1]["id"] != told[2]["id"]
    assert {path for path, _, _ in hook.posted} == {"/hook?t=canary"}
    assert "canary" not in caplog.text
    assert "k3y" not in caplog.text


@pytest.mark.parametrize(
    "url",
    [
        *(
            None,
            "file:///etc/passwd",
            "hooks.example",
            "http://",
            "https:///x",
        ),
        "http://hook:canary@127.0.0.1/x",
        "http://127.0.0.1:canary/x",
        "http://127.0.0.1/a b?t=canary",
        "http://127.0.0.1/\x01canary",
    ],
)
def test_an_address_that_cannot_be_told_is_a_configuration_error(url):
    fixture = testing.EngineFixture(
        settings={"glance_tasks_webhook": {"url": url}}, notifier="webhook"
    )
    with pytest.raises(gt.ConfigurationError, match="no address") as told:
        fixture.setUp()
    assert "canary" not in str(told.value)


def test_an_answer_that_is_no_http_is_a_refusal(world, caplog):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        webhook = {"url": f"http://127.0.0.1:{port}/?t=canary"}
        thread = threading.Thread(target=mumble, args=(server,))
        thread.start()
        with testing.EngineFixture(
            types=task_types.TYPES,
            settings={"glance_tasks_webhook": webhook},
            notifier="webhook",
        ) as kit:
            run(kit, world)
        thread.join()

    assert "the answer is no HTTP (BadStatusLine)" in caplog.text
    assert "canary" not in caplog.text


def mumble(server):
    """Answer one request with nonsense."""
    client, _ = server.accept()
    with client:
        client.recv(65536)
        client.sendall(b"canary canary canary\r\n\r\n")
