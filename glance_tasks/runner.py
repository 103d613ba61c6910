# SPDX-License-Identifier: Apache-2.0
"""One run of one task: from its claim to its outcome, or to where it left."""

from collections.abc import Mapping
import contextlib
import dataclasses
import logging
from typing import Any

from taskflow import engines
from taskflow import states

from glance_tasks import boards
from glance_tasks import building
from glance_tasks import exceptions
from glance_tasks import executor
from glance_tasks import hearing
from glance_tasks import logs
from glance_tasks import outcome
from glance_tasks import recovery
from glance_tasks import reporting
from glance_tasks import retention
from glance_tasks import services as run_services
from glance_tasks import stopping
from glance_tasks import task
from glance_tasks import upgrades
from glance_tasks import verdicts
from glance_tasks.listeners import timeline
from glance_tasks.persistence import checkpoints
from glance_tasks.persistence import controls as control_rows
from glance_tasks.persistence import failures
from glance_tasks.persistence import flows
from glance_tasks.persistence import repository

LOG = logging.getLogger(__name__)


class Run:
    """One run of one task, in the thread that calls :meth:`execute`.

    :meth:`interrupt` and :meth:`flush` are for other threads.
    """

    def __init__(
        self,
        services: run_services.Services,
        claim: boards.Claim,
        pool: executor.CountingExecutor | None = None,
    ) -> None:
        """Run the task of ``claim``.

        :param pool: for types that ask for the parallel engine
        """
        self.claim = claim
        self._services = services
        self._task = claim.task
        self._pool = pool
        self._report = reporting.Report(services.tasks, claim.task)
        self._fence = stopping.RunFence(
            services.tasks, claim.task.id, claim.task.fence
        )
        self._signal = stopping.RunSignal(
            self._fence, services.claim_ttl, claim.since
        )
        self._backend: checkpoints.CheckpointBackend | None = None
        self._hearing = hearing.Hearing(
            *(claim.task, self._signal, self._report),
            ttl=services.claim_ttl,
            interrupt=self.interrupt,
        )

    # --- for other threads ---------------------------------------------------

    def interrupt(self) -> None:
        """Stop the run where it is, as a crash would."""
        # Refuse, then signal: an atom that leaves must not be recorded.
        if self._backend is not None:
            self._backend.refuse()
        self._signal.interrupt()

    @property
    def key(self) -> tuple[str, int]:
        """The task's id and the number of the claim."""
        return self._task.id, self._task.fence

    def hear(
        self, asked: control_rows.Asked | None, since: float
    ) -> float | None:
        """Do what is asked of the task; see :meth:`hearing.Hearing.hear`."""
        return self._hearing.hear(asked, since)

    @property
    def restarts(self) -> bool:
        """Whether the run is left because it stalled."""
        return self._hearing.restarts

    def renewed(self, since: float) -> None:
        """Hear that the lease was good at that time; monotonic clock."""
        self._signal.renewed(since)

    def flush(self) -> bool:
        """Write what the run has to report; False when the claim is lost."""
        return self._report.flush()

    def close(self) -> None:
        """Forget the secrets that were revealed."""
        self._report.hidden.clear()

    # --- the run -------------------------------------------------------------

    def execute(self) -> None:
        """Run the task to its end.

        :raises RunInterrupted: when it was stopped, or lost; it can go on
        """
        self._report.append("claimed", self._claimed())
        if self._obeyed():
            return
        try:
            built = self._build()
        except (
            exceptions.TaskTypeNotFound,
            exceptions.BrokenPlugin,
            exceptions.GraphChanged,
        ) as error:
            self._cannot_build(error)
            return
        if self._task.attempts >= self._services.max_attempts:
            verdict = verdicts.gave_up(self._services.database, self._task)
            if self._task.attempts >= 2 * self._services.max_attempts:
                # Not even the undoing gets anywhere.
                self._abandon(verdict)
                return
            self._signal.condemn(verdict)
        try:
            secrets = self._services.vault.opened(
                self._task, built.task_type, self._report.hidden
            )
        except exceptions.SecretsUnavailable as error:
            if self._task.control is task.Control.CANCEL:
                self._abandon(verdicts.cancelled(self._task.control_note))
            else:
                self.set_aside(str(error))
            return
        self._drive(built, secrets)

    def _obeyed(self) -> bool:
        """Do what was asked of the task before this run; tell if that is all.

        :raises RunInterrupted: when it is to be paused
        """
        self._hearing.look_at_the_clock(self._services.database)
        undoing = self._task.phase is task.Phase.REVERTING
        if self._task.control is task.Control.PAUSE and not undoing:
            raise exceptions.RunInterrupted("the task is to be paused")
        if self._task.control is not task.Control.CANCEL:
            return False
        verdict = verdicts.cancelled(self._task.control_note)
        if not self._began():
            self._end(failure=failures.of_error(verdict))
            return True
        self._signal.condemn(verdict)
        return False

    def _abandon(self, verdict: exceptions.TaskError) -> None:
        """End a task whose undoing is impossible."""
        left = ("what the task had done so far",)
        known = failures.of_error(verdict)
        self._end(failure=dataclasses.replace(known, left_behind=left))

    def _claimed(self) -> str:
        claim = self.claim
        taken = f" after {claim.lapsed} was lost" if claim.lapsed else ""
        return f"by {claim.holder} (claim {self._task.fence}){taken}"

    def _build(self) -> building.Built:
        services, held = self._services, self._task
        # A run that was frozen behind its claim leaves no directory.
        self._signal.check_interrupt()
        built = building.build(
            services.registry,
            services.shared,
            held,
            work_dir=services.area.take(
                held.id,
                held.fence,
                apart=self.claim.contested,
                check=self._signal.check_interrupt,
            ),
            progress=self._report,
            events=self._report,
            stop=self._signal,
            fence=self._fence,
            hidden=self._report.hidden,
        )
        said = upgrades.prepare(services.database, held, built)
        if said is not None:
            self._report.append("upgraded", said)
        return built

    def _began(self) -> bool:
        database = self._services.database
        return flows.of_task(database, self._task.id) is not None

    def _cannot_build(self, error: Exception) -> None:
        """Fail a task that never ran; keep one that did until it can."""
        held = self._task
        missing = isinstance(error, exceptions.TaskTypeNotFound)
        if held.control is task.Control.CANCEL:
            if (held.queue_reason or "").startswith(verdicts.UNDOING):
                # Nobody claimed it meanwhile who knows how to undo it.
                self._abandon(verdicts.cancelled(held.control_note))
            else:
                self.set_aside(f"{verdicts.UNDOING}: {error}")
            return
        if missing or self._began():
            self.set_aside(str(error))
            return
        LOG.warning("Task %s cannot run: %s", held.id, error)
        failure = failures.of_error(
            exceptions.TaskError(str(error), code="plugin_failed")
        )
        self._end(failure=failure)

    def set_aside(self, reason: str) -> None:
        """Leave the task until it is tried again, in a minute or so.

        :param reason: what the task shows meanwhile
        """
        services, held = self._services, self._task
        reason = self._report.clean(reason)
        LOG.warning("Task %s waits: %s", held.id, reason)
        if held.queue_reason != reason:
            # Only once: it is tried again every minute, perhaps for days.
            self._report.append("set_aside", reason)
            self._report.flush()
        services.tasks.set_queue_reason(held.id, held.fence, reason)
        services.controls.leave(self.claim, aside=True)
        if services.staging.staged(held.id).whole:
            # The last byte may have come just before.
            services.board.wake(0, held.id)

    def _drive(
        self, built: building.Built, secrets: Mapping[str, Any]
    ) -> None:
        parallel = built.task_type.engine == "parallel"
        backend = checkpoints.CheckpointBackend(
            self._services.database,
            self._task.id,
            self._task.fence,
            flow=built.stored,
            keep_running=parallel,
            reduce=self._report.reduce,
        )
        self._backend = backend
        self._signal_if_refused_early()
        with contextlib.closing(backend):
            detail = self._run_flow(built, backend, parallel, secrets)
        self._conclude(detail, built)

    def _run_flow(
        self,
        built: building.Built,
        backend: checkpoints.CheckpointBackend,
        parallel: bool,
        secrets: Mapping[str, Any],
    ) -> Any:
        """Run the flow to its end, unless it is there; give its detail."""
        detail = backend.load(built.flow.name)
        if detail.state not in outcome.ENDED:
            options = (
                {"engine": "parallel", "executor": self._pool}
                if parallel
                else {"engine": "serial"}
            )
            engine = engines.load(
                built.flow,
                flow_detail=detail,
                backend=backend,
                # Else a retry controller of a nested flow that gives up has
                # its own flow undone, and the rest stays as it is.
                defer_reverts=True,
                **options,
            )
            given = {**building.injected(self._task), **secrets}
            # transient: a cut between TaskFlow's two writes of the injector
            # left a flow that could never be resumed.
            engine.storage.inject(given, transient=True)
            self._run_engine(engine, detail, built)
        return detail

    def _signal_if_refused_early(self) -> None:
        # interrupt() may have come before there was a backend to refuse.
        if self._signal.interrupted and self._backend is not None:
            self._backend.refuse()

    def _run_engine(
        self, engine: Any, detail: Any, built: building.Built
    ) -> None:
        engine.compile()
        engine.prepare()
        atoms = list(engine.compilation.execution_graph.nodes())
        atoms = [a for a in atoms if hasattr(a, "save_as")]
        self._hearing.watch(
            *(self._services.tasks, atoms),
            stall_after=self._services.stall_after,
            on_stall=built.task_type.on_stall,
        )
        for name in recovery.recover(atoms, engine.storage):
            self._report.append(
                "artifact_lost",
                "what it left is gone: it runs again",
                atom=name,
            )
        finals = {a.name for a in atoms if getattr(a, "final", False)}
        if any(
            engine.storage.get_atom_state(n) == states.SUCCESS for n in finals
        ):
            self._signal.enter_final(done=True)
        listener = timeline.TimelineListener(
            engine,
            self._report,
            task_id=self._task.id,
            phases={a.name: a.phase for a in atoms if hasattr(a, "phase")},
            reduce=self._report.reduce,
            starting=lambda name: self._starts(name in finals),
        )
        logs.guard()  # TaskFlow makes some of its loggers with its engines
        try:
            with listener:
                engine.run()
        except Exception:  # the first of two places
            # What failed is in the checkpoints; what did not get there broke
            # TaskFlow itself, and nothing was undone.
            if not outcome.has_ended(engine.storage.get_flow_state(), detail):
                raise
            LOG.debug("Task %s failed", self._task.id, exc_info=True)
        finally:
            if self._pool is not None:
                self._pool.join()

    def _starts(self, final: bool) -> None:
        if final:
            self._signal.enter_final()

    # --- the outcome ---------------------------------------------------------

    def _conclude(self, detail: Any, built: building.Built) -> None:
        if detail.state == states.SUCCESS:
            last = next(atom for atom in detail if atom.name == "CheckResult")
            self._end(result=last.results)
        else:
            self._end(failure=outcome.failure(detail, built.graph))

    def _end(
        self,
        *,
        result: Mapping[str, Any] | None = None,
        failure: task.Failure | None = None,
    ) -> None:
        services, held = self._services, self._task
        self._fence.check()
        # Before the outcome: cut in between, a run finds every atom done and
        # needs no file.
        if retention.settle_cache(
            *(services.shared.cache, services.area, held, failure)
        ):
            self._report.append("kept", "what it had brought, for a retry")
        services.area.remove(held.id, held.fence)
        services.staging.sweep(held.id)
        if failure is None:
            self._report.append("succeeded")
        else:
            self._report.append(
                "failed", failure.message, detail={"code": failure.code}
            )
        ending = repository.Ending(
            time_to_live=services.retention.seconds(
                held.type, failed=failure is not None
            ),
            result=result,
            failure=failure,
        )
        happened = self._report.drain()
        if not services.tasks.end(
            held.id, held.fence, ending, happened, services.board.post
        ):
            raise exceptions.LeaseLost(
                f"task {held.id} is no longer held by claim {held.fence}"
            )
        services.vault.forget(held.id)
        LOG.info(
            "Task %s: %s ended as %s", held.id, held.type, _ended_as(failure)
        )


def _ended_as(failure: task.Failure | None) -> str:
    return f"failure ({failure.code})" if failure else "success"
