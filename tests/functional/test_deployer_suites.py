# SPDX-License-Identifier: Apache-2.0
"""The tests that a deployer writes with the kit, run as a deployer does.

They are the documentation's examples.
"""

import os
import re
import subprocess
import sys

import pytest

from tests.support import environments

DEPLOYER = environments.ROOT / "tests" / "support" / "deployer"
KINDS = ("functions", "suite")


def run(*words, tmp_path):
    """Run a program of Python in the deployer's directory."""
    path = os.pathsep.join([str(DEPLOYER), *sys.path])
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_the_test_cases_pass_under_testtools_alone(tmp_path):
    done = run("testtools.run", "checksum_suite", tmp_path=tmp_path)

    assert done.returncode == 0, done.stdout
    assert re.search(r"Ran 5 tests in .*\nOK", done.stdout)


@pytest.mark.slow
def test_the_test_cases_and_functions_pass_under_pytest(tmp_path):
    files = [str(DEPLOYER / f"checksum_{kind}.py") for kind in KINDS]

    done = run(
        *(
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "--rootdir",
            str(tmp_path),
        ),
        *files,
        tmp_path=tmp_path,
    )

    assert done.returncode == 0, done.stdout
    assert re.search(r"\b[5-9] passed", done.stdout)


@pytest.mark.slow
def test_a_type_that_is_wrong_fails_its_suite(tmp_path):
    source = (DEPLOYER / "deployer_tasks.py").read_text()
    wrong = source.replace("digest.update(piece)", "digest.update(piece[1:])")
    assert wrong != source
    (tmp_path / "deployer_tasks.py").write_text(wrong)
    suite = (DEPLOYER / "checksum_suite.py").read_text()
    (tmp_path / "checksum_suite.py").write_text(suite)

    done = run(
        *("testtools.run", "checksum_suite.ChecksumTest"), tmp_path=tmp_path
    )

    assert done.returncode == 1
    assert "FAILED (failures=1)" in done.stdout
