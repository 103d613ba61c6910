# SPDX-License-Identifier: Apache-2.0
"""From a host's name to a connection with an address that was checked.

The name is resolved once and every address it has is checked; connections go
to those very addresses, so no later answer of the name service matters.
"""

from collections.abc import Sequence
import errno
import os
import queue
import select
import socket
import threading
import time
from typing import Protocol

from glance_tasks import exceptions
from glance_tasks import ports
from glance_tasks import redaction
from glance_tasks.transfer import endpoint
from glance_tasks.transfer import rules as fetch_rules

# The kernel lets a connection's receive buffer grow to 32 MiB, and what lies
# there is lost by a kill (29 MiB seen). With chunks from this size on that
# fits; below it the buffer is fixed at an eighth of a chunk, which on long
# lines costs speed. (TCP_WINDOW_CLAMP was tried: it does not hold.)
_LARGE_CHUNK = 64 << 20


class Resolver(Protocol):
    """Gives the addresses of a host; called from a thread of its own."""

    def __call__(self, host: str, port: int) -> Sequence[str]:
        """Give literal addresses.

        :raises OSError: when there are none; ``socket.gaierror`` with
            ``EAI_AGAIN`` when there may be some later
        """


def system(host: str, port: int) -> Sequence[str]:
    """Resolve as everything else on this machine does."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Dialer:
    """Connects to hosts by their checked addresses. Shared by threads."""

    def __init__(
        self, rules: fetch_rules.FetchRules, resolver: Resolver
    ) -> None:
        self._rules, self._resolver = rules, resolver

    def connect(
        self, target: fetch_rules.Target, stop: ports.StopSignal
    ) -> socket.socket:
        """Connect to ``target``; gives a socket that waits in short slices.

        :raises FetchError: when an address of the host is not permitted
        :raises Interrupted: when none of them answers
        """
        deadline = time.monotonic() + self._rules.connect_timeout
        found = self._resolve(target, stop, deadline)
        self._rules.check_addresses(target.uri, found)
        failure: OSError | None = None
        for left, address in zip(range(len(found), 0, -1), found, strict=True):
            now = time.monotonic()
            share = now + (deadline - now) / left
            try:
                return self._dial(address, target.port, stop, share)
            except OSError as error:
                failure = error
        raise endpoint.Interrupted(
            f"{redaction.plain_uri(target.uri)} could not be connected to",
            detail={"addresses": list(found), "error": str(failure)},
        ) from failure

    def _resolve(
        self,
        target: fetch_rules.Target,
        stop: ports.StopSignal,
        deadline: float,
    ) -> Sequence[str]:
        shown = redaction.plain_uri(target.uri)
        answer = self._ask(target, stop, deadline)
        if isinstance(answer, (OSError, UnicodeError)):
            again = getattr(answer, "errno", None) == socket.EAI_AGAIN
            kind = endpoint.Interrupted if again else exceptions.FetchError
            raise kind(f"the host of {shown} is not known") from answer
        if not answer:
            raise exceptions.FetchError(f"the host of {shown} has no address")
        return answer

    def _ask(
        self,
        target: fetch_rules.Target,
        stop: ports.StopSignal,
        deadline: float,
    ) -> Sequence[str] | OSError | UnicodeError:
        # getaddrinfo cannot be interrupted, so it gets a thread that may be
        # left behind: it touches nothing of ours.
        answers: queue.SimpleQueue[Sequence[str] | OSError | UnicodeError] = (
            queue.SimpleQueue()
        )

        def ask() -> None:
            try:
                answers.put(self._resolver(target.host, target.port))
            except (OSError, UnicodeError) as error:
                answers.put(error)

        threading.Thread(target=ask, name="resolve", daemon=True).start()
        while time.monotonic() < deadline:
            stop.check()
            try:
                return answers.get(timeout=endpoint.SLICE)
            except queue.Empty:
                continue
        return socket.gaierror(socket.EAI_AGAIN, "no answer in time")

    def _dial(
        self,
        address: str,
        port: int,
        stop: ports.StopSignal,
        deadline: float,
    ) -> socket.socket:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            if self._rules.chunk_size < _LARGE_CHUNK:
                connection.setsockopt(
                    socket.SOL_SOCKET,
                    socket.SO_RCVBUF,
                    self._rules.chunk_size // 8,
                )
            connection.setblocking(False)
            _establish(connection, (address, port), stop, deadline)
            connection.settimeout(endpoint.SLICE)
        except BaseException:
            connection.close()
            raise
        return connection


def _establish(
    connection: socket.socket,
    address: tuple[str, int],
    stop: ports.StopSignal,
    deadline: float,
) -> None:
    code = connection.connect_ex(address)
    if code == errno.EINPROGRESS:
        poller = select.poll()
        poller.register(connection, select.POLLOUT)
        while not poller.poll(endpoint.SLICE * 1000):
            stop.check()
            if time.monotonic() >= deadline:
                raise TimeoutError(errno.ETIMEDOUT, "no connection in time")
        code = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, os.strerror(code))
