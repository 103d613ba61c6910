# SPDX-License-Identifier: Apache-2.0
"""What the tests rely on of the Swift that they start."""

import os
import pathlib
import shutil
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from glance_tasks import testing
from tests.support import engines
from tests.support import swift as swifts

ROOT = pathlib.Path(__file__).parents[2]

KILLED = """
import os
from glance_tasks import testing
with testing.SwiftFixture() as fixture:
    server = fixture.server
    print(server.auth_url, server.directory, server.access()[0], flush=True)
    os._exit(9)
"""


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=60):
            return True
    except urllib.error.HTTPError as error:
        error.close()
        return True
    except OSError:
        return False


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="no setpriv")
def test_a_swift_ends_though_its_tests_are_killed(swift):
    died = subprocess.run(
        [sys.executable, "-c", KILLED],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert died.returncode == 9, died.stderr
    auth_url, directory, storage_url = died.stdout.split()

    try:
        engines.until(lambda: not answers(auth_url), "its end", limit=30)
        assert storage_url.endswith("/AUTH_test")
    finally:
        shutil.rmtree(directory)


def test_only_credentials_of_its_own_are_taken(swift):
    wanted = urllib.request.Request(
        swift.auth_url,
        headers={"X-Auth-User": "test:tester", "X-Auth-Key": "testing"},
    )

    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(wanted, timeout=60)

    caught.value.close()
    assert caught.value.code == 401


def test_what_takes_its_port_first_is_not_taken_for_it(swift, tmp_path):
    second = testing.SwiftServer(tmp_path)
    second.port, second._ports = swift.port, swift._ports

    assert not second._answers()


@pytest.mark.parametrize(
    ("ci", "outcome"),
    [("true", pytest.fail.Exception), ("", pytest.skip.Exception)],
)
def test_an_absent_swift_is_a_failure_only_in_ci(monkeypatch, ci, outcome):
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)

    with (
        pytest.raises(outcome, match="Swift cannot be tested: no program"),
        swifts.running(),
    ):
        pass
