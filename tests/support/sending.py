# SPDX-License-Identifier: Apache-2.0
"""Sending files to destinations, as a task would."""

import hashlib
import pathlib
from typing import Any

from glance_tasks import ports
from glance_tasks.testing import doubles
from glance_tasks.transfer import rules
from glance_tasks.transfer import sender

PART = 64 << 10


def allowing(**changes: Any) -> rules.SendRules:
    """Give rules that allow the loopback, with small parts."""
    given: dict[str, Any] = {
        "ports": (),
        "networks": ("127.0.0.0/8",),
        "chunk_size": PART,
        "connect_timeout": 5.0,
        "read_timeout": 5.0,
    }
    return rules.SendRules(**{**given, **changes})


def parcel(uri: str, body: bytes, **changes: Any) -> ports.Parcel:
    """Give what is to be sent."""
    given: dict[str, Any] = {
        "token": "6d0c4f6e",
        "size": len(body),
        "md5": hashlib.md5(body, usedforsecurity=False).hexdigest(),
    }
    return ports.Parcel(uri=uri, **{**given, **changes})


def send(
    wanted: ports.Parcel,
    path: pathlib.Path,
    allowed: rules.SendRules,
    **changes: Any,
) -> ports.Sent:
    """Send a file."""
    given: dict[str, Any] = {
        "stop": doubles.NeverStop(),
        "progress": doubles.RecordingProgress(),
        "fence": doubles.OpenFence(),
    }
    return sender.GuardedSender(allowed).send(
        wanted, path, **{**given, **changes}
    )


def remove(wanted: ports.Parcel, allowed: rules.SendRules) -> None:
    """Remove what was sent."""
    sender.GuardedSender(allowed).remove(wanted, stop=doubles.NeverStop())
