# SPDX-License-Identifier: Apache-2.0
"""The body of an HTTP answer: as many bytes as it said, and no slower."""

import http.client
import time

from glance_tasks import exceptions
from glance_tasks import redaction
from glance_tasks.transfer import answer
from glance_tasks.transfer import chunks
from glance_tasks.transfer import connection
from glance_tasks.transfer import endpoint
from glance_tasks.transfer import pace
from glance_tasks.transfer import rules as fetch_rules


class HttpStream:
    """An answer whose head was good, ready to be read once."""

    def __init__(
        self,
        uri: str,
        wire: connection.Wire,
        response: http.client.HTTPResponse,
        head: answer.Answer,
        rules: fetch_rules.FetchRules,
    ) -> None:
        """Take over the connection; :meth:`close` ends it."""
        self._uri, self._shown = uri, redaction.plain_uri(uri)
        # Kept, because what collects it closes the wire's reader.
        self._wire, self._response = wire, response
        self._chunks = chunks.ChunkReader(wire.reader)
        self._head, self._rules = head, rules
        self._left = head.length
        self._pace = pace.Pace(rules.min_rate, pace.WINDOW)

    @property
    def identity(self) -> endpoint.Identity:
        """What the source says the file is."""
        return self._head.identity

    @property
    def offset(self) -> int:
        """Where in the file the body begins."""
        return self._head.offset

    def readinto(self, view: memoryview) -> int:
        """Read what has come; see :class:`endpoint.Stream`."""
        if self._left == 0:
            return self._end()
        began = time.monotonic()
        self._wire.allow(self._rules.read_timeout)
        count = self._receive(view[: self._left])
        if not self._pace.keeps(time.monotonic() - began, count):
            raise exceptions.FetchError(
                f"{self._shown} sent less than {self._rules.min_rate} bytes"
                f" per second for {pace.WINDOW:g} seconds",
                code="source_too_slow",
            )
        if self._left is not None:
            if not count:
                raise self._cut(f"{self._left} bytes before the end")
            self._left -= count
        return count

    def _receive(self, view: memoryview) -> int:
        try:
            if self._head.chunked:
                return self._chunks.readinto(view)
            return self._wire.reader.readinto1(view)
        except connection.Overdue as error:
            raise connection.silence(
                self._uri, self._rules.read_timeout
            ) from error
        except chunks.Ended as error:
            raise self._cut("within a chunk") from error
        except chunks.Malformed as error:
            raise answer.invalid(
                self._uri, "sends chunks that are malformed"
            ) from error
        except OSError as error:
            raise self._cut("with an error") from error

    def _cut(self, where: str) -> endpoint.Interrupted:
        return endpoint.Interrupted(
            f"{self._shown} ended the transfer {where}", code="source_cut"
        )

    def _end(self) -> int:
        if self._wire.has_more():
            raise answer.invalid(
                self._uri,
                f"sends more than the {self._head.length} bytes it announced",
            )
        return 0

    def close(self) -> None:
        """Close the connection."""
        self._wire.hang_up()
