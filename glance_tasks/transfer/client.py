# SPDX-License-Identifier: Apache-2.0
"""One HTTP request over a connection of its own, to a checked address.

http.client is used without urllib3 over it, because connecting (to a checked
address only) and waiting (never long) are both ours; it is as fast, 2,300
MiB/s from loopback here. No proxy, cookie or .netrc of the environment has a
part in it, and no redirect is followed.
"""

import base64
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import dataclasses
import functools
import http.client
import math
import ssl
from urllib import parse

from glance_tasks import exceptions
from glance_tasks import ports
from glance_tasks import redaction
from glance_tasks.transfer import answer
from glance_tasks.transfer import connection
from glance_tasks.transfer import endpoint
from glance_tasks.transfer import resolution
from glance_tasks.transfer import rules as fetch_rules
from glance_tasks.transfer import throttle

#: What every request says.
HEADERS: Mapping[str, str] = {
    "User-Agent": "glance-tasks",
    "Accept": "*/*",
    "Connection": "close",
}

#: Bytes of an answer that is read whole; a listing of 1,000 parts has 200 KiB.
MAX_BODY = 8 << 20


@dataclasses.dataclass(frozen=True, slots=True)
class Reply:
    """An answer that was read whole.

    :ivar headers: by their names in lower case
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = dataclasses.field(repr=False)


def basic(userinfo: str, *, quoted: bool = True) -> str:
    """Give the Authorization header for ``user:password``.

    :param quoted: whether it is as addresses have it
    """
    login = parse.unquote_to_bytes(userinfo) if quoted else userinfo.encode()
    return f"Basic {base64.b64encode(login).decode('ascii')}"


class HttpClient:
    """Asks what the rules allow. Shared between threads."""

    def __init__(
        self,
        rules: fetch_rules.FetchRules,
        resolver: resolution.Resolver = resolution.system,
    ) -> None:
        """Keep the rules; nobody is asked yet."""
        self._rules = rules
        self._dialer = resolution.Dialer(rules, resolver)
        self._throttle = throttle.Throttle(rules.max_rate)

    @functools.cached_property
    def _context(self) -> ssl.SSLContext:
        # Reads the system's certificates, which takes 20 ms: once, and only
        # where https is used.
        return ssl.create_default_context()

    def call(
        self,
        method: str,
        uri: str,
        stop: ports.StopSignal,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | memoryview = b"",
    ) -> Reply:
        """Send a request and read its answer whole, whatever its status.

        :param uri: user and password in it are not sent
        :param body: sent with its length; for large ones a view of a buffer
        :raises FetchError: when the address is not allowed, or the answer
            breaks the rules of HTTP or has more than :data:`MAX_BODY` bytes
        :raises Interrupted: when it is worth asking again
        """
        given = dict(headers or {})
        if body or method in ("PUT", "POST"):
            given["Content-Length"] = str(len(body))
        with contextlib.closing(
            self.begin(method, self._rules.target(uri), given, stop)
        ) as request:
            request.send(body)
            return request.reply()

    def begin(
        self,
        method: str,
        target: fetch_rules.Target,
        headers: Mapping[str, str],
        stop: ports.StopSignal,
    ) -> "Request":
        """Connect and send the head of a request; the caller closes it.

        :param headers: with the length of the body, if there will be one
        :raises FetchError: as :meth:`call`
        """
        wire = connection.Wire(
            self._dialer.connect(target, stop), stop, self._throttle
        )
        request = Request(wire, target, self._rules.read_timeout)
        with contextlib.ExitStack() as cleanup:
            cleanup.callback(request.close)
            request.begin(method, {**HEADERS, **headers}, self._secured)
            cleanup.pop_all()
        return request

    def _secured(self, wire: connection.Wire, host: str) -> None:
        wire.secure(self._context, host.rstrip("."))


class Request:
    """One request on its way; for one thread.

    :ivar wire: the connection; whoever reads a large answer reads from it
    """

    def __init__(
        self,
        wire: connection.Wire,
        target: fetch_rules.Target,
        timeout: float,
    ) -> None:
        """Take over a connection; :meth:`close` ends it."""
        self.wire = wire
        self._target, self._timeout = target, timeout
        self._exchange = connection.Exchange(wire, target)

    def begin(
        self,
        method: str,
        headers: Mapping[str, str],
        secured: Callable[[connection.Wire, str], None],
    ) -> None:
        """Send the head."""
        with self._in_words():
            if self._target.scheme == "https":
                secured(self.wire, self._target.host)
            self._exchange.request(
                method, self._target.resource, headers=headers
            )

    def send(self, data: bytes | memoryview) -> None:
        """Send a piece of the body.

        :raises FetchError: as :meth:`HttpClient.call`
        """
        with self._in_words():
            self.wire.send_body(data, self._timeout)

    def answer(self) -> http.client.HTTPResponse:
        """Wait for the head of the answer.

        :raises FetchError: as :meth:`HttpClient.call`
        """
        with self._in_words():
            response = self._exchange.getresponse()
            self.wire.budget = math.inf
        if self.wire.ended:
            # http.client takes the end of the connection for the end of the
            # head, which then lacks the length.
            raise _unanswered(self._target.uri)
        return response

    def reply(self) -> Reply:
        """Read the answer whole.

        :raises FetchError: as :meth:`HttpClient.call`
        """
        response = self.answer()
        with self._in_words():
            content = response.read(MAX_BODY + 1)
        if len(content) > MAX_BODY:
            raise answer.invalid(
                self._target.uri, f"answers with more than {MAX_BODY} bytes"
            )
        found = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, found, content)

    def close(self) -> None:
        """Hang up."""
        self.wire.hang_up()

    @contextlib.contextmanager
    def _in_words(self) -> Iterator[None]:
        self.wire.allow(self._timeout)
        with _in_words(self._target.uri, self._timeout):
            yield


def _unanswered(uri: str) -> endpoint.Interrupted:
    return endpoint.Interrupted(
        f"{redaction.plain_uri(uri)} closed the connection without an answer"
    )


@contextlib.contextmanager
def _in_words(uri: str, timeout: float) -> Iterator[None]:
    """Say in our words what goes wrong until the head has come."""
    shown = redaction.plain_uri(uri)
    try:
        yield
    except connection.Overdue as error:
        raise connection.silence(uri, timeout) from error
    except ssl.SSLCertVerificationError as error:
        raise exceptions.FetchError(
            f"{shown} shows a certificate that is not valid for it:"
            f" {error.verify_message}"
        ) from error
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
        raise _unanswered(uri) from error
    except ssl.SSLError as error:
        raise exceptions.FetchError(
            f"{shown} does not speak TLS as we do"
        ) from error
    except OSError as error:
        raise _unanswered(uri) from error
    except connection.Overlong as error:
        raise answer.invalid(
            uri, f"sends a head of more than {connection.MAX_HEAD} bytes"
        ) from error
    except http.client.HTTPException as error:
        raise answer.invalid(uri, "does not answer as HTTP demands") from error
