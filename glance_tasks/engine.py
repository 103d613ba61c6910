# SPDX-License-Identifier: Apache-2.0
"""The engine: what a service talks to. It submits tasks and reads them.

Running them is the :mod:`glance_tasks.conductor`'s, in this process or in
another one, on this machine or on another one.
"""

from collections.abc import Mapping
import contextlib
import dataclasses
import functools
from typing import Any
from typing import BinaryIO

from oslo_config import cfg

from glance_tasks import announcing
from glance_tasks import belonging
from glance_tasks import boards
from glance_tasks import building
from glance_tasks import collaborators
from glance_tasks import conductor
from glance_tasks import controls
from glance_tasks import drawing
from glance_tasks import exceptions
from glance_tasks import graph
from glance_tasks import opts
from glance_tasks import planning
from glance_tasks import ports
from glance_tasks import reading
from glance_tasks import receiving
from glance_tasks import registry
from glance_tasks import retention
from glance_tasks import services as run_services
from glance_tasks import stores as image_stores
from glance_tasks import submission
from glance_tasks import task
from glance_tasks import workdir
from glance_tasks.boards import sql as sql_board
from glance_tasks.persistence import database as db
from glance_tasks.persistence import identity
from glance_tasks.persistence import migrations
from glance_tasks.persistence import repository
from glance_tasks.secrets import vault
from glance_tasks.transfer import cache
from glance_tasks.transfer import staging

#: Priorities lie between this and its negative.
MAX_PRIORITY = 1_000_000

# Seconds after which run() tries a task again that was set aside.
_AGAIN_S = 5.0


