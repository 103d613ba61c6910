# SPDX-License-Identifier: Apache-2.0
"""RunScrubber with real programs, good ones and bad ones."""

import os
import pathlib
import threading

import pytest

from glance_tasks import context
from glance_tasks import exceptions
from glance_tasks.atoms import scrubber
from glance_tasks.testing import contexts
from glance_tasks.testing import doubles
from tests.support import conversions
from tests.support import crafted
from tests.support import programs

MIB = 1 << 20
COPY = ("/bin/cp", "{input}", "{output}")


@pytest.fixture
def scripts(tmp_path):
    """Makes programs; gives their paths."""

    def make(text):
        path = tmp_path / "scripts" / "scrub.sh"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return str(path)

    return make


def prepared(tmp_path, disk_format="raw"):
    work_dir = tmp_path / "work"
    work_dir.mkdir()
    return work_dir, *conversions.prepared(work_dir, disk_format)


def atom_of(work_dir, *command, limits=None, **chosen):
    rules = context.Scrubbing(command=command, **(limits or {}))
    return scrubber.RunScrubber(
        contexts.context(work_dir, scrubbing=rules, **chosen)
    )


def run(place, *command, **chosen):
    work_dir, fetched, inspected = place
    atom = atom_of(work_dir, *command, **chosen)
    return atom.execute(image_file=fetched, inspected=inspected)


def failure(place, *command, **chosen):
    with pytest.raises(exceptions.ScrubError) as caught:
        run(place, *command, **chosen)
    assert str(place[0]) not in str(caught.value)
    return caught.value


def test_without_a_program_the_image_stays_as_it_is(tmp_path):
    place = prepared(tmp_path)

    artifact = run(place)

    assert artifact == place[1]
    assert not (place[0] / "cleaned").exists()


@pytest.mark.parametrize("disk_format", ["raw", "qcow2"])
def test_what_the_program_wrote_goes_on(tmp_path, disk_format):
    place = prepared(tmp_path, disk_format)

    artifact = run(place, *COPY)

    result = place[0] / "cleaned"
    md5, sha512 = conversions.digests(result)
    assert result.read_bytes() == (place[0] / "fetched").read_bytes()
    assert artifact == {
        "name": "cleaned",
        "size": result.stat().st_size,
        "checksum": md5,
        "os_hash_algo": "sha512",
        "os_hash_value": sha512,
        "disk_format": disk_format,
        "virtual_size": 8 * MIB,
    }


def test_the_program_may_alter_the_bytes(tmp_path, scripts):
    place = prepared(tmp_path)
    script = scripts(
        'cp "$1" "$2" && printf scrubbed | dd of="$2" conv=notrunc status=none'
    )

    run(place, script, "{input}", "{output}")

    result = (place[0] / "cleaned").read_bytes()
    assert result.startswith(b"scrubbed")
    assert result[8:] == (place[0] / "fetched").read_bytes()[8:]


def test_no_shell_reads_the_arguments(tmp_path, scripts):
    place = prepared(tmp_path)
    script = scripts('echo "$1 $2 $3" >&2; exit 1')

    failed = failure(place, script, "{format}", "$(id)", "a; b {input}c")

    assert "raw $(id) a; b {input}c" in str(failed)


def test_its_last_word_is_told_without_paths_and_passwords(tmp_path, scripts):
    place = prepared(tmp_path)
    script = scripts(
        "echo first >&2;"
        ' echo "cannot log in to https://me:secret@host/ with $1" >&2; exit 3'
    )

    failed = failure(place, script, "{input}")

    assert failed.code == "scrub_failed"
    assert str(failed) == (
        "the scrubber ended with status 3; expected 0 at the image's end:"
        " cannot log in to https://***@host/ with fetched"
    )
    assert "first" in failed.detail["stderr"]


def test_its_environment_is_ours(tmp_path, scripts, monkeypatch):
    place = prepared(tmp_path)
    monkeypatch.setenv("OS_PASSWORD", "hidden-one")

    failed = failure(place, scripts("env >&2; exit 1"))

    assert "PATH=" in failed.detail["stderr"]
    assert "hidden-one" not in failed.detail["stderr"]


