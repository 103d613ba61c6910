# SPDX-License-Identifier: Apache-2.0
"""Handing in a file by the command, and going on with one that was cut."""

import hashlib
import json

from tests.support import importing
from tests.support import installation

NOISE = importing.noise(1 << 20)


def test_a_file_is_handed_in_from_where_it_stopped(tmp_path):
    here = installation.Installation(tmp_path)
    given = {"upload_format": "raw", "size": len(NOISE)}
    task = here.ask("task", "submit", "upload", json.dumps(given))["id"]
    file = tmp_path / "disk"

    absent = here.run("task", "upload", task, str(file))
    file.write_bytes(NOISE[:1000])
    short = here.run("task", "upload", task, str(file))
    file.write_bytes(NOISE[:500])
    shorter = here.run("task", "upload", task, str(file))
    file.write_bytes(NOISE)
    done = here.ask("task", "upload", task, str(file), "--wait")
    again = here.run("task", "upload", task, str(file))

    assert absent.code == 2
    assert f"cannot read '{file}': No such file or directory" in absent.err
    assert short.code == 2
    assert f"ends after 1000 of {len(NOISE)} bytes" in short.err
    assert shorter.code == 2
    assert "ends 500 bytes before what is new" in shorter.err
    assert done["status"] == "success"
    digest = hashlib.sha512(NOISE).hexdigest()
    assert done["result"]["os_hash_value"] == digest
    assert again.code == 2
    assert "has ended as success" in again.err


def test_the_same_command_goes_on_when_all_is_there_but_the_end(tmp_path):
    here = installation.Installation(tmp_path)
    given = json.dumps({"upload_format": "raw"})
    task = here.ask("task", "submit", "upload", given)["id"]
    file = tmp_path / "disk"
    file.write_bytes(NOISE)

    # Without --wait, and without a conductor, nothing runs it yet.
    here.ask("task", "upload", task, str(file))
    done = here.ask("task", "upload", task, str(file), "--wait")

    assert done["status"] == "success"


def test_standard_input_is_handed_in_where_its_end_is_the_end(tmp_path):
    here = installation.Installation(tmp_path)
    given = json.dumps({"upload_format": "raw"})
    task = here.ask("task", "submit", "upload", given)["id"]

    done = here.run(
        *("task", "upload", task, "-", "--wait", "-f", "json"),
        given="x" * 4096,
    )

    assert done.code == 0, done.err
    assert done.json()["result"]["size"] == 4096
