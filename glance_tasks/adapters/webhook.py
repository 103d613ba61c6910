# SPDX-License-Identifier: Apache-2.0
"""Notifications as HTTP requests to one address of the operator's."""

from collections.abc import Mapping
import datetime
import hashlib
import hmac
import http.client
import json
from typing import Any
import urllib.parse
import urllib.request
import uuid

from oslo_config import cfg

from glance_tasks import exceptions


class WebhookNotifier:
    """Posts each notification as JSON; safe to share between threads.

    Implements :class:`glance_tasks.ports.Notifier`. The body is ``{"id",
    "event_type", "timestamp", "payload"}``; ``id`` is the same each time that
    it is told. With a key, ``X-Glance-Tasks-Signature`` is ``sha256=HEX``, the
    HMAC of the body.
    """

    def __init__(self, conf: cfg.ConfigOpts, engine: Any = None) -> None:
        """Read the options of ``[glance_tasks_webhook]``.

        :raises ConfigurationError: when there is no address to tell
        """
        group = conf.glance_tasks_webhook
        if not _is_address(group.url or ""):
            raise exceptions.ConfigurationError(
                "[glance_tasks_webhook] url is no address to tell; expected"
                " http:// or https://, a host, and neither user, password nor"
                " blanks"
            )
        self._url, self._timeout = group.url, group.timeout
        self._key = (group.key or "").encode()
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), _NoRedirect()
        )

    def notify(self, event_type: str, payload: Mapping[str, Any]) -> None:
        """Post one notification; return when it was answered with 2xx.

        :raises OSError: when it was not, or nothing came for ``timeout``
        """
        body = json.dumps(
            {
                "id": str(uuid.uuid5(uuid.UUID(payload["id"]), event_type)),
                "event_type": event_type,
                "timestamp": f"{datetime.datetime.now(datetime.UTC):%FT%TZ}",
                "payload": dict(payload),
            }
        ).encode()
        headers = {"Content-Type": "application/json"}
        if self._key:
            signature = hmac.new(self._key, body, hashlib.sha256).hexdigest()
            headers["X-Glance-Tasks-Signature"] = f"sha256={signature}"
        # The scheme was looked at: no file: and the like.
        wanted = urllib.request.Request(self._url, body, headers)
        try:
            with self._opener.open(wanted, timeout=self._timeout):
                pass
        except (http.client.HTTPException, ValueError) as error:
            # Their texts have parts of the address, which may be secret.
            raise OSError(
                f"the answer is no HTTP ({type(error).__name__})"
            ) from None


def _is_address(url: str) -> bool:
    """Tell whether this can be posted to; the why might tell a secret."""
    try:
        parts = urllib.parse.urlsplit(url)
        known = parts.port is None or parts.port > 0
    except ValueError:
        return False
    return (
        known
        and parts.scheme in ("http", "https")
        and bool(parts.hostname)
        and "@" not in parts.netloc
        and url.isascii()
        and url.isprintable()
        and " " not in url
    )


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Takes a redirect for a refusal: what was signed goes to one address."""

    def redirect_request(self, *args: Any) -> None:
        """Follow none."""
