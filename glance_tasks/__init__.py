# SPDX-License-Identifier: Apache-2.0
"""Long image operations as durable tasks.

A task whose process was killed goes on from its checkpoint; one that fails
undoes what it did and says why in words its owner can act on. These names are
the public API; each is loaded when it is first used.
"""

import importlib
from typing import Any
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from glance_tasks.conductor import Conductor as Conductor
    from glance_tasks.context import BuildContext as BuildContext
    from glance_tasks.context import Limits as Limits
    from glance_tasks.context import PlanContext as PlanContext
    from glance_tasks.engine import TaskEngine as TaskEngine
    from glance_tasks.exceptions import ArchiveError as ArchiveError
    from glance_tasks.exceptions import BrokenPlugin as BrokenPlugin
    from glance_tasks.exceptions import CatalogueError as CatalogueError
    from glance_tasks.exceptions import CheckRefused as CheckRefused
    from glance_tasks.exceptions import ChecksumMismatch as ChecksumMismatch
    from glance_tasks.exceptions import (
        ConfigurationError as ConfigurationError,
    )
    from glance_tasks.exceptions import ConvertError as ConvertError
    from glance_tasks.exceptions import (
        DatabaseUnreachable as DatabaseUnreachable,
    )
    from glance_tasks.exceptions import DiskFull as DiskFull
    from glance_tasks.exceptions import FetchError as FetchError
    from glance_tasks.exceptions import GlanceTasksError as GlanceTasksError
    from glance_tasks.exceptions import ImageNotFound as ImageNotFound
    from glance_tasks.exceptions import InvalidInput as InvalidInput
    from glance_tasks.exceptions import LeaseLost as LeaseLost
    from glance_tasks.exceptions import RunInterrupted as RunInterrupted
    from glance_tasks.exceptions import SchemaBehind as SchemaBehind
    from glance_tasks.exceptions import ScrubError as ScrubError
    from glance_tasks.exceptions import (
        SecretsUnavailable as SecretsUnavailable,
    )
    from glance_tasks.exceptions import SendError as SendError
    from glance_tasks.exceptions import StoreError as StoreError
    from glance_tasks.exceptions import TaskConflict as TaskConflict
    from glance_tasks.exceptions import TaskError as TaskError
    from glance_tasks.exceptions import TaskNotFound as TaskNotFound
    from glance_tasks.exceptions import TaskTypeNotFound as TaskTypeNotFound
    from glance_tasks.exceptions import TryLater as TryLater
    from glance_tasks.exceptions import UndoLater as UndoLater
    from glance_tasks.exceptions import UnsafeImage as UnsafeImage
    from glance_tasks.exceptions import UploadTooBig as UploadTooBig
    from glance_tasks.exceptions import UploadTruncated as UploadTruncated
    from glance_tasks.locations import Location as Location
    from glance_tasks.locations import LocationStatus as LocationStatus
    from glance_tasks.logs import RedactingFilter as RedactingFilter
    from glance_tasks.opts import list_opts as list_opts
    from glance_tasks.opts import register_opts as register_opts
    from glance_tasks.plugin import Atom as Atom
    from glance_tasks.plugin import TaskType as TaskType
    from glance_tasks.ports.images import Image as Image
    from glance_tasks.ports.running import Artifact as Artifact
    from glance_tasks.ports.secrets import Secret as Secret
    from glance_tasks.ports.transfer import Staged as Staged
    from glance_tasks.registry import Registry as Registry
    from glance_tasks.task import Failure as Failure
    from glance_tasks.task import Lock as Lock
    from glance_tasks.task import Phase as Phase
    from glance_tasks.task import Requester as Requester
    from glance_tasks.task import Status as Status
    from glance_tasks.task import Task as Task

_WHERE = {
    "Conductor": "conductor",
    "TaskEngine": "engine",
    "Location": "locations",
    "LocationStatus": "locations",
    "RedactingFilter": "logs",
    "list_opts": "opts",
    "register_opts": "opts",
    "Atom": "plugin",
    "BuildContext": "context",
    "Limits": "context",
    "PlanContext": "context",
    "TaskType": "plugin",
    "Artifact": "ports.running",
    "Image": "ports.images",
    "Secret": "ports.secrets",
    "Staged": "ports.transfer",
    "Registry": "registry",
    "Failure": "task",
    "Lock": "task",
    "Phase": "task",
    "Requester": "task",
    "Status": "task",
    "Task": "task",
    **dict.fromkeys(
        (
            "ArchiveError",
            "BrokenPlugin",
            "CatalogueError",
            "CheckRefused",
            "ChecksumMismatch",
            "ConfigurationError",
            "ConvertError",
            "DatabaseUnreachable",
            "DiskFull",
            "FetchError",
            "GlanceTasksError",
            "ImageNotFound",
            "InvalidInput",
            "LeaseLost",
            "RunInterrupted",
            "SchemaBehind",
            "SecretsUnavailable",
            "SendError",
            "ScrubError",
            "StoreError",
            "TaskConflict",
            "TaskError",
            "TaskNotFound",
            "TaskTypeNotFound",
            "TryLater",
            "UndoLater",
            "UnsafeImage",
            "UploadTooBig",
            "UploadTruncated",
        ),
        "exceptions",
    ),
}

__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for (PEP 562)."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_WHERE[name]}")
    value = getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
