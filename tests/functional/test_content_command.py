# SPDX-License-Identifier: Apache-2.0
"""``glance-tasks image content`` as an operator meets it."""

import json

import pytest

from tests.support import conversions
from tests.support import crafted
from tests.support import derived
from tests.support import images
from tests.support import importing
from tests.support import installation

MIB = 1 << 20


@pytest.fixture
def here(tmp_path):
    images.disk(tmp_path / "disk", 4 * MIB)
    for name in ("qcow2", "vmdk"):
        words = conversions.WORDS[name].split()
        images.made(tmp_path / f"disk.{name}", tmp_path / "disk", *words)
    return installation.Installation(tmp_path / "home")


def ask(here, *words):
    done = here.run("image", "content", *map(str, words), "-f", "json")
    return done.code, json.loads(done.out) if done.out else done.err


def test_a_file_is_told_by_what_it_looks_like(here, tmp_path):
    expected = conversions.content_digest(tmp_path / "disk")

    code, told = ask(here, tmp_path / "disk.vmdk")

    assert code == 0
    assert told == {
        "disk_format": "vmdk",
        "virtual_size": 4 * MIB,
        "content_digest": expected,
    }


def test_an_image_of_the_catalogue_is_compared_with_a_file(here, tmp_path):
    with importing.opened(here.data_dir, types=derived.TYPES) as engine:
        image = derived.publish(
            engine, tmp_path / "disk.qcow2", "qcow2", 4 * MIB
        )

    code, told = ask(here, image.id, "--compare", tmp_path / "disk.vmdk")

    assert code == 0
    assert (told["same"], told["disk_format"]) == (True, "qcow2")
    assert importing.left(here.data_dir / "work") == []


def test_disks_that_differ_exit_with_1_and_name_the_block(here, tmp_path):
    with (tmp_path / "disk").open("r+b") as file:
        file.seek(2 * MIB + 70_000)
        file.write(b"\xff")

    code, told = ask(
        here, tmp_path / "disk.qcow2", "--compare", tmp_path / "disk"
    )

    assert code == 1
    assert (told["same"], told["differs_in_block"]) == (False, 33)
    assert told["differs_at_byte"] == 33 * 65_536


def test_a_hostile_file_is_not_opened(here, tmp_path):
    (tmp_path / "bad").write_bytes(
        crafted.qcow2(backing_file_offset=0x200, backing_file_size=11)
    )

    code, said = ask(here, tmp_path / "bad")

    assert code == 1
    assert "backing" in said
