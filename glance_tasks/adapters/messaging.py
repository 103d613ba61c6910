# SPDX-License-Identifier: Apache-2.0
"""Notifications over oslo.messaging, as other OpenStack services send them.

In the form of version 2.0, to the topics of ``[oslo_messaging_notifications]``
with the priority ``info``, which is Glance's for tasks. It needs the extra
``messaging``, which brings eventlet along; nothing here uses it.
"""

from collections.abc import Mapping
import socket
from typing import Any
import uuid

from oslo_config import cfg
import oslo_messaging
from oslo_utils import timeutils

_PRIORITY = "info"


class MessagingNotifier:
    """Tells a message bus; safe to share between threads.

    Implements :class:`glance_tasks.ports.Notifier`. oslo.messaging's own
    options, ``transport_url`` above all, are read from the same configuration.
    """

    def __init__(self, conf: cfg.ConfigOpts, engine: Any = None) -> None:
        """Prepare the transport; nothing is connected yet."""
        self._transport = oslo_messaging.get_notification_transport(conf)
        self._topics = conf.oslo_messaging_notifications.topics
        self._publisher_id = f"glance-tasks.{socket.gethostname()}"

    def notify(self, event_type: str, payload: Mapping[str, Any]) -> None:
        """Send one notification; return when the bus has it.

        Its ``message_id`` is the same each time that it is told. A RabbitMQ
        confirms it; oslo.messaging's driver for Kafka returns before it is
        sent, and says nothing when it is not.

        :raises Exception: whatever the transport raises, after one attempt
        """
        message_id = uuid.uuid5(uuid.UUID(payload["id"]), event_type)
        message = {
            "message_id": str(message_id),
            "publisher_id": self._publisher_id,
            "event_type": event_type,
            "priority": _PRIORITY.upper(),
            "payload": dict(payload),
            "timestamp": str(timeutils.utcnow()),
        }
        for topic in self._topics:
            # Its Notifier logs what goes wrong and returns as if nothing had:
            # what was not sent would be taken for told.
            self._transport._send_notification(
                oslo_messaging.Target(topic=f"{topic}.{_PRIORITY}"),
                _context(payload),
                message,
                version=2.0,
                retry=0,
            )


def _context(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Give for whom the task is, under oslo.context's names."""
    return {
        "request_id": payload["request_id"],
        "user_id": payload["user_id"],
        "project_id": payload["owner"],
    }
