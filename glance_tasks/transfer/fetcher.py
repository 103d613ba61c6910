# SPDX-License-Identifier: Apache-2.0
"""The guarded way in for bytes from elsewhere."""

from collections.abc import Mapping
from collections.abc import Sequence
import pathlib

from glance_tasks import ports
from glance_tasks.transfer import download
from glance_tasks.transfer import endpoint
from glance_tasks.transfer import order
from glance_tasks.transfer import resolution
from glance_tasks.transfer import rules as fetch_rules
from glance_tasks.transfer import schemes


class GuardedFetcher:
    """Fetches what the rules allow, durably. Shared between threads.

    Fills in :class:`glance_tasks.ports.Fetcher`.
    """

    def __init__(
        self,
        rules: fetch_rules.FetchRules | None = None,
        resolver: resolution.Resolver = resolution.system,
        factories: Mapping[str, schemes.Factory] = schemes.BUILT_IN,
    ) -> None:
        """Keep the rules; nobody is asked.

        :param rules: None for the defaults
        :param resolver: turns a host's name into addresses
        :param factories: of endpoints, by scheme
        """
        self._rules = rules or fetch_rules.FetchRules()
        self._endpoints: Mapping[str, endpoint.Endpoint] = schemes.Endpoints(
            self._rules, factories, resolver
        )

    def preflight(self, uri: str) -> None:
        """Check what can be known of ``uri`` without asking anybody."""
        self._endpoint(uri).preflight(uri)

    def fetch(
        self,
        uri: str,
        path: pathlib.Path,
        *,
        algorithms: Sequence[str],
        max_bytes: int,
        stop: ports.StopSignal,
        progress: ports.Progress,
        credentials: endpoint.Credentials | None = None,
    ) -> ports.Fetched:
        """Bring the bytes of ``uri`` to ``path``, going on where a cut left.

        ``stop`` and ``progress`` are called by the caller's thread only. One
        ``path`` may be fetched to by one thread at a time.
        """
        wanted = order.Order(
            uri=uri,
            path=path,
            algorithms=tuple(sorted(set(algorithms))),
            max_bytes=min(max_bytes, self._rules.max_bytes),
            stop=stop,
            progress=progress,
            credentials=credentials,
        )
        self.preflight(uri)
        return download.Download(
            wanted, self._endpoint(uri), self._rules
        ).run()

    def _endpoint(self, uri: str) -> endpoint.Endpoint:
        scheme = self._rules.check_scheme(uri)
        try:
            return self._endpoints[scheme]
        except KeyError as error:
            raise fetch_rules.refusal(
                f"nothing is installed that reads {scheme}:// addresses"
            ) from error
