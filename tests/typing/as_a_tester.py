# SPDX-License-Identifier: Apache-2.0
"""What a deployer writes with the test kit; never run, only checked."""

from collections.abc import Mapping
import functools
import pathlib
from typing import Any
from typing import assert_type

from glance_tasks import Failure
from glance_tasks import ports
from glance_tasks import Task
from glance_tasks import TaskEngine
from glance_tasks.testing import context
from glance_tasks.testing import EngineFixture
from glance_tasks.testing import FailingCatalogue
from glance_tasks.testing import FailingStore
from glance_tasks.testing import FakeClock
from glance_tasks.testing import find_leftovers
from glance_tasks.testing import FullDisk
from glance_tasks.testing import LostFence
from glance_tasks.testing import MariaDBFixture
from glance_tasks.testing import NeverStop
from glance_tasks.testing import OpenFence
from glance_tasks.testing import RecordingEvents
from glance_tasks.testing import RecordingProgress
from glance_tasks.testing import Resource
from glance_tasks.testing import SourceFixture
from glance_tasks.testing import StopAfter
from glance_tasks.testing import StopWhen
from glance_tasks.testing import TaskTypeTestCase
from tests.typing import as_a_deployer
from tests.typing import own_catalogue

STOPS: list[ports.StopSignal] = [
    *(NeverStop(), StopAfter(2), StopWhen(lambda: True)),
]
FENCES: list[ports.Fence] = [OpenFence(), LostFence(2)]
PROGRESS: ports.Progress = RecordingProgress()
EVENTS: ports.EventLog = RecordingEvents()
CATALOGUE: ports.ImageCatalog = FailingCatalogue(
    own_catalogue.MemoryCatalogue(), call=2, side="after"
)


def a_store(inner: ports.ImageStore) -> ports.ImageStore:
    """Give a store that fails."""
    return FailingStore(inner, call=3, error=OSError("told so"))


class CountTest(TaskTypeTestCase):
    """Tests of a task type."""

    types = {"count": as_a_deployer.CountTask}
    options = {"max_attempts": 1}

    def make_fixture(self) -> EngineFixture:
        """Give an engine on MariaDB, with a small disk and a bad store."""
        database = self.useFixture(MariaDBFixture(durable=False))
        disk = self.useFixture(FullDisk(pathlib.Path("disk"), 1 << 20))
        return EngineFixture(
            types=self.types,
            wrap_store=functools.partial(FailingStore, call=2),
            wrap_catalogue=FailingCatalogue,
            connection=database.url,
            work_dir=str(disk.path),
        )

    def test_it(self) -> None:
        """Run a task."""
        uri = self.source.put("/a", Resource(b"image", etag=None))
        task = self.run_task("count", {"uri": uri}, owner="project")
        assert_type(task, Task)
        assert_type(self.engine, TaskEngine)
        assert_type(self.clock, FakeClock)
        assert_type(self.assertSucceeds(task), Mapping[str, Any])
        assert_type(self.assertFails(task, "disk_full", step="A"), Failure)
        self.assertNothingLeft()


def alone(work_dir: pathlib.Path) -> None:
    """Test an atom alone, and an engine in a function."""
    atom = as_a_deployer.CountBytes(context(work_dir, stop=StopAfter(1)))
    atom.execute({"name": "fetched", "size": 5})
    with EngineFixture() as kit, SourceFixture() as served:
        assert_type(served.source.url("/a"), str)
        assert_type(kit.run("id"), Task)
        kit.clock.advance(3600)
        assert_type(find_leftovers(kit.engine), list[str])
