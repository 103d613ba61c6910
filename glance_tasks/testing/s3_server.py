# SPDX-License-Identifier: Apache-2.0
"""An S3 to send to and to read from, started by the tests.

It is moto's, in a process of its own: what a test kills takes no server with
it. It lets in everybody and keeps all in memory.
"""

from collections.abc import Mapping
import importlib.util
import subprocess
import sys
import types
from typing import Self

from glance_tasks.testing import servers

# Seconds that it may take to end by itself.
_STOP_S = 10

# The end of its input is the end of who started it, also by a kill.
_PROGRAM = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""


class S3Server:
    """The server; a context that runs it on a free port of loopback.

    :ivar credentials: for ``s3://`` addresses in it
    """

    credentials: Mapping[str, str]

    def __enter__(self) -> Self:
        """Start it; it tells its port by itself, so that it is ours.

        :raises ServerAbsent: when moto is not installed
        """
        for name in ("moto", "flask", "flask_cors"):
            if importlib.util.find_spec(name) is None:
                raise servers.ServerAbsent(f"no package {name}")
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # A Ctrl-C is for the tests, which then end it.
            start_new_session=True,
        )
        port = self._port()
        self.credentials = {
            "access_key": "owner",
            "secret_key": "anybody",
            "endpoint_url": f"http://127.0.0.1:{port}",
        }
        return self

    def _port(self) -> int:
        if self._process.stdout is None:
            raise AssertionError("it was asked for")
        line = self._process.stdout.readline()
        if not line:
            self._end()
            raise RuntimeError("moto's server does not start")
        return int(line)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: types.TracebackType | None,
    ) -> None:
        """End it; what it held is gone."""
        self._end()

    def _end(self) -> None:
        try:
            self._process.communicate(timeout=_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
