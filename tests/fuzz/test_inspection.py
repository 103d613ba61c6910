# SPDX-License-Identifier: Apache-2.0
"""Whatever bytes an image has, the inspection tells, refuses, and is cheap."""

import json
import subprocess

import hypothesis
import pytest

from glance_tasks import exceptions
from glance_tasks.imagefile import formats
from glance_tasks.imagefile import inspect
from glance_tasks.imagefile import process
from glance_tasks.imagefile import qemu
from glance_tasks.imagefile import restraint
from glance_tasks.testing import doubles
from tests.support import fuzzing
from tests.support import metering
from tests.support import mutation

LIMIT = 1 << 40
# The inspectors of oslo.utils see 256 MiB at most; a table of qcow2 has 32.
MEMORY, READ, CALLS = 80 << 20, 320 << 20, 300_000
RESTRAINED = restraint.Limits(60, 60, 4 << 30, 1 << 20)
# A look by qemu-img takes 20 ms, one by the inspection 5.
ONE_OF = 1 if fuzzing.SECONDS else 4


@pytest.mark.fuzz(weight=6.0)
@fuzzing.examples(500)
@hypothesis.given(mutation.mutants())
@hypothesis.example(mutation.bloated("vdi"))
@hypothesis.example(mutation.bloated("vhdx"))
def test_what_is_accepted_is_what_qemu_finds(tmp_path, mutant):
    path = tmp_path / "image"
    mutant.write(path)

    found = inspected(path, mutant)

    if found and fuzzing.sampled(mutant.data, ONE_OF):
        agree(path, found)


def inspected(path, mutant):
    """Inspect; None when it is refused, as an inspection may."""
    # What is held in memory was read, so most need no closer look.
    closely = fuzzing.sampled(mutant.data, 8)
    with metering.metered(memory=closely) as cost:
        try:
            found = inspect.inspect(path, mutant.declared, LIMIT)
        except exceptions.UnsafeImage as error:
            assert error.code in exceptions.FAILURES
            assert "; expected" in str(error)
            assert len(str(error)) < 1000
            found = None
    assert cost.memory < MEMORY
    assert cost.read < READ
    assert cost.calls < CALLS
    return found


def agree(path, found):
    """Look at the image as qemu sees it, if qemu takes it at all."""
    assert 0 < found.virtual_size <= LIMIT
    seen = told(*qemu.source_words(path, found.format))
    if seen is None:
        return
    size = found.virtual_size
    if found.format in formats.PLAIN:
        # qemu knows no disks of half a sector.
        size = -(-size // 512) * 512
        # Nor may a program that guesses take it for something else.
        assert told(str(path))["format"] == "raw"
    assert seen["virtual-size"] == size
    assert not seen.keys() & {"backing-filename", "full-backing-filename"}
    assert not seen.get("encrypted")
    special = seen.get("format-specific", {}).get("data", {})
    assert not special.keys() & {"data-file", "encrypt"}
    for extent in special.get("extents", ()):
        assert extent["filename"] == str(path)


def told(*words):
    """Give what qemu-img tells of an image; None when it takes it not."""
    command = ["qemu-img", "info", "--output=json", *words]
    with process.Process(
        command, RESTRAINED, doubles.NeverStop(), stdout=subprocess.PIPE
    ) as work:
        printed = work.stdout.read()
        try:
            work.require_success()
        except exceptions.ConvertError as error:
            assert error.code == "convert_failed", error.detail
            return None
    return json.loads(printed)
