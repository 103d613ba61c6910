# SPDX-License-Identifier: Apache-2.0
"""A real OpenStack Swift, started by the tests and stopped with them.

It is one node with one copy of everything, in a temporary directory of its
own; who may log in is made up anew each time, so that whatever answers to
those credentials is ours. It needs neither root nor memcached.

Swift needs eventlet, which must not be near this library: it runs from an
environment of its own, named by ``GLANCE_TASKS_SWIFT``, or found on ``PATH``.
"""

import base64
from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import os
import pathlib
import secrets
import shutil
import socket
import tempfile
import urllib.request

from glance_tasks.testing import server_processes
from glance_tasks.testing import servers

# Seconds.
_LOGIN_S = 60

_KINDS = ("account", "container", "object")

# Run by Swift's own Python: nine calls of swift-ring-builder take 3 s.
_RINGS = """
import sys
from swift.common.ring import RingBuilder
directory, *places = sys.argv[1:]
for place in places:
    kind, port = place.split(":")
    builder = RingBuilder(2, 1, 0)
    builder.add_dev({
        "id": 0, "region": 1, "zone": 1, "weight": 1, "device": "disk",
        "ip": "127.0.0.1", "port": int(port),
        "replication_ip": "127.0.0.1", "replication_port": int(port),
    })
    builder.rebalance()
    builder.get_ring().save(f"{directory}/{kind}.ring.gz")
"""

_CLUSTER = """\
[swift-hash]
swift_hash_path_suffix = {secret}
"""

_COMMON = """\
[DEFAULT]
swift_dir = {directory}
devices = {directory}/node
mount_check = false
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
log_level = WARNING
# Nobody listens there: its words go to the console.
log_udp_host = 127.0.0.1
log_udp_port = 9
disable_fallocate = true
recon_cache_path = {directory}
"""

_STORAGE = """\
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
"""

_PIPELINE = (
    *("catch_errors", "listing_formats", "bulk", "s3api", "tempauth"),
    *("copy", "slo", "dlo", "proxy-server"),
)

_PROXY = """\
[pipeline:main]
pipeline = {pipeline}
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
client_chunk_size = 1048576
object_chunk_size = 1048576
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:bulk]
use = egg:swift#bulk
[filter:s3api]
use = egg:swift#s3api
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = {key} .admin
user_test_reader = {key}
fernet_key_now = {fernet}
active_fernet_key_id = now
[filter:copy]
use = egg:swift#copy
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
"""


class SwiftServer:
    """A Swift of our own; :meth:`start` runs it.

    :ivar directory: holds its data, configuration and logs
    :ivar port: of its proxy, which is all that clients see
    """

    def __init__(self, directory: pathlib.Path) -> None:
        """Make an empty one.

        :raises ServerAbsent: when Swift is not installed
        """
        self.directory = directory.resolve()
        self._programs = _programs()
        self._key = secrets.token_hex(16)
        self._processes = server_processes.ServerProcesses(self.directory)
        self.port, *ports = server_processes.free_ports(1 + len(_KINDS))
        self._ports = dict(zip(_KINDS, ports, strict=True))
        self._configure()

    @property
    def auth_url(self) -> str:
        """Where to log in, in the manner of version 1."""
        return f"http://127.0.0.1:{self.port}/auth/v1.0"

    @property
    def credentials(self) -> Mapping[str, str]:
        """Those of a user who may do anything in one account."""
        return self._login("test:tester")

    @property
    def powerless(self) -> Mapping[str, str]:
        """Those of a user who may do nothing in that account."""
        return self._login("test:reader")

    @property
    def s3_credentials(self) -> Mapping[str, str]:
        """Those of the first user, who finds the same account as an S3."""
        return {
            "access_key": "test:tester",
            "secret_key": self._key,
            "endpoint_url": f"http://127.0.0.1:{self.port}",
        }

    def _login(self, user: str) -> Mapping[str, str]:
        return {"auth_url": self.auth_url, "user": user, "key": self._key}

    def start(self) -> None:
        """Start it and wait until it knows the user that we made up."""
        commands = [
            [
                f"{self._programs}/swift-{kind}-server",
                f"{kind}.conf",
                "verbose",
            ]
            for kind in (*_KINDS, "proxy")
        ]
        self._processes.start(commands, self._answers)

    def stop(self) -> None:
        """End it and wait for it; again is harmless."""
        self._processes.stop()

    def access(self) -> tuple[str, str]:
        """Log in; give the address of the account and a token for it."""
        wanted = urllib.request.Request(
            self.auth_url,
            headers={"X-Auth-User": "test:tester", "X-Auth-Key": self._key},
        )
        with urllib.request.urlopen(wanted, timeout=_LOGIN_S) as reply:
            return (
                reply.headers["X-Storage-Url"],
                reply.headers["X-Auth-Token"],
            )

    def _answers(self) -> bool:
        try:
            # First these: the proxy shuns those that have refused it.
            for port in self._ports.values():
                socket.create_connection(("127.0.0.1", port)).close()
            self.access()
        except OSError:
            return False
        return True

    def _configure(self) -> None:
        places = [f"{kind}:{port}" for kind, port in self._ports.items()]
        (self.directory / "node" / "disk").mkdir(parents=True)
        self._write("swift.conf", _CLUSTER, secret=secrets.token_hex(16))
        for kind, port in self._ports.items():
            self._write(
                f"{kind}.conf", _COMMON + _STORAGE, port=port, kind=kind
            )
        fernet = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
        self._write(
            "proxy.conf",
            _COMMON + _PROXY,
            port=self.port,
            pipeline=" ".join(_PIPELINE),
            key=self._key,
            fernet=fernet,
        )
        python = f"{self._programs}/python"
        self._processes.run(
            [python, "-c", _RINGS, str(self.directory), *places]
        )

    def _write(self, name: str, text: str, **values: object) -> None:
        user = pathlib.Path(self.directory).owner()
        filled = text.format(directory=self.directory, user=user, **values)
        (self.directory / name).write_text(filled)


def _programs() -> pathlib.Path:
    """Give the directory of Swift's programs, and of their Python."""
    home = os.environ.get("GLANCE_TASKS_SWIFT")
    path = f"{home}/bin" if home else os.environ.get("PATH", "")
    found = shutil.which("swift-proxy-server", path=path)
    if found is None:
        raise servers.ServerAbsent(f"no program swift-proxy-server in {path}")
    return pathlib.Path(found).parent


@contextlib.contextmanager
def running() -> Iterator[SwiftServer]:
    """Run a Swift for the block; it is gone afterwards, whatever happens.

    :raises ServerAbsent: when it is not installed
    """
    with tempfile.TemporaryDirectory(prefix="gt-swift-") as directory:
        server = SwiftServer(pathlib.Path(directory))
        try:
            server.start()
            yield server
        finally:
            server.stop()
