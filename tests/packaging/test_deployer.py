# SPDX-License-Identifier: Apache-2.0
"""A task type and a check of a deployer's, in a package of their own.

The package is ``tests/support/deployer``; the documentation shows its files.
"""

import contextlib
import hashlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import time

import pytest

from glance_tasks.testing import http_source
from tests.support import environments

DEPLOYER = environments.ROOT / "tests" / "support" / "deployer"
MIB = 1 << 20
CHUNK = MIB

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def programs(from_wheel, tmp_path_factory):
    """The wheel's environment with the deployer's package added; its bin."""
    # A copy: building leaves files beside the source.
    package = tmp_path_factory.mktemp("deployer") / "package"
    shutil.copytree(DEPLOYER, package)
    pip = from_wheel / "pip"
    environments.run(pip, "install", "-q", package, cwd=package)
    return from_wheel


@pytest.fixture
def server():
    """A server of files that is as slow as it is told to be."""
    with http_source.HttpSource() as started:
        yield started


class Site:
    """The command, with a configuration and a data directory of its own."""

    def __init__(self, programs, home, port):
        self.home = home
        self.command = programs / "glance-tasks"
        self.config = home / "site.conf"
        self.configure(port)

    def configure(self, port, *lines):
        self.config.write_text(
            "\n".join(
                [
                    "[glance_tasks]",
                    f"data_dir = {self.home / 'data'}",
                    "poll_interval = 0.1",
                    *lines,
                    "[glance_tasks_fetch]",
                    "allowed_networks = 127.0.0.0/8",
                    f"allowed_ports = {port}",
                    f"chunk_size = {CHUNK}",
                ]
            )
        )

    def words(self, *words):
        return [str(self.command), "--config-file", str(self.config), *words]

    def ask(self, *words):
        """Run a command; give the JSON it prints, whatever its exit code."""
        done = subprocess.run(
            self.words(*words, "-f", "json"),
            cwd=self.home,
            env=environments.environment(),
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    def show(self, task):
        """Give the task as it is now."""
        return self.ask("task", "show", task["id"])

    @contextlib.contextmanager
    def conductor(self):
        """Run a conductor as long as the block lasts; kill what is left."""
        process = subprocess.Popen(
            self.words("conductor", "run"),
            cwd=self.home,
            env=environments.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def site(programs, tmp_path, server):
    return Site(programs, tmp_path, server.port)


def until(true, limit=60.0):
    """Wait until ``true()`` is, and give what it gave."""
    deadline = time.monotonic() + limit
    while not (found := true()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
    return found


def test_the_command_lists_the_type_beside_ours(site):
    listed = site.ask("type", "list")

    described = {row["name"]: row["description"] for row in listed}
    assert described["checksum"] == "Fetch a file and record its SHA-256."
    assert "import" in described


def test_the_type_runs(site, server):
    body = os.urandom(MIB // 2)
    uri = server.put("/small", http_source.Resource(body))

    task = site.ask(
        *("task", "submit", "checksum", json.dumps({"uri": uri}), "--wait")
    )

    assert task["status"] == "success"
    assert task["result"] == {"sha256": hashlib.sha256(body).hexdigest()}


def test_a_killed_run_goes_on_with_no_further_code(site, server):
    body = os.urandom(8 * MIB)
    uri = server.put("/slow", http_source.Resource(body, rate=4 * MIB))
    task = site.ask("task", "submit", "checksum", json.dumps({"uri": uri}))

    with site.conductor() as first:
        until(lambda: server.sent > 4 * MIB)
        first.send_signal(signal.SIGKILL)
        first.wait()
    with site.conductor():
        until(lambda: site.show(task)["finished_at"])

    assert site.show(task)["result"] == {
        "sha256": hashlib.sha256(body).hexdigest()
    }
    (again,) = server.asked_again("/slow")
    # What the kernels hold between the two ends was sent as well.
    assert again <= CHUNK + MIB


@pytest.mark.parametrize(
    ("label", "status", "code"),
    [
        pytest.param("golden", "success", None, id="labelled"),
        pytest.param(None, "failure", "check_refused", id="unlabelled"),
    ],
)
def test_the_check_vetoes_an_import_by_configuration(
    site, server, tmp_path, label, status, code
):
    site.configure(server.port, "checks = import:label")
    disk = tmp_path / "disk.raw"
    words = ["mke2fs", "-q", "-t", "ext4", *(["-L", label] if label else [])]
    environments.run(*words, disk, "8M", cwd=tmp_path)
    uri = server.put("/disk.raw", http_source.Resource(disk))
    given = {"import_from": uri, "import_from_format": "raw"}

    task = site.ask("task", "submit", "import", json.dumps(given), "--wait")

    assert task["status"] == status
    assert (task["failure"] or {}).get("code") == code
    assert len(site.ask("image", "list")) == (1 if code is None else 0)


@pytest.fixture(scope="module")
def kit(built, tmp_path_factory):
    """An environment with the test kit and the deployer's package; its bin."""
    (wheel,) = built.glob("*.whl")
    package = tmp_path_factory.mktemp("kit") / "package"
    shutil.copytree(DEPLOYER, package)
    made = environments.make(package.parent)
    words = ["install", "-q", f"{wheel}[testing]", package]
    environments.run(made / "pip", *words, cwd=package)
    return made


def documented(beginning):
    """Give the words of the documentation's command that begins so."""
    page = environments.ROOT / "doc/source/contributor/certifying.rst"
    lines = (line.strip() for line in page.read_text().splitlines())
    return shlex.split(next(x for x in lines if x.startswith(beginning)))


def test_the_type_is_certified_as_the_documentation_says(kit, tmp_path):
    program, *words = documented("glance-tasks certify checksum")

    done = subprocess.run(
        [kit / program, *words, "--sample", "6"],
        cwd=tmp_path,
        env=environments.environment(),
        capture_output=True,
        text=True,
        timeout=280,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Certificate of 'checksum', version 1.0, on sqlite" in done.stdout
    assert ", 0 faults," in done.stdout
