# SPDX-License-Identifier: Apache-2.0
"""A real RabbitMQ, started by the tests and stopped with them.

It has a name, ports and an epmd of its own, so it meets no other one; before
anything is sent to it, its greeting is looked at for that name.
"""

from collections.abc import Iterator
import contextlib
import os
import pathlib
import secrets
import shutil
import socket
import tempfile

from glance_tasks.testing import server_processes
from glance_tasks.testing import servers

_HOST = "127.0.0.1"
# The program itself: the one on PATH becomes the system's user first.
_PLACES = "/usr/lib/rabbitmq/lib/*/sbin"
_HELLO = b"AMQP\x00\x00\x09\x01"


class RabbitMQServer:
    """A broker of our own; :meth:`start` runs it.

    :ivar port: on which it speaks AMQP to clients of this machine
    """

    def __init__(self, directory: pathlib.Path) -> None:
        """Make an empty one.

        :raises ServerAbsent: when RabbitMQ is not installed
        """
        self._name = f"gt{secrets.token_hex(4)}"
        self.port, between, names = server_processes.free_ports(3)
        (directory / "plugins").write_text("[].")
        self._commands = [
            [_program("epmd"), "-port", str(names), "-address", _HOST],
            [_program("rabbitmq-server")],
        ]
        self._processes = server_processes.ServerProcesses(
            directory.resolve(),
            {
                # Erlang's cookie is written there.
                "HOME": str(directory),
                "ERL_EPMD_PORT": str(names),
                "RABBITMQ_NODENAME": f"{self._name}@localhost",
                "RABBITMQ_NODE_IP_ADDRESS": _HOST,
                "RABBITMQ_NODE_PORT": str(self.port),
                "RABBITMQ_DIST_PORT": str(between),
                "RABBITMQ_MNESIA_BASE": str(directory / "mnesia"),
                "RABBITMQ_LOG_BASE": str(directory / "logs"),
                "RABBITMQ_PID_FILE": str(directory / "pid"),
                "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "plugins"),
                "RABBITMQ_CONF_ENV_FILE": str(directory / "none"),
            },
        )

    @property
    def url(self) -> str:
        """Its ``transport_url``, as oslo.messaging takes it."""
        return f"rabbit://guest:guest@{_HOST}:{self.port}/"

    def start(self) -> None:
        """Start it and wait until it greets by the name we made up."""
        self._processes.start(self._commands, self._answers)

    def stop(self) -> None:
        """End it and wait for it; what is in its queues is kept."""
        self._processes.stop()

    def _answers(self) -> bool:
        try:
            with socket.create_connection((_HOST, self.port), 5) as client:
                client.sendall(_HELLO)
                return self._name.encode() in client.recv(4096)
        except OSError:
            return False


def _program(name: str) -> str:
    homes = [str(home) for home in pathlib.Path("/").glob(_PLACES[1:])]
    path = os.pathsep.join([*homes, os.environ.get("PATH", "")])
    found = shutil.which(name, path=path)
    if found is None:
        raise servers.ServerAbsent(f"no program {name}")
    return found


@contextlib.contextmanager
def running() -> Iterator[RabbitMQServer]:
    """Run a RabbitMQ for the block; it is gone afterwards, whatever happens.

    :raises ServerAbsent: when it is not installed
    """
    with tempfile.TemporaryDirectory(prefix="gt-rabbit-") as directory:
        server = RabbitMQServer(pathlib.Path(directory))
        try:
            server.start()
            yield server
        finally:
            server.stop()
