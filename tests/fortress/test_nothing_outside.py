# SPDX-License-Identifier: Apache-2.0
"""Whatever an image names, nobody opens it: not we, and not qemu.

Whole imports of images that point to a file of this machine, watched by
strace with every program they start, and by an audit hook in Python.
"""

import os
import pathlib
import random
import shutil
import sys

import pytest

from tests.support import cutting
from tests.support import traced
from tests.support.corpus import pointing
from tests.support.corpus import real
from tests.support.corpus import specimen

pytestmark = pytest.mark.slow

MIB = 1 << 20
ROOT = pathlib.Path(__file__).parents[2]

#: What programs and their libraries read anywhere; no image's bytes are there.
SYSTEM = (
    *("/usr/", "/lib/", "/lib64/", "/proc/", "/sys/", "/dev/null"),
    *("/dev/urandom", "/etc/ld.so.", "/etc/ssl/", "/etc/locale"),
    *("/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/gai.conf"),
    *("/etc/nsswitch.conf", "/etc/localtime", "/etc/mime.types"),
    *("/etc/passwd", "/etc/group"),
)


@pytest.fixture(scope="module")
def strace():
    if shutil.which("strace") is None:
        if os.environ.get("CI"):
            pytest.fail("strace is missing; CI needs it")
        pytest.skip("no strace")


@pytest.fixture(scope="module")
def canary(tmp_path_factory):
    """A file that the images point to."""
    path = tmp_path_factory.mktemp("elsewhere") / "shadow"
    path.write_bytes(b"root:*:19000:" * 100_000)
    return path


def subjects(canary, count):
    """Give that many images that point to the canary, or all, and a good one.

    Some of each kind are always there.
    """
    plain, nested = pointing.specimens(canary), pointing.nested(canary)
    made = [s for s in real.SPECIMENS if s.declared != "raw"]
    honest = real.converted("-O", "qcow2")
    if count is not None:
        chooser = random.Random(cutting.seed())
        plain = chooser.sample(plain, count)
        nested, made = chooser.sample(nested, 2), chooser.sample(made, 2)
    return [
        *(*plain, *nested, *made),
        specimen.Specimen("honest", "qcow2", None, honest),
    ]


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(8, id="a sample"),
        pytest.param(None, id="all", marks=pytest.mark.soak),
    ],
)
def watched(request, strace, canary, tmp_path_factory):
    """What was seen while they were imported."""
    home = tmp_path_factory.mktemp("home")
    return traced.run(home, subjects(canary, request.param))


def test_every_image_that_points_elsewhere_is_refused(watched):
    passed = {
        name: code
        for name, (code, _) in watched.outcomes.items()
        if code != "unsafe_image"
    }

    assert len(watched.outcomes) >= 13
    assert passed == {"honest": "success"}


def test_an_image_in_a_disk_is_found_in_the_disk(watched):
    steps = {
        step for name, (_, step) in watched.outcomes.items() if "-O" in name
    }

    assert steps == {"ConvertImage"}


def test_nobody_looks_at_what_an_image_points_to(watched, canary):
    looked = [line for line in watched.lines if canary.name in line]

    assert looked == []


def test_nothing_is_opened_but_the_task_s_own_and_the_system_s(watched):
    roots = (sys.prefix, sys.base_prefix, ROOT, watched.home)
    allowed = (
        *(f"{root}/" for root in roots),
        *(f"{os.path.realpath(root)}/" for root in roots),
        *SYSTEM,
    )

    astray = {
        path
        for path in watched.opened
        # Pipes and sockets have a name with a colon and no place.
        if path[0] == "/" and not f"{path}/".startswith(allowed)
    }

    assert any(path.startswith(str(watched.home)) for path in watched.opened)
    assert astray == set()


def test_only_the_programs_that_are_meant_to_run_are_started(watched):
    names = {pathlib.Path(path).name for path in watched.started}

    needed = {"setpriv", "sh", "qemu-nbd"}
    assert needed <= names
    # The second is what it is found out with whether there are namespaces.
    extra = {"unshare", "true", pathlib.Path(sys.executable).name}
    assert names - needed <= extra


def test_python_s_own_account_is_the_same(watched, canary):
    opened = [what for kind, what in watched.audited if kind == "open"]
    connected = {
        # qemu-nbd's socket has a name of the kernel's, which is no file.
        "qemu-nbd" if what.startswith("b'\\x00") else what.rpartition(",")[0]
        for kind, what in watched.audited
        if kind == "socket.connect"
    }

    assert not [path for path in opened if canary.name in path]
    assert connected == {"('127.0.0.1'", "qemu-nbd"}


def test_what_is_opened_elsewhere_would_be_seen(
    strace, canary, tmp_path_factory
):
    name = "vmdk: a flat extent alone"
    chosen = [s for s in pointing.specimens(canary) if s.name == name]

    seen = traced.run(tmp_path_factory.mktemp("home"), chosen, trusting=True)

    assert str(canary) in seen.opened
    assert seen.outcomes[name][0] == "success"
