# SPDX-License-Identifier: Apache-2.0
"""What the tests rely on of the S3 server they start."""

import importlib.util
import os
import pathlib
import socket
import subprocess
import sys
from urllib import parse

import pytest

from tests.support import programs
from tests.support import s3

ROOT = pathlib.Path(__file__).parents[2]

KILLED = """
import os
from glance_tasks.testing import s3_server
with s3_server.S3Server() as server:
    print(server.credentials["endpoint_url"], flush=True)
    os._exit(9)
"""


def answers(url):
    parts = parse.urlsplit(url)
    try:
        socket.create_connection((parts.hostname, parts.port), 1).close()
    except OSError:
        return False
    return True


def test_a_server_ends_though_its_tests_are_killed():
    died = subprocess.run(
        [sys.executable, "-c", KILLED],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert died.returncode == 9, died.stderr

    programs.eventually(lambda: not answers(died.stdout.strip()))


@pytest.mark.parametrize(
    ("ci", "outcome"),
    [("true", pytest.fail.Exception), ("", pytest.skip.Exception)],
)
def test_an_absent_server_is_a_failure_only_in_ci(monkeypatch, ci, outcome):
    monkeypatch.setenv("CI", ci)
    monkeypatch.delenv("GLANCE_TASKS_S3", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    with pytest.raises(outcome, match="S3 cannot be tested"), s3.running():
        pass
