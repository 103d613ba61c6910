# SPDX-License-Identifier: Apache-2.0
"""Fetches as the tests make them: from loopback, never stopped."""

import pathlib
from typing import Any

from glance_tasks import ports
from glance_tasks.testing import doubles
from glance_tasks.transfer import fetcher
from glance_tasks.transfer import resolution
from glance_tasks.transfer import rules


def allowing(**changes: Any) -> rules.FetchRules:
    """Give rules under which loopback is allowed, on every port."""
    defaults: dict[str, Any] = {"ports": (), "networks": ("127.0.0.0/8",)}
    return rules.FetchRules(**{**defaults, **changes})


def fetch(
    uri: str,
    path: pathlib.Path,
    *,
    resolver: resolution.Resolver = resolution.system,
    algorithms: tuple[str, ...] = ("md5", "sha512"),
    max_bytes: int = 1 << 40,
    stop: ports.StopSignal | None = None,
    progress: ports.Progress | None = None,
    **changes: Any,
) -> ports.Fetched:
    """Fetch ``uri`` to ``path``; ``changes`` are fields of the rules."""
    return fetcher.GuardedFetcher(allowing(**changes), resolver).fetch(
        uri,
        path,
        algorithms=algorithms,
        max_bytes=max_bytes,
        stop=stop or doubles.NeverStop(),
        progress=progress or doubles.RecordingProgress(),
    )
