# SPDX-License-Identifier: Apache-2.0
"""s3 sources and destinations: AWS's, and all that speak as it does."""

from urllib import parse

from glance_tasks import ports
from glance_tasks import redaction
from glance_tasks.transfer import body
from glance_tasks.transfer import client
from glance_tasks.transfer import endpoint
from glance_tasks.transfer import http
from glance_tasks.transfer import rules as fetch_rules
from glance_tasks.transfer.s3 import access as s3_access
from glance_tasks.transfer.s3 import client as s3_client
from glance_tasks.transfer.s3 import destination as s3_destination
from glance_tasks.transfer.s3 import upload as s3_upload


class S3Endpoint:
    """Opens and fills ``s3://BUCKET/KEY``. Shared between threads.

    Credentials have ``access_key`` and ``secret_key``, and may have
    ``session_token``, ``region``, ``endpoint_url`` and ``addressing_style``.
    """

    def __init__(
        self, rules: fetch_rules.FetchRules, web: client.HttpClient
    ) -> None:
        """Keep the rules and what asks by them; nobody is asked yet."""
        self._rules, self._web = rules, web
        self._http = http.HttpEndpoint(rules.web, web)

    # --- reading -------------------------------------------------------------

    def preflight(self, uri: str) -> None:
        """Check the form of the address."""
        s3_access.Address.of(uri)

    def open(
        self,
        uri: str,
        offset: int,
        known: endpoint.Identity | None,
        stop: ports.StopSignal,
        credentials: endpoint.Credentials | None = None,
    ) -> body.HttpStream:
        """Ask for the object by a signed address, as any other file."""
        address = s3_access.Address.of(uri)
        access = s3_access.Access.of(credentials, self._rules)
        asking = s3_client.make(access, self._web, redaction.plain_uri(uri))
        return self._http.open(asking.signed(address), offset, known, stop)

    # --- writing -------------------------------------------------------------

    def location(self, uri: str, name: str) -> str:
        """Give the address of ``name`` below the prefix ``uri``."""
        found = f"{uri.rstrip('/')}/{parse.quote(name)}"
        s3_access.Address.of(found)
        return found

    def preflight_send(
        self, uri: str, credentials: endpoint.Credentials | None
    ) -> None:
        """Check the form of the address and of the credentials."""
        self.location(uri, "name")
        self._login(credentials)

    def destination(
        self, parcel: ports.Parcel
    ) -> s3_destination.S3Destination:
        """Give the object to be; nobody is asked yet."""
        address = s3_access.Address.of(parcel.uri)
        access = self._login(parcel.credentials)
        shown = redaction.plain_uri(parcel.uri)
        asking = s3_client.make(access, self._web, shown)
        amazon = access.endpoint_url is None
        most = s3_upload.AWS_PARTS if amazon else s3_upload.PARTS
        return s3_destination.S3Destination(
            parcel, address, asking, self._rules, most
        )

    def _login(
        self, credentials: endpoint.Credentials | None
    ) -> s3_access.Access:
        access = s3_access.Access.of(credentials, self._rules)
        access.require_login()
        return access
