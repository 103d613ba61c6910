# SPDX-License-Identifier: Apache-2.0
"""convert and clone, cut at writes to the database and killed in the midst."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest

from glance_tasks.testing import cuts
from tests.support import cutting
from tests.support import derived
from tests.support import engines
from tests.support import images
from tests.support import importing

MIB = 1 << 20

SCENARIOS = {
    "qcow2 to raw": ("convert", "qcow2", {"disk_format": "raw"}, None),
    "raw to vmdk": ("convert", "raw", {"disk_format": "vmdk"}, None),
    "clone": ("clone", "qcow2", {}, None),
    "ReadImage fails": ("clone", "damaged", {}, "image_damaged"),
    "InspectImage fails": (
        "convert",
        "wrong",
        {"disk_format": "raw"},
        "format_mismatch",
    ),
}


class Scene:
    """A task that makes an image of an image, played again and again."""

    def __init__(self, name, home):
        """Make the source's file."""
        self._kind, self._source, self._given, self._code = SCENARIOS[name]
        self._file = home / "source"
        images.disk(home / "disk", MIB)
        if self._source in ("qcow2", "damaged"):
            images.made(self._file, home / "disk", "-O", "qcow2")
        else:
            (home / "disk").rename(self._file)
        self._images = {}

    def make_engine(self, home):
        """Give an engine; the image is there from the first life on."""
        engine = derived.make_engine(home)
        if home not in self._images:
            self._publish(home, engine)
        return engine

    def _publish(self, home, engine):
        disk_format = "raw" if self._source == "raw" else "qcow2"
        copy = home / "copy"
        copy.write_bytes(self._file.read_bytes())
        image = derived.publish(engine, copy, disk_format, MIB)
        copy.unlink()
        if self._source == "damaged":
            stored = home / "store" / image.id
            stored.chmod(0o600)
            with stored.open("r+b") as file:
                file.write(b"X")
        self._images[home] = image

    def submit(self, home, engine):
        """Submit the task."""
        source = self._images[home]
        given = {"image_id": source.id, **self._given}
        return engine.submit(self._kind, given, owner="project")

    def check(self, home, engine):
        """Check the end of the task, if it was submitted at all."""
        source, tasks = self._images[home], engine.find()
        expected = {source.id}
        if tasks and self._code is None:
            task = engine.get(tasks[0].id)
            assert task.message is None
            expected.add(task.image_id)
            assert importing.torn(engine) == []
        elif tasks:
            failure = engine.get(tasks[0].id).failure
            assert (failure.code, failure.left_behind) == (self._code, ())
        assert {i.id for i in engine.catalogue.find()} == expected
        assert set(importing.left(home / "store")) == expected
        assert importing.left(home / "work") == []
        assert engine.catalogue.get(source.id) == source


def cut(name, home, choose):
    scene = Scene(name, home)
    number = cutting.cut_everywhere(
        home / "cuts",
        scene.make_engine,
        scene.submit,
        scene.check,
        choose=choose,
    )
    print(f"{name}: {number} cuts")


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_task_that_is_cut_comes_to_the_same_end(tmp_path, name):
    cut(name, tmp_path, lambda writes: cutting.some_cuts(writes, 2))


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_task_may_be_cut_at_any_write(tmp_path, name):
    cut(name, tmp_path, cuts.every_cut)


def started(home):
    words = [sys.executable, "-m", "tests.support.derived", str(home)]
    paths = os.pathsep.join(sys.path)
    return subprocess.Popen(words, env={**os.environ, "PYTHONPATH": paths})


def killed_when(home, task_id, pattern):
    """Kill a conductor as soon as there is such a file; tell whether."""
    with started(home) as process:

        def there():
            found = list((home / "work" / task_id).glob(pattern))
            return bool(found) or process.poll() is not None

        engines.until(there, pattern)
        process.send_signal(signal.SIGKILL)
        return process.wait() == -signal.SIGKILL


@pytest.mark.parametrize(
    "target", ["raw", pytest.param("qcow2", marks=pytest.mark.soak)]
)
def test_a_killed_conversion_goes_on_and_comes_out_right(
    tmp_path: pathlib.Path, target
):
    home = tmp_path / "home"
    importing.noise_file(tmp_path / "disk", 96 * MIB)
    source = "qcow2" if target == "raw" else "raw"
    images.made(tmp_path / "image", tmp_path / "disk", "-O", source)
    engine = derived.make_engine(home)
    image = derived.publish(engine, tmp_path / "image", source, 96 * MIB)
    given = {"image_id": image.id, "disk_format": target}
    task = engine.submit("convert", given, owner="project")

    killed = killed_when(home, task.id, "*/converted")
    engines.lapse(engine)
    engines.run_all(engine)

    done = engine.get(task.id)
    assert killed
    assert done.status == "success", done.message
    stored = home / "store" / done.image_id
    assert images.same_disk(tmp_path / "disk", "raw", stored, target)
    assert importing.torn(engine) == []
    assert importing.left(home / "work") == []
    engine.close()
