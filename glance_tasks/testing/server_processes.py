# SPDX-License-Identifier: Apache-2.0
"""The processes that make up one server of the tests, and their end."""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import time

from glance_tasks.testing import servers

# Seconds.
_START_S = 60
_STOP_S = 30


class ServerProcesses:
    """Processes with one directory and one log; for one thread.

    :ivar directory: where they work, and write their log
    """

    def __init__(
        self,
        directory: pathlib.Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start nothing yet.

        :param environment: variables besides PATH and the locale
        """
        self.directory = directory
        self._environment = {
            "LC_ALL": "C.UTF-8",
            "PATH": os.environ.get("PATH", ""),
            **(environment or {}),
        }
        self._running: list[subprocess.Popen[bytes]] = []

    def start(
        self, commands: Sequence[Sequence[str]], answers: Callable[[], bool]
    ) -> None:
        """Start a process of each command and wait until they answer.

        :raises RuntimeError: with the end of the log, when they do not
        """
        for command in commands:
            self._running.append(self._spawn(command))
        deadline = time.monotonic() + _START_S
        while not answers():
            died = any(p.poll() is not None for p in self._running)
            if died or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"it does not start: {self._log_tail()}")
            time.sleep(0.05)

    def run(self, command: Sequence[str]) -> None:
        """Run a command to its end.

        :raises RuntimeError: with the end of the log, when it fails
        """
        process = self._spawn(command)
        try:
            failed = process.wait(_START_S)
        except subprocess.TimeoutExpired:
            _kill(process)
            failed = -signal.SIGKILL
        if failed:
            raise RuntimeError(f"{command[0]} failed: {self._log_tail()}")

    def stop(self) -> None:
        """End them and wait for them; again is harmless."""
        for process in self._running:
            process.send_signal(signal.SIGTERM)
        for process in self._running:
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                _kill(process)
        self._running = []

    def _spawn(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        with (self.directory / "log").open("ab") as log:
            return subprocess.Popen(
                [*servers.dying_with_us(signal.SIGTERM), *command],
                cwd=self.directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # A Ctrl-C is for the tests; the fixture then stops it.
                start_new_session=True,
            )

    def _log_tail(self) -> str:
        return (self.directory / "log").read_text(errors="replace")[-2000:]


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process with all that it has started."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def free_ports(count: int) -> list[int]:
    """Give ports that are free now; who takes one first is found at start."""
    with contextlib.ExitStack() as stack:
        listeners = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            for _ in range(count)
        ]
        return [listener.getsockname()[1] for listener in listeners]
