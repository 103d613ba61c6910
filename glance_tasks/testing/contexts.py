# SPDX-License-Identifier: Apache-2.0
"""The context of an atom that is tested alone, without an engine."""

from collections.abc import Mapping
import datetime
import pathlib
from typing import Any
from typing import cast
import uuid

# The function below has the module's name.
from glance_tasks import context as contexts
from glance_tasks import ports
from glance_tasks import task
from glance_tasks.testing import doubles
from glance_tasks.transfer import fetcher as transfer_fetcher
from glance_tasks.transfer import rules as transfer_rules
from glance_tasks.transfer import sender as transfer_sender

#: Where sources of tests listen; nothing there is fetched from by default.
LOOPBACK = ("127.0.0.0/8", "::1/128")


class NotGiven:
    """Stands for a collaborator that the test did not give the atom."""

    def __init__(self, name: str) -> None:
        """Stand for the part ``name`` of the context."""
        self._name = name

    def __getattr__(self, name: str) -> Any:
        """Say what the atom wanted of it, and what to do."""
        if name.startswith("__"):
            raise AttributeError(name)
        raise AssertionError(
            f"the atom used {name}() of its {self._name}; expected"
            f" context(..., {self._name}=...) to give it one"
        )


def context(
    work_dir: pathlib.Path,
    *,
    task_input: Mapping[str, Any] | None = None,
    plan: Mapping[str, Any] | None = None,
    owner: str = "project",
    limits: contexts.Limits | None = None,
    scrubbing: contexts.Scrubbing | None = None,
    catalogue: ports.ImageCatalog | None = None,
    store: ports.ImageStore | None = None,
    stores: Mapping[str, ports.ImageStore] | None = None,
    fetcher: ports.Fetcher | None = None,
    sender: ports.Sender | None = None,
    staging: ports.Staging | None = None,
    progress: ports.Progress | None = None,
    stop: ports.StopSignal | None = None,
    fence: ports.Fence | None = None,
    events: ports.EventLog | None = None,
) -> contexts.BuildContext:
    """Give a context to make one atom with: ``FetchImage(context(tmp_path))``.

    Where nothing is given: progress and events are recorded, the stop signal
    never comes, the fence is open, the fetcher and the sender are the guarded
    ones and may fetch from and send to loopback; a catalogue, a store or a
    staging area there is none of, and an atom that uses it fails with an
    AssertionError that says so.

    :param work_dir: made when it does not exist
    :param plan: what the type's ``plan`` would give; an ``image_id`` is there
        in any case
    """
    work_dir.mkdir(parents=True, exist_ok=True)
    return contexts.BuildContext(
        task=_task(task_input or {}, plan or {}, owner),
        work_dir=work_dir,
        catalogue=catalogue or cast(Any, NotGiven("catalogue")),
        store=store or cast(Any, NotGiven("store")),
        stores=stores or {},
        fetcher=fetcher or _fetcher(),
        sender=sender or _sender(),
        staging=staging or cast(Any, NotGiven("staging")),
        progress=progress or doubles.RecordingProgress(),
        stop=stop or doubles.NeverStop(),
        fence=fence or doubles.OpenFence(),
        events=events or doubles.RecordingEvents(),
        limits=limits or contexts.Limits(),
        scrubbing=scrubbing or contexts.Scrubbing(),
    )


def _task(
    given: Mapping[str, Any], plan: Mapping[str, Any], owner: str
) -> task.Task:
    now = datetime.datetime.now(datetime.UTC)
    decided = {
        "image_id": str(uuid.uuid4()),
        "checks": [],
        "skip_steps": [],
        "secrets": [],
        **plan,
    }
    return task.Task(
        id=str(uuid.uuid4()),
        type="tested",
        status=task.Status.PROCESSING,
        phase=task.Phase.PROCESSING,
        owner=owner,
        input=given,
        plan=decided,
        image_id=decided["image_id"],
        fence=1,
        created_at=now,
        updated_at=now,
    )


def _fetcher() -> ports.Fetcher:
    return transfer_fetcher.GuardedFetcher(
        transfer_rules.FetchRules(ports=(), networks=LOOPBACK)
    )


def _sender() -> ports.Sender:
    return transfer_sender.GuardedSender(
        transfer_rules.SendRules(ports=(), networks=LOOPBACK)
    )
