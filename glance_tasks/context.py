# SPDX-License-Identifier: Apache-2.0
"""What a task type is given: while it plans a task, and while it runs one."""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import pathlib
from typing import Any
from typing import TYPE_CHECKING

from glance_tasks import exceptions
from glance_tasks import location_speed
from glance_tasks import locations
from glance_tasks import ports
from glance_tasks import redaction
from glance_tasks import task

if TYPE_CHECKING:
    from glance_tasks import plugin


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """What one task may use at most. Bytes and seconds.

    :ivar max_bytes: of one fetched file
    :ivar max_virtual_size: of the disk inside an image
    :ivar convert_min_rate: bytes of virtual disk per second; a conversion
        slower than that over its whole length is ended
    :ivar convert_memory: address space of a qemu-img or qemu-nbd process
    :ivar unpack_max_bytes: of one file that comes out of an archive
    :ivar unpack_max_ratio: bytes that come out for each byte of the archive
    :ivar unpack_memory: of a decompressor
    :ivar delete_delay: for which a deletion can be undone, at the least
    :ivar upload_max_bytes: of what is handed in for one task
    :ivar upload_timeout: for which a task waits for more of that
    """

    max_bytes: int = 1 << 40
    max_virtual_size: int = 1 << 40
    convert_min_rate: int = 4 << 20
    convert_memory: int = 4 << 30
    unpack_max_bytes: int = 1 << 40
    unpack_max_ratio: int = 2_000
    unpack_memory: int = 128 << 20
    delete_delay: float = 0.0
    upload_max_bytes: int = 1 << 40
    upload_timeout: float = 3600.0


@dataclasses.dataclass(frozen=True, slots=True)
class Scrubbing:
    """What is taken out of images that leave. Bytes and seconds.

    :ivar keep_properties: patterns of the names of those that may leave
    :ivar remove_properties: of those that may not, though they are kept
    :ivar refuse_properties: ``NAME=VALUE``, patterns of those with which no
        image may leave
    :ivar command: the operator's program and its arguments; none of it when
        empty
    :ivar command_timeout: wall clock
    :ivar command_processor_time: of one process of it
    :ivar command_memory: address space of one process
    """

    keep_properties: tuple[str, ...] = ("*",)
    remove_properties: tuple[str, ...] = ()
    refuse_properties: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    command_timeout: float = 7200.0
    command_processor_time: float = 3600.0
    command_memory: int = 4 << 30


#: The key of a plan: the tasks that this one retries, the last one first,
#: whose files it may take.
REUSES = "reuses"


@dataclasses.dataclass(frozen=True, slots=True)
class PlanContext:
    """What a type may look at while it plans a task, at submit.

    :ivar input: without its secrets, like that of the task
    :ivar owner: the project whose task it is; empty for the operator's own
    :ivar image_id: chosen by the engine for an image that the task makes; a
        retry keeps its predecessor's
    :ivar skip_steps: optional steps the deployer left out
    :ivar secrets: those of the input, by name
    :ivar temp_urls: None where nobody outside reaches this service
    :ivar store_names: of the stores that have names, the default one first
    """

    task_id: str
    owner: str
    input: Mapping[str, Any]
    image_id: str
    skip_steps: frozenset[str]
    fetcher: ports.Fetcher
    sender: ports.Sender
    limits: Limits
    catalogue: ports.ImageCatalog
    store_names: tuple[str, ...] = ()
    temp_urls: ports.TempUrls | None = None
    secrets: Mapping[str, ports.Secret] = dataclasses.field(
        default_factory=dict
    )


@dataclasses.dataclass(frozen=True, slots=True)
class BuildContext:
    """A task and the collaborators of its atoms, for one run.

    Graphs are also built to be drawn and compared, so constructors of atoms
    only keep the context; they call nothing in it.

    :ivar work_dir: this run's own directory; it exists while atoms run
    :ivar plan: what :meth:`TaskType.plan` gave at submit, plus ``image_id``,
        ``checks``, ``skip_steps`` and ``secrets``, the names of those there
        are
    :ivar hidden: what of the secrets was revealed, which no result may hold
    :ivar check_types: the check atoms named in the plan, by name
    :ivar staging: where bytes lie that are handed in for tasks
    :ivar cache: what failed tasks had brought from outside, for their retries;
        None keeps nothing
    :ivar store: where new images go: the default one
    :ivar stores: all by their names, the default one first; empty where
        there is one without a name
    :ivar projects: who knows which there are; None when nobody does
    :ivar speeds: what this node knows of how fast the stores are
    """

    task: task.Task
    work_dir: pathlib.Path
    catalogue: ports.ImageCatalog
    store: ports.ImageStore
    fetcher: ports.Fetcher
    sender: ports.Sender
    staging: ports.Staging
    progress: ports.Progress
    stop: ports.StopSignal
    fence: ports.Fence
    events: ports.EventLog
    limits: Limits = dataclasses.field(default_factory=Limits)
    scrubbing: Scrubbing = dataclasses.field(default_factory=Scrubbing)
    check_types: Mapping[str, "type[plugin.Atom]"] = dataclasses.field(
        default_factory=dict
    )
    hidden: redaction.Hidden = dataclasses.field(
        default_factory=redaction.Hidden
    )
    stores: Mapping[str, ports.ImageStore] = dataclasses.field(
        default_factory=dict
    )
    projects: ports.ProjectDirectory | None = None
    temp_urls: ports.TempUrls | None = None
    cache: ports.StagingCache | None = None
    speeds: location_speed.SpeedBook = dataclasses.field(
        default_factory=location_speed.SpeedBook
    )

    @property
    def input(self) -> Mapping[str, Any]:
        """The task's validated input, without its secrets."""
        return self.task.input

    @property
    def plan(self) -> Mapping[str, Any]:
        """What was decided at submit."""
        return self.task.plan

    @property
    def reuses(self) -> Sequence[str]:
        """The failed tasks of which this one may take what they brought."""
        reused: Sequence[str] = self.plan.get(REUSES, ())
        return reused

    @property
    def store_name(self) -> str:
        """The default store's name; empty where there is only that one."""
        return next(iter(self.stores), "")

    def store_of(self, location: locations.Location) -> ports.ImageStore:
        """Give the store that a location is in.

        :raises StoreError: when it is not configured (any more)
        """
        if not location.store:
            return self.store
        try:
            return self.stores[location.store]
        except KeyError:
            raise exceptions.StoreError(
                f"there is no store {location.store!r} here; expected one of"
                f" {', '.join(self.stores) or 'none with a name'}"
            ) from None

    def checks(self, image_file: str) -> "list[plugin.Atom]":
        """Make the check steps the deployer added, to be put into a flow.

        :param image_file: the name under which the flow provides the artifact
            that the checks are to look at
        """
        return [
            check(
                self, name=f"Check-{name}", rebind={"image_file": image_file}
            )
            for name, check in self.check_types.items()
        ]
