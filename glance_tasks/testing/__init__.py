# SPDX-License-Identifier: Apache-2.0
"""What those who write task types test them with; extra ``[testing]``.

These names are public; each is loaded when it is first used, so that a double
costs no database and a database's fixture no test runner.
"""

import importlib
from typing import Any
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from glance_tasks.testing.case import TaskTypeTestCase as TaskTypeTestCase
    from glance_tasks.testing.certification.certificate import (
        Certificate as Certificate,
    )
    from glance_tasks.testing.certification.certifier import (
        Certifier as Certifier,
    )
    from glance_tasks.testing.certification.certifier import certify as certify
    from glance_tasks.testing.certification.subject import Subject as Subject
    from glance_tasks.testing.clock import FakeClock as FakeClock
    from glance_tasks.testing.contexts import context as context
    from glance_tasks.testing.cuts import Cut as Cut
    from glance_tasks.testing.cuts import Cutter as Cutter
    from glance_tasks.testing.cuts import every_cut as every_cut
    from glance_tasks.testing.cuts import PowerCut as PowerCut
    from glance_tasks.testing.databases import MariaDBFixture as MariaDBFixture
    from glance_tasks.testing.databases import (
        PostgreSQLFixture as PostgreSQLFixture,
    )
    from glance_tasks.testing.doubles import LostFence as LostFence
    from glance_tasks.testing.doubles import NeverStop as NeverStop
    from glance_tasks.testing.doubles import Noted as Noted
    from glance_tasks.testing.doubles import OpenFence as OpenFence
    from glance_tasks.testing.doubles import RecordingEvents as RecordingEvents
    from glance_tasks.testing.doubles import (
        RecordingProgress as RecordingProgress,
    )
    from glance_tasks.testing.doubles import StopAfter as StopAfter
    from glance_tasks.testing.doubles import StopWhen as StopWhen
    from glance_tasks.testing.engines import EngineFixture as EngineFixture
    from glance_tasks.testing.failing_catalogue import (
        FailingCatalogue as FailingCatalogue,
    )
    from glance_tasks.testing.failing_store import FailingStore as FailingStore
    from glance_tasks.testing.full_disk import DiskAbsent as DiskAbsent
    from glance_tasks.testing.full_disk import FullDisk as FullDisk
    from glance_tasks.testing.http_source import HttpSource as HttpSource
    from glance_tasks.testing.http_source import Request as Request
    from glance_tasks.testing.http_source import Resource as Resource
    from glance_tasks.testing.leftovers import find_leftovers as find_leftovers
    from glance_tasks.testing.object_stores import SwiftFixture as SwiftFixture
    from glance_tasks.testing.s3_server import S3Server as S3Server
    from glance_tasks.testing.servers import Server as Server
    from glance_tasks.testing.servers import ServerAbsent as ServerAbsent
    from glance_tasks.testing.sources import SourceFixture as SourceFixture
    from glance_tasks.testing.swift_server import SwiftServer as SwiftServer

_NAMES = {
    "case": ("TaskTypeTestCase",),
    "certification.certificate": ("Certificate",),
    "certification.certifier": ("Certifier", "certify"),
    "certification.subject": ("Subject",),
    "clock": ("FakeClock",),
    "contexts": ("context",),
    "cuts": ("Cut", "Cutter", "PowerCut", "every_cut"),
    "databases": ("MariaDBFixture", "PostgreSQLFixture"),
    "doubles": (
        *("LostFence", "NeverStop", "Noted", "OpenFence", "RecordingEvents"),
        *("RecordingProgress", "StopAfter", "StopWhen"),
    ),
    "engines": ("EngineFixture",),
    "failing_catalogue": ("FailingCatalogue",),
    "failing_store": ("FailingStore",),
    "full_disk": ("DiskAbsent", "FullDisk"),
    "http_source": ("HttpSource", "Request", "Resource"),
    "leftovers": ("find_leftovers",),
    "object_stores": ("SwiftFixture",),
    "s3_server": ("S3Server",),
    "servers": ("Server", "ServerAbsent"),
    "sources": ("SourceFixture",),
    "swift_server": ("SwiftServer",),
}
_WHERE = {name: home for home, names in _NAMES.items() for name in names}

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
