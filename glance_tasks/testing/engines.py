# SPDX-License-Identifier: Apache-2.0
"""An engine on a temporary database, as a fixture."""

from collections.abc import Callable
from collections.abc import Mapping
import pathlib
from typing import Any

import fixtures
from oslo_config import cfg

from glance_tasks import conductor
from glance_tasks import engine as task_engine
from glance_tasks import opts
from glance_tasks import plugin
from glance_tasks import ports
from glance_tasks import registry
from glance_tasks import task
from glance_tasks.persistence import database as db
from glance_tasks.persistence import migrations
from glance_tasks.testing import clock
from glance_tasks.testing import contexts
from glance_tasks.testing import fixture

#: Options by group, in the groups' full names.
Settings = Mapping[str, Mapping[str, Any]]

WrapStore = Callable[[ports.ImageStore], ports.ImageStore]
WrapCatalogue = Callable[[ports.ImageCatalog], ports.ImageCatalog]

_DEFAULTS: Settings = {
    "glance_tasks": {"poll_interval": 0.05},
    "glance_tasks_fetch": {
        "allowed_networks": list(contexts.LOOPBACK),
        "allowed_ports": [],
    },
}


class _Engine(task_engine.TaskEngine):
    """An engine with something around its configured adapters."""

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        around: Mapping[str, Callable[[Any], Any]],
        **parts: Any,
    ) -> None:
        self._around = around
        super().__init__(conf, **parts)

    def _adapter(self, kind: str, name: str, which: str = "") -> Any:
        adapter = super()._adapter(kind, name, which)
        return self._around.get(kind, lambda inner: inner)(adapter)


class EngineFixture(fixture.PlainFixture):
    """An engine of its own: database, directories, configuration.

    Everything lies under one temporary directory and is gone afterwards. The
    database is the embedded SQLite, unless the option ``connection`` names
    another one, which is brought up to date first. Sources on loopback may be
    fetched from, on every port; all other options are production's defaults.

    :ivar engine: the :class:`glance_tasks.TaskEngine`
    :ivar home: the directory, ``data_dir`` of the configuration
    :ivar clock: makes time pass for this engine's database
    """

    engine: task_engine.TaskEngine
    home: pathlib.Path
    clock: clock.FakeClock

    def __init__(
        self,
        *,
        types: Mapping[str, type[plugin.TaskType]] | None = None,
        checks: Mapping[str, type[plugin.Atom]] | None = None,
        home: pathlib.Path | None = None,
        settings: Settings | None = None,
        catalogue: ports.ImageCatalog | None = None,
        store: ports.ImageStore | None = None,
        fetcher: ports.Fetcher | None = None,
        projects: ports.ProjectDirectory | None = None,
        wrap_catalogue: WrapCatalogue | None = None,
        wrap_store: WrapStore | None = None,
        **options: Any,
    ) -> None:
        """Choose what the engine is made of; :meth:`setUp` makes it.

        :param types: task types by name; those installed when None
        :param checks: check atoms by name; those installed when None
        :param home: a directory that outlives the fixture; a temporary one
            when None
        :param settings: options of other groups, by the groups' names
        :param wrap_store: gives what the engine has instead of the configured
            store, such as ``lambda inner: FailingStore(inner, call=2)``
        :param options: of the group ``glance_tasks``, such as
            ``max_attempts=1``
        """
        super().__init__()
        self._home = home
        self._registry = {"types": types, "checks": checks}
        self._settings: Settings = {
            **(settings or {}),
            "glance_tasks": options,
        }
        self._parts = {
            "catalogue": catalogue,
            "store": store,
            "fetcher": fetcher,
            "projects": projects,
        }
        around = {"catalogue": wrap_catalogue, "store": wrap_store}
        self._around = {k: wrap for k, wrap in around.items() if wrap}

    def _setUp(self) -> None:
        self.home = self._home or pathlib.Path(
            self.useFixture(fixtures.TempDir()).path
        )
        self._open()
        # By name: restart() replaces it.
        self.addCleanup(lambda: self.engine.close())

    def _open(self) -> None:
        conf = self.configuration()
        if conf.glance_tasks.connection:
            database = db.Database(conf.glance_tasks.connection)
            migrations.sync(database)
            database.close()
        types: Any = self._registry
        self.engine = _Engine(
            conf,
            self._around,
            types=registry.Registry(**types),
            **self._parts,
        )
        self.clock = clock.FakeClock(self.engine)

    def configuration(self) -> cfg.ConfigOpts:
        """Give a new configuration of this engine, for one more of it."""
        conf = cfg.ConfigOpts()
        opts.register_opts(conf)
        conf([], project="glance-tasks-testing", default_config_files=[])
        conf.set_override("data_dir", str(self.home), "glance_tasks")
        for settings in (_DEFAULTS, self._settings):
            for group, chosen in settings.items():
                for name, value in chosen.items():
                    conf.set_override(name, value, group)
        return conf

    def restart(self) -> task_engine.TaskEngine:
        """Close the engine and open one more on what is on disk; give it.

        It is the next life of a service: nothing in memory is carried over.
        """
        self.engine.close()
        self._open()
        return self.engine

    def run(self, task_id: str) -> task.Task:
        """Run a task in this thread, by a conductor; give it as it ended.

        :raises AssertionError: when it could not be claimed or did not end,
            with what the task says about it
        :raises TaskNotFound: when there is no such task
        """
        conductor.Conductor(self.engine, max_tasks=1).run_one(task_id)
        found = self.engine.get(task_id)
        if not found.ended:
            reason = found.queue_reason or "no reason is stored"
            raise AssertionError(
                f"task {task_id} is {found.phase} in its claim {found.fence}"
                f" ({reason}); expected it to have ended"
            )
        return found
