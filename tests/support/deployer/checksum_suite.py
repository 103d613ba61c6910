# SPDX-License-Identifier: Apache-2.0
"""Tests of the checksum as test cases: python -m testtools.run THIS_MODULE."""

import hashlib
import pathlib

from deployer_tasks import ChecksumTask
from fixtures import TempDir

from glance_tasks.testing import DiskAbsent
from glance_tasks.testing import EngineFixture
from glance_tasks.testing import FullDisk
from glance_tasks.testing import PostgreSQLFixture
from glance_tasks.testing import Resource
from glance_tasks.testing import ServerAbsent
from glance_tasks.testing import TaskTypeTestCase

BODY = b"an image" * 100_000


class ChecksumTest(TaskTypeTestCase):
    """The type alone: an engine on SQLite, a source on loopback."""

    types = {"checksum": ChecksumTask}

    def test_the_digest_is_that_of_the_bytes(self):
        uri = self.source.put("/a", Resource(BODY))

        task = self.run_task("checksum", {"uri": uri})

        result = self.assertSucceeds(task)
        expected = hashlib.sha256(BODY).hexdigest()
        self.assertEqual({"sha256": expected}, result)
        self.assertNothingLeft()

    def test_a_connection_that_is_cut_is_made_again(self):
        cut = Resource(BODY, cut_after=len(BODY) // 2, cuts=1)
        uri = self.source.put("/a", cut)

        task = self.run_task("checksum", {"uri": uri})

        self.assertSucceeds(task)
        self.assertEqual(2, len(self.source.requests))

    def test_an_address_of_nothing_fails_the_fetch(self):
        task = self.run_task("checksum", {"uri": self.source.url("/a")})

        self.assertFails(task, "source_not_found", step="FetchImage")
        self.assertNothingLeft()


class ChecksumOnFullDiskTest(TaskTypeTestCase):
    """The same with too little room in the work directory."""

    def make_fixture(self):
        home = self.useFixture(TempDir()).path
        disk = FullDisk(pathlib.Path(home) / "disk", len(BODY) // 2)
        try:
            self.useFixture(disk)
        except DiskAbsent as error:
            self.skipTest(str(error))
        return EngineFixture(
            types={"checksum": ChecksumTask}, work_dir=str(disk.path)
        )

    def test_a_full_disk_is_named_so(self):
        uri = self.source.put("/a", Resource(BODY))

        task = self.run_task("checksum", {"uri": uri})

        self.assertFails(task, "disk_full", step="FetchImage")
        self.assertNothingLeft()


class ChecksumOnPostgreSQLTest(TaskTypeTestCase):
    """The same on a real server, where there is one."""

    def make_fixture(self):
        try:
            database = self.useFixture(PostgreSQLFixture())
        except ServerAbsent as error:
            self.skipTest(str(error))
        return EngineFixture(
            types={"checksum": ChecksumTask}, connection=database.url
        )

    def test_the_type_needs_nothing_that_only_sqlite_has(self):
        uri = self.source.put("/a", Resource(BODY))

        task = self.run_task("checksum", {"uri": uri})

        self.assertSucceeds(task)
        self.assertNothingLeft()