@pytest.mark.parametrize(
    ("text", "limits", "code"),
    [
        ("sleep 60", {"command_timeout": 0.5}, "scrub_timeout"),
        (
            "while :; do :; done",
            {"command_processor_time": 1.0},
            "scrub_cpu_limit",
        ),
        (
            "exec python3 -c 'bytearray(1 << 30)'",
            {"command_memory": 256 << 20},
            "scrub_memory_limit",
        ),
        (
            'exec head -c 200M /dev/zero >"$2"',
            {},
            "scrub_size_limit",
        ),
    ],
)
def test_every_limit_has_its_code(tmp_path, scripts, text, limits, code):
    place = prepared(tmp_path)

    failed = failure(
        place, scripts(text), "{input}", "{output}", limits=limits
    )

    assert failed.code == code
    assert "the scrubber" in str(failed)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("true", "0 bytes"),
        ('cat "$3" >"$2"', "backing"),
        ('rm "$2"', "no file of its own"),
        ('rm "$2"; ln -s /etc/passwd "$2"', "no file of its own"),
        ('rm "$2"; ln "$1" "$2"', "no file of its own"),
        ('rm "$2"; mkfifo "$2"', "no file of its own"),
    ],
)
def test_what_it_wrote_is_not_trusted(tmp_path, scripts, text, said):
    disk_format = "qcow2" if "$3" in text else "raw"
    place = prepared(tmp_path, disk_format)
    bad = tmp_path / "bad"
    bad.write_bytes(
        crafted.qcow2(backing_file_offset=0x200, backing_file_size=11)
    )

    failed = failure(place, scripts(text), "{input}", "{output}", str(bad))

    assert failed.code == "scrub_failed"
    assert said in str(failed)


def test_what_is_the_stores_own_is_not_given_to_it(tmp_path, scripts):
    place = prepared(tmp_path)
    stored = tmp_path / "object"
    os.link(place[0] / "fetched", stored)
    before = stored.read_bytes()

    run(
        place,
        scripts('cp "$1" "$2"; echo spoilt >"$1"'),
        *("{input}", "{output}"),
    )

    assert stored.read_bytes() == before
    assert (place[0] / "cleaned").read_bytes() == before
    names = {path.name for path in place[0].iterdir()}
    assert names == {"disk", "fetched", "cleaned"}


def test_a_program_that_is_not_there_is_told(tmp_path):
    failed = failure(prepared(tmp_path), "/nowhere/scrub", "{input}")

    assert failed.code == "scrub_failed"
    assert str(failed) == "the scrubber is not installed here"


def test_a_stop_ends_it_with_its_children(tmp_path, scripts):
    place = prepared(tmp_path)
    pids = tmp_path / "pids"
    script = scripts(f"sleep 1000 & echo $! $$ >{pids}; wait")
    stop = doubles.StopWhen(lambda: pids.exists() and pids.stat().st_size > 2)

    with pytest.raises(exceptions.LeaseLost):
        run(place, script, stop=stop)

    for pid in map(int, pids.read_text().split()):
        programs.eventually(lambda pid=pid: not programs.alive(pid))


def test_it_runs_again_after_a_cut(tmp_path, scripts):
    place = prepared(tmp_path)
    pause = tmp_path / "pause"
    script = scripts(
        f'cp "$1" "$2"; test -e {pause} || {{ touch {pause}; sleep 99; }}'
    )
    stop = doubles.StopWhen(pause.exists)
    with pytest.raises(exceptions.LeaseLost):
        run(place, script, "{input}", "{output}", stop=stop)

    artifact = run(place, script, "{input}", "{output}")

    assert artifact["size"] == 8 * MIB
    md5, _ = conversions.digests(place[0] / "disk")
    assert artifact["checksum"] == md5


def test_reverting_leaves_what_was_there(tmp_path):
    place = prepared(tmp_path)
    before = sorted(place[0].iterdir())
    atom = atom_of(place[0], *COPY)
    atom.revert()
    artifact = atom.execute(image_file=place[1], inspected=place[2])
    held = atom.holds(artifact)

    atom.revert(result=artifact)
    atom.revert()

    assert (held, atom.holds(artifact)) == (True, False)
    assert sorted(place[0].iterdir()) == before


def test_a_run_that_lost_its_lease_touches_nothing(tmp_path: pathlib.Path):
    place = prepared(tmp_path)
    (place[0] / "cleaned").write_bytes(b"of a successor")

    with pytest.raises(exceptions.LeaseLost):
        run(place, *COPY, fence=doubles.LostFence())

    assert (place[0] / "cleaned").read_bytes() == b"of a successor"


def test_scrubbers_beside_each_other_do_not_meet(tmp_path):
    places = []
    for number in range(2):
        (tmp_path / str(number)).mkdir()
        places.append(prepared(tmp_path / str(number)))
    threads = [
        threading.Thread(target=run, args=(place, *COPY)) for place in places
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert all((place[0] / "cleaned").exists() for place in places)
