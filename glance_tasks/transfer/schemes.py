# SPDX-License-Identifier: Apache-2.0
"""Endpoints by the scheme of an address, each made when it is first used."""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
import logging
import threading
from typing import Any

from glance_tasks import exceptions
from glance_tasks.transfer import client
from glance_tasks.transfer import file
from glance_tasks.transfer import http
from glance_tasks.transfer import resolution
from glance_tasks.transfer import rules as fetch_rules

LOG = logging.getLogger(__name__)

#: Makes an endpoint: what is allowed, and what asks by those rules.
Factory = Callable[[fetch_rules.FetchRules, client.HttpClient], Any]

#: Those that need no further library.
BUILT_IN: Mapping[str, Factory] = {
    "http": http.HttpEndpoint,
    "https": http.HttpEndpoint,
    "file": file.FileEndpoint,
}


class Endpoints(Mapping[str, Any]):
    """The endpoints of some rules. Shared between threads."""

    def __init__(
        self,
        rules: fetch_rules.FetchRules,
        factories: Mapping[str, Factory] = BUILT_IN,
        resolver: resolution.Resolver = resolution.system,
    ) -> None:
        """Make none yet: a library for one scheme loads when it is used.

        :param factories: by scheme
        :raises ConfigurationError: when the rules allow a scheme that has
            none
        """
        if unknown := set(rules.schemes) - set(factories):
            raise exceptions.ConfigurationError(
                f"allowed_schemes has {', '.join(sorted(unknown))}; expected"
                f" only {', '.join(sorted(factories))}"
            )
        self._rules, self._factories = rules, factories
        self._web = client.HttpClient(rules.web, resolver)
        self._made: dict[str, Any] = {}
        self._making = threading.Lock()

    def __getitem__(self, scheme: str) -> Any:
        """Give the endpoint of a scheme.

        :raises KeyError: when there is none, or what it needs is not installed
        """
        factory = self._factories[scheme]
        with self._making:
            if scheme not in self._made:
                try:
                    self._made[scheme] = factory(self._rules, self._web)
                except ImportError as error:
                    LOG.warning("No %s:// addresses here: %s", scheme, error)
                    raise KeyError(scheme) from error
            return self._made[scheme]

    def __iter__(self) -> Iterator[str]:
        """Give the schemes."""
        return iter(self._factories)

    def __len__(self) -> int:
        """Count the schemes."""
        return len(self._factories)