class TaskEngine(reading.TaskReader):
    """Tasks of one configuration; safe to share between threads.

    There is no global state: several engines with different configurations
    live in one process. Calls that take a ``requester`` show it only the
    tasks of its project; None means the operator, who sees all.

    Every method raises ``DatabaseUnreachable`` when the database is away.
    """

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        *,
        types: registry.Registry | None = None,
        catalogue: ports.ImageCatalog | None = None,
        store: ports.ImageStore | None = None,
        stores: Mapping[str, ports.ImageStore] | None = None,
        fetcher: ports.Fetcher | None = None,
        sender: ports.Sender | None = None,
        secret_store: ports.SecretStore | None = None,
        projects: ports.ProjectDirectory | None = None,
        notifier: ports.Notifier | None = None,
    ) -> None:
        """Make an engine of ``conf``; the rest is for services with their own.

        :param store: the default one; those of ``conf`` are not made then
        :param stores: several by their names
        :raises ConfigurationError: when an option's value cannot work
        :raises SchemaBehind: when the database needs 'db sync'; the embedded
            SQLite is brought up to date by itself
        """
        opts.register_opts(conf)
        self.conf = conf
        self.database = db.Database(opts.connection(conf))
        if self.database.embedded:
            migrations.sync(self.database)
        else:
            migrations.check(self.database)
        self.registry = types or registry.Registry()
        chosen = conf.glance_tasks
        notifier = notifier or (
            self._adapter("notifier", chosen.notifier)
            if chosen.notifier
            else None
        )
        self.tasks = repository.TaskRepository(
            self.database, announces=notifier is not None
        )
        self._announcer = (
            announcing.Announcer(self.database, self.tasks, notifier)
            if notifier
            else None
        )
        self.board: boards.Board = sql_board.SqlBoard(self.database)
        mark = belonging.Mark(identity.of(self.database))
        self.area = workdir.WorkArea(opts.work_dir(conf), mark)
        self.staging = staging.StagingArea(opts.staging_dir(conf), mark)
        self.cache = cache.StagingCache(
            opts.cache_dir(conf), chosen.cache_max_bytes, mark
        )
        self.catalogue = catalogue or self._adapter(
            "catalogue", chosen.catalogue
        )
        self.stores = stores or {}
        if store is None:
            store, self.stores = image_stores.made(
                conf, functools.partial(self._adapter, "store")
            )
        self.store = store
        self.secret_store: ports.SecretStore = secret_store or self._adapter(
            "secret_store", chosen.secret_store
        )
        self.vault = vault.Vault(self.database, self.secret_store)
        self.temp_urls = collaborators.signer(conf)
        self._shared = collaborators.surroundings(
            conf,
            catalogue=self.catalogue,
            store=self.store,
            stores=self.stores,
            projects=projects,
            temp_urls=self.temp_urls,
            fetcher=fetcher,
            sender=sender,
            staging=self.staging,
            cache=self.cache,
        )
        self._submitter = submission.Submitter(
            *(conf, self.registry, self._shared, self.database),
            *(self.tasks, self.board, self.vault),
        )
        # Asked for each time: a change affects tasks that end later.
        self._retention = functools.partial(retention.configured, conf)
        self._retention()
        self._controls = controls.Controls(
            *(self.database, self.tasks, self.board, self.vault),
            self._retention,
        )
        self._receiver = receiving.Receiver(
            *(self.tasks, self.board, self.staging, self._shared.limits)
        )

    def _adapter(self, kind: str, name: str, which: str = "") -> Any:
        engine = self.database.engine
        return collaborators.adapter(self.conf, engine, kind, name, which)

    def close(self) -> None:
        """Close the connections to the database."""
        self.database.close()

    # --- submit --------------------------------------------------------------

    def submit(
        self,
        type_name: str,
        task_input: Mapping[str, Any],
        *,
        owner: str | None = None,
        requester: task.Requester | None = None,
        priority: int = 0,
        idempotency_key: str | None = None,
        parent_id: str | None = None,
    ) -> task.Task:
        """Take a task on: checked, planned and durable when this returns.

        :param owner: whose task it is, when the operator submits it; a
            requester's is its project's
        :param priority: the larger, the sooner it runs
        :param idempotency_key: at most 255 characters; the same one with the
            same type and input gives the task that there is already, until
            that is reaped
        :param parent_id: of the task that this one is a part of
        :raises InvalidInput: with a pointer to each field that does not fit
        :raises TaskNotFound: when the parent is none the requester may see
        :raises TaskTypeNotFound: when no such type is installed
        :raises BrokenPlugin: when the type cannot be used
        :raises SecretsUnavailable: when its secrets cannot be kept
        :raises TaskConflict: when a living task holds what this one needs, or
            the key belongs to one with another input
        """
        draft = planning.draft(type_name, task_input, requester, owner)
        task.check_texts(idempotency_key=idempotency_key)
        faults = []
        if idempotency_key == "":
            faults.append(("idempotency_key", "is empty"))
        if abs(priority) > MAX_PRIORITY:
            faults.append(("priority", f"is not between +-{MAX_PRIORITY}"))
        if faults:
            raise exceptions.InvalidInput(faults)
        draft = dataclasses.replace(
            draft,
            priority=priority,
            idempotency_key=idempotency_key,
            parent_id=parent_id and self.get(parent_id, requester).id,
        )
        return self._submitter.submit(draft, requester)

    def retry(
        self,
        task_id: str,
        requester: task.Requester | None = None,
        secrets: Mapping[str, Any] | None = None,
        *,
        reuse: bool = True,
    ) -> task.Task:
        """Submit a failed task again, as a new one linked by ``retry_of``.

        It keeps the owner and the id of the image.

        :param secrets: by name; each that the task had must be given again,
            as they are gone with its end
        :param reuse: whether what the failed task had brought from outside is
            taken from the staging cache, verified by digest, instead of being
            brought again
        :raises InvalidInput: when a secret is missing, or is none
        :raises TaskNotFound: when there is none the requester may see
        :raises TaskConflict: when it has not failed, was retried already, or
            a living task holds what it needs
        """
        old = self.tasks.get(task_id, requester)
        draft = planning.again(
            *(self.registry, old, secrets or {}, requester), reuse=reuse
        )
        return self._submitter.submit(draft, requester)

    # --- control -------------------------------------------------------------

    def cancel(
        self,
        task_id: str,
        requester: task.Requester | None = None,
        *,
        reason: str = "",
    ) -> task.Task:
        """Have a task undone and ended, with the failure code ``cancelled``.

        Returns at once; a transfer or a conversion stops within two seconds.
        What has done something that nothing can undo ends as it would have.
        To cancel again changes nothing.

        :param reason: at most 255 characters, for whoever reads the task
        :raises TaskNotFound: when there is none the requester may see
        :raises TaskConflict: when it has ended
        :raises InvalidInput: when the reason is no plain text
        """
        self._controls.cancel(task_id, requester, reason)
        return self.tasks.get(task_id)

    def pause(
        self,
        task_id: str,
        requester: task.Requester | None = None,
        *,
        reason: str = "",
    ) -> task.Task:
        """Have a task left where it is until :meth:`resume`, held by nobody.

        Returns at once; whatever works on it leaves within two seconds. It
        keeps its checkpoints, files and locks. To pause again changes nothing.

        :param reason: at most 255 characters, for whoever reads the timeline
        :raises TaskNotFound: when there is none the requester may see
        :raises TaskConflict: when it has ended or is being undone
        :raises InvalidInput: when the reason is no plain text
        """
        self._controls.pause(task_id, requester, reason)
        return self.tasks.get(task_id)

    def resume(
        self, task_id: str, requester: task.Requester | None = None
    ) -> task.Task:
        """Let a paused task go on from where it was left.

        :raises TaskNotFound: when there is none the requester may see
        :raises TaskConflict: when it is not paused
        """
        self._controls.resume(task_id, requester)
        return self.tasks.get(task_id)

    # --- handing in ----------------------------------------------------------

    def receive(
        self,
        task_id: str,
        source: BinaryIO,
        *,
        offset: int = 0,
        length: int | None = None,
        requester: task.Requester | None = None,
    ) -> ports.Staged:
        """Take in bytes for a task that waits for some, such as an upload.

        They are kept though this raises: go on from where :meth:`received`
        says. Blocks until ``source`` ends, or has given ``length`` bytes.

        :param source: only ``read(size)`` is called; what raises is a cut
        :param offset: of its first byte
        :param length: bytes that it should have, when that is known
        :raises TaskNotFound: when there is none the requester may see
        :raises TaskConflict: when it takes no bytes (any more), others than
            those from ``offset`` on, or takes some just now
        :raises UploadTruncated: when fewer come than ``length``, or none
        :raises UploadTooBig: when more come than were announced or may
        :raises DiskFull: when there is no room
        :raises StoreError: when they cannot be kept otherwise
        """
        waiting = self.tasks.get(task_id, requester)
        return self._receiver.receive(waiting, source, offset, length)

    def received(
        self, task_id: str, requester: task.Requester | None = None
    ) -> ports.Staged:
        """Tell how far a task's bytes have been handed in.

        :raises TaskNotFound: when there is none the requester may see
        """
        return self.staging.staged(self.tasks.get(task_id, requester).id)

    # --- graphs --------------------------------------------------------------

    def draw(
        self, type_name: str, task_input: Mapping[str, Any] | None = None
    ) -> graph.Graph:
        """Give the graph that a task of this type would run now.

        :param task_input: the schema's example when None
        :raises TaskTypeNotFound: when no such type is installed
        :raises InvalidInput: when the input does not fit
        """
        return drawing.drawn(
            self.registry, self._shared, self.conf, type_name, task_input
        )

    def build(self, found: task.Task) -> building.Built:
        """Give the flow that this task would run now; nothing is executed.

        :raises TaskTypeNotFound: when its type is not installed
        :raises BrokenPlugin: when its type cannot be used
        """
        return building.build(self.registry, self._shared, found)

    # --- running -------------------------------------------------------------

    def run(
        self, task_id: str, requester: task.Requester | None = None
    ) -> task.Task:
        """Run a task in this thread, without a conductor; give it as it ends.

        Where a conductor holds it already, waits for that one.

        :raises TaskNotFound: when there is none the requester may see
        """
        while not self.tasks.get(task_id, requester).ended:
            # What is set aside would wait for a conductor's sweep.
            self.board.wake(_AGAIN_S, task_id)
            conductor.Conductor(self, max_tasks=1).run_one(task_id)
            with contextlib.suppress(TimeoutError):
                self.wait(task_id, self.conf.glance_tasks.poll_interval)
        return self.tasks.get(task_id, requester)

    def services(self) -> run_services.Services:
        """Give a conductor what its runs need."""
        conf = self.conf.glance_tasks
        return run_services.Services(
            database=self.database,
            tasks=self.tasks,
            board=self.board,
            registry=self.registry,
            shared=self._shared,
            area=self.area,
            staging=self.staging,
            vault=self.vault,
            controls=self._controls,
            announcer=self._announcer,
            retention=self._retention(),
            max_attempts=conf.max_attempts,
            claim_ttl=conf.claim_ttl,
            stall_after=conf.stall_after,
        )
