# SPDX-License-Identifier: Apache-2.0
"""The guarded way out for bytes."""

from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import os
import pathlib

from glance_tasks import exceptions
from glance_tasks import ports
from glance_tasks.transfer import destination
from glance_tasks.transfer import endpoint
from glance_tasks.transfer import patience
from glance_tasks.transfer import resolution
from glance_tasks.transfer import rules as fetch_rules
from glance_tasks.transfer import schemes
from glance_tasks.transfer import upload

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


class GuardedSender:
    """Sends where the rules allow. Shared between threads.

    Fills in :class:`glance_tasks.ports.Sender`.
    """

    def __init__(
        self,
        rules: fetch_rules.SendRules | None = None,
        resolver: resolution.Resolver = resolution.system,
        factories: Mapping[str, schemes.Factory] = schemes.BUILT_IN,
    ) -> None:
        """Keep the rules; nobody is asked.

        :param rules: None for the defaults
        :param resolver: turns a host's name into addresses
        :param factories: of endpoints, by scheme
        """
        self._rules = rules or fetch_rules.SendRules()
        self._endpoints: Mapping[str, destination.Writable] = (
            schemes.Endpoints(self._rules, factories, resolver)
        )

    def location(self, uri: str, name: str) -> str:
        """Give the address of an object under a prefix; see the port."""
        with _in_words():
            return self._endpoint(uri).location(uri, name)

    def preflight(
        self, uri: str, credentials: endpoint.Credentials | None = None
    ) -> None:
        """Check what can be known of ``uri``; see the port."""
        with _in_words():
            self._endpoint(uri).preflight_send(uri, credentials)

    def send(
        self,
        parcel: ports.Parcel,
        path: pathlib.Path,
        *,
        stop: ports.StopSignal,
        progress: ports.Progress,
        fence: ports.Fence,
    ) -> ports.Sent:
        """Send a file; see the port."""
        with contextlib.closing(self._destination(parcel)) as target:
            fd = os.open(path, _READ)
            try:
                return upload.Upload(
                    parcel, target, stop=stop, progress=progress, fence=fence
                ).run(fd)
            finally:
                os.close(fd)

    def remove(self, parcel: ports.Parcel, *, stop: ports.StopSignal) -> None:
        """Remove what was sent; see the port."""
        with contextlib.closing(self._destination(parcel)) as target:
            patience.patiently(target.remove, stop)

    def _destination(self, parcel: ports.Parcel) -> destination.Destination:
        with _in_words():
            return self._endpoint(parcel.uri).destination(parcel)

    def _endpoint(self, uri: str) -> destination.Writable:
        scheme = self._rules.check_scheme(uri)
        found = self._endpoints.get(scheme)
        if found is None or not hasattr(found, "destination"):
            raise fetch_rules.refusal(
                f"nothing is installed that writes {scheme}:// addresses"
            )
        return found


@contextlib.contextmanager
def _in_words() -> Iterator[None]:
    try:
        yield
    except exceptions.FetchError as error:
        raise patience.in_words(error) from error
