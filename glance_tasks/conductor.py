# SPDX-License-Identifier: Apache-2.0
"""The conductor: claims tasks from the board and runs them.

It is a process of its own (``glance-tasks conductor run``) or a few threads
inside a service, started and stopped by two calls.
"""

import concurrent.futures
import logging
import os
import socket
import threading
import time
from typing import Protocol
import uuid

from oslo_config import cfg

from glance_tasks import announcing
from glance_tasks import boards
from glance_tasks import exceptions
from glance_tasks import executor
from glance_tasks import placement
from glance_tasks import ports
from glance_tasks import presence
from glance_tasks import reaper
from glance_tasks import runner
from glance_tasks import services as run_services
from glance_tasks import workdir
from glance_tasks.persistence import controls as control_rows
from glance_tasks.transfer import cache
from glance_tasks.transfer import staging

LOG = logging.getLogger(__name__)

# How often expired tasks are looked for, and tasks that were set aside are
# tried again.
_SWEEP_S = 60.0

# How soon a signal is heard while there is nothing to do.
_SLICE_S = 0.25

# Seconds that the last notifications may take when a conductor stops.
_TELL_S = 2.0

# How often it is looked whether something is asked of the tasks, and how often
# what they report is written.
_PULSE_S = 0.5
_REPORT_S = 0.9


class Employer(Protocol):
    """The engine whose tasks a conductor runs."""

    conf: cfg.ConfigOpts
    area: workdir.WorkArea
    staging: staging.StagingArea
    cache: cache.StagingCache
    store: ports.ImageStore

    def services(self) -> run_services.Services:
        """Give what runs need."""
        ...


class Conductor:
    """Runs the tasks of one engine, up to ``max_tasks`` at a time.

    ``start`` and ``stop`` are for services; ``run`` is both in one for a
    process. Stopping is draining: each run is left where it is and its task
    given back, to be resumed from its checkpoint by whoever claims it next.
    """

    def __init__(
        self,
        engine: Employer,
        *,
        max_tasks: int | None = None,
        name: str | None = None,
    ) -> None:
        """Prepare a conductor; it claims nothing before it is started.

        :param max_tasks: the configured number when None
        :param name: under which it holds leases; unique among all conductors
        :raises ConfigurationError: when ``placement`` is malformed
        """
        conf = engine.conf.glance_tasks
        self.name = name or (
            f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        )
        self._engine = engine
        self._services = engine.services()
        self._others = placement.left_to_others(
            self._services.registry, engine.conf
        )
        self._max_tasks = max_tasks or conf.max_tasks
        self._ttl = conf.claim_ttl
        self._poll = conf.poll_interval
        # A plain value: a signal may strike while this very thread holds the
        # lock of an Event, and setting that would wait for ever.
        self._stopping = False
        self._ended = threading.Event()
        # Set whenever a slot becomes free, so that the loop looks at once.
        self._free = threading.Event()
        self._lock = threading.Lock()
        # By claim: one that does not leave may be claimed here again.
        self._runs: dict[tuple[str, int], runner.Run] = {}
        self._loop: threading.Thread | None = None
        self._pulse: threading.Thread | None = None
        self._announcing: threading.Thread | None = None
        self._presence: presence.Presence | None = None
        self._executor = executor.CountingExecutor(max(2, self._max_tasks))
        self._slots = concurrent.futures.ThreadPoolExecutor(
            self._max_tasks, thread_name_prefix="glance-tasks-run"
        )

    # --- two calls for a service ---------------------------------------------

    def start(self) -> None:
        """Begin to claim tasks, in threads of its own.

        :raises OSError: when the work directory cannot be used
        """
        self._begin()
        self._loop = threading.Thread(
            target=self._claim_all, args=(False,), name="glance-tasks-claim"
        )
        self._loop.start()

    def stop(self) -> None:
        """Leave every run where it is, give the tasks back, end the threads.

        Returns within a second or two: atoms look at the stop signal at least
        once a second.
        """
        self._stopping = True
        self._free.set()
        if self._loop is not None:
            self._loop.join()
        self._finish()

    # --- one call for a process ----------------------------------------------

    def run(self, *, until_idle: bool = False) -> None:
        """Claim and run tasks in this thread until :meth:`drain` is called.

        :param until_idle: return when no task is left that could run
        """
        self._begin()
        try:
            self._claim_all(until_idle)
        finally:
            self._finish()

    def drain(self) -> None:
        """Make :meth:`run` return; safe to call from a signal handler."""
        self._stopping = True

    def run_one(self, task_id: str) -> None:
        """Run that task in this thread, once it can be claimed; then return.

        Returns at once when it has ended, another conductor holds it, or it
        asks for labels that this host has not.
        """
        self._begin()
        try:
            claim = self._services.board.claim(
                self.name, self._ttl, task_id, self._others
            )
            if claim is not None:
                self._work(self._entered(claim))
        finally:
            self._finish()

    # --- life ----------------------------------------------------------------

    def _begin(self) -> None:
        for plugin_name, reason in self._services.registry.broken().items():
            LOG.error("%s cannot be used: %s", plugin_name, reason)
        self._presence = presence.Presence(self._engine.area.root, self.name)
        self._pulse = threading.Thread(
            target=self._beat, name="glance-tasks-pulse", daemon=True
        )
        self._pulse.start()
        if self._services.announcer is not None:
            self._announcing = threading.Thread(
                target=self._announce,
                args=(self._services.announcer,),
                name="glance-tasks-announce",
                daemon=True,
            )
            self._announcing.start()
        LOG.info("Conductor %s runs %d tasks", self.name, self._max_tasks)

    def _finish(self) -> None:
        self._stopping = True
        with self._lock:
            runs = list(self._runs.values())
        for run in runs:
            run.interrupt()
        self._slots.shutdown(wait=True)
        self._executor.shutdown(wait=True)
        self._ended.set()
        if self._pulse is not None:
            self._pulse.join()
        if self._announcing is not None:
            # What it cannot tell by then others do.
            self._announcing.join(_TELL_S)
        if self._presence is not None:
            self._presence.leave()

    # --- claiming ------------------------------------------------------------

    def _claim_all(self, until_idle: bool) -> None:
        swept = -_SWEEP_S
        while not self._stopping:
            try:
                if time.monotonic() - swept >= _SWEEP_S:
                    self._sweep()
                    swept = time.monotonic()
                self._bury()
                claimed = self._claim_one()
                if until_idle and not claimed and self._idle():
                    return
            except exceptions.DatabaseUnreachable as error:
                LOG.warning("%s; trying again", error)
                claimed = False
            if not claimed:
                self._rest()

    def _rest(self) -> None:
        """Wait until it is time to look again, or a slot is free."""
        until = time.monotonic() + self._poll
        while not self._stopping and time.monotonic() < until:
            if self._free.wait(min(self._poll, _SLICE_S)):
                break
        self._free.clear()

    def _claim_one(self) -> bool:
        with self._lock:
            if len(self._runs) >= self._max_tasks:
                return False
        claim = self._services.board.claim(
            self.name, self._ttl, but=self._others
        )
        if claim is None:
            return False
        LOG.info("Task %s: claimed (%d)", claim.task.id, claim.task.fence)
        self._slots.submit(self._work, self._entered(claim))
        return True

    def _entered(self, claim: boards.Claim) -> runner.Run:
        run = runner.Run(self._services, claim, self._executor)
        with self._lock:
            self._runs[run.key] = run
        return run

    def _idle(self) -> bool:
        with self._lock:
            if self._runs:
                return False
        return self._services.board.pending(self._others) == 0

    def _bury(self) -> None:
        """Take over at once what conductors held that died on this machine."""
        for name in presence.dead(self._engine.area.root):
            held = self._services.board.release(name)
            LOG.warning("Conductor %s died; it held %d tasks", name, held)

    def _sweep(self) -> None:
        self._services.board.wake(_SWEEP_S)
        services = self._services
        try:
            reaper.reap(
                services.database,
                (self._engine.area, self._engine.staging),
                services.vault,
                self._engine.store,
                cache=self._engine.cache,
            )
        except OSError as error:
            # A directory of another user's, a disk that fails: work goes on.
            LOG.warning("Nothing could be swept: %s", error)

    # --- working -------------------------------------------------------------

    def _work(self, run: runner.Run) -> None:
        task_id = run.claim.task.id
        try:
            run.execute()
        except (exceptions.LeaseLost, exceptions.DatabaseGone) as left:
            LOG.warning("Task %s: left: %s", task_id, left)
        except (exceptions.TryLater, exceptions.SecretLocked) as left:
            run.set_aside(str(left))
        except exceptions.RunInterrupted:
            self._give_back(run)
        except exceptions.DatabaseUnreachable as error:
            LOG.warning("Task %s: left: %s", task_id, error)
        except Exception:  # the second of two places
            # Not given back: its lease lapses, and that counts as an attempt.
            LOG.exception("Task %s: the run broke", task_id)
        finally:
            with self._lock:
                self._runs.pop(run.key, None)
            run.close()
            self._free.set()

    def _give_back(self, run: runner.Run) -> None:
        task_id = run.claim.task.id
        try:
            run.flush()
            if run.restarts:
                self._services.board.lapse(run.claim)
                left = "left, because it stalled"
            else:
                left = self._services.controls.leave(run.claim)
            LOG.info("Task %s: %s", task_id, left)
        except exceptions.DatabaseUnreachable as error:
            LOG.warning("Task %s: could not be given back: %s", task_id, error)

    def _announce(self, announcer: announcing.Announcer) -> None:
        """Tell what becomes of tasks, also what its last runs came to."""
        ended = False
        while not ended:
            ended = self._ended.wait(self._poll)
            try:
                while announcer.announce() and not self._stopping:
                    pass
            except exceptions.DatabaseUnreachable as error:
                LOG.warning("%s; trying again", error)

    # --- the pulse -----------------------------------------------------------

    def _beat(self) -> None:
        """Keep leases alive and write reports until every run has ended."""
        renewed = reported = time.monotonic()
        while not self._ended.wait(min(_PULSE_S, self._ttl / 3)):
            with self._lock:
                runs = list(self._runs.values())
            try:
                if time.monotonic() - renewed >= self._ttl / 3:
                    self._renew([r for r in runs if not r.restarts], self._ttl)
                    renewed = time.monotonic()
                self._hear(runs)
                if time.monotonic() - reported >= _REPORT_S:
                    self._report(runs)
                    reported = time.monotonic()
            except exceptions.DatabaseUnreachable as error:
                LOG.warning("%s; trying again", error)
            except Exception:
                # Without a pulse every lease of this conductor would lapse.
                LOG.exception("The pulse broke; trying again")

    def _hear(self, runs: list[runner.Run]) -> None:
        """Do what is asked of the tasks, and answer by renewing the lease."""
        if not runs:
            return
        since = time.monotonic()
        ids = {run.claim.task.id for run in runs}
        asked = control_rows.asked(self._services.database, ids)
        for run in runs:
            try:
                lease = run.hear(asked.get(run.claim.task.id), since)
            except exceptions.DatabaseUnreachable:
                raise
            except Exception:
                # What is wrong with one must not cost the others their lease.
                LOG.exception("Task %s: it cannot be judged", run.key[0])
                continue
            if lease is not None:
                self._renew([run], lease)

    @staticmethod
    def _report(runs: list[runner.Run]) -> None:
        for run in runs:
            if not run.flush():
                run.interrupt()

    def _renew(self, runs: list[runner.Run], seconds: float) -> None:
        since = time.monotonic()
        claims = [run.claim for run in runs]
        lost = self._services.board.renew(claims, seconds)
        for run in runs:
            if run.claim in lost:
                LOG.warning("Task %s: its lease was lost", run.key[0])
                run.interrupt()
            elif seconds == self._ttl:
                run.renewed(since)
