# SPDX-License-Identifier: Apache-2.0
"""Runs one program on an image under limits, and never leaves it behind.

The program gets an empty environment, a session of its own that is killed
whole, low priority (for the disk too: Linux takes that from the niceness),
and hard limits of processor time, address space, file size and open files.
It dies with us, see :mod:`starter`: the kernel sends the signal when the
*thread* that started the program ends, so the thread that starts it also
waits for it.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time
import types
from typing import Any
from typing import IO
from typing import Self

from glance_tasks import exceptions
from glance_tasks import ports
from glance_tasks.imagefile import restraint
from glance_tasks.imagefile import starter

#: Seconds between two looks at the stop signal and the clock.
PAUSE = 0.2

_NICENESS = 10
_TAIL = 4096

_NO_ROOM = re.compile(r"No space left on device|Disk quota exceeded")
# Less than any format writes at a time.
_NO_ROOM_AT_ALL = 64 << 10
_NO_MEMORY = re.compile(
    r"cannot allocate|failed to allocate|out of memory|failed to map segment"
    r"|could not allocate|thread_create|failed to create thread"
    r"|memoryerror|memory exhausted",
    re.IGNORECASE,
)


class Process:
    """A program at work. Leaving the context kills whatever still runs.

    Used by the one thread that made it.
    """

    def __init__(
        self,
        words: Sequence[str],
        limits: restraint.Limits,
        stop: ports.StopSignal,
        *,
        stdout: int = subprocess.DEVNULL,
        serving: int | None = None,
        output: pathlib.Path | None = None,
        name: str | None = None,
    ) -> None:
        """Start it.

        :param words: the program and its arguments
        :param stop: looked at by :meth:`check`
        :param stdout: DEVNULL or PIPE
        :param serving: descriptor of the socket that it is to listen on
        :param output: the file it writes; that being at its limit, or on a
            full device, explains a failure
        :param name: that errors call it by; None is its first word
        :raises ConfigurationError: when the program is not installed
        """
        self.program = name or words[0]
        self._limits, self._stop, self._output = limits, stop, output
        self._deadline = time.monotonic() + limits.wall_seconds
        gate = starter.GATE if serving is None else starter.SERVER_GATE
        started = starter.words(words, gate)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed below
        held, latch = os.pipe()
        try:
            self._popen = subprocess.Popen(
                started,
                stdin=held,
                stdout=stdout if serving is None else serving,
                stderr=self._errors,
                env=starter.ENVIRONMENT,
                cwd="/",
                umask=0o077,
                start_new_session=True,
            )
        except BaseException:
            self._errors.close()
            os.close(latch)
            raise
        finally:
            os.close(held)
        self._release(latch)

    def _release(self, latch: int) -> None:
        """Put the limits in place, then let the program begin."""
        try:
            # One that is dead already shows where its end is waited for.
            with contextlib.suppress(ProcessLookupError, BrokenPipeError):
                self._limits.apply(self.pid)
                os.setpriority(os.PRIO_PROCESS, self.pid, _NICENESS)
                os.write(latch, b"\n")
        except BaseException:
            self.close()
            raise
        finally:
            os.close(latch)

    @property
    def pid(self) -> int:
        """The number of the process, and of its session."""
        return self._popen.pid

    @property
    def stdout(self) -> IO[bytes]:
        """What the program prints, when it was started with PIPE."""
        if self._popen.stdout is None:
            raise ValueError("stdout is not read; expected it to be a PIPE")
        return self._popen.stdout

    def check(self) -> None:
        """Return at once while the program may go on.

        :raises RunInterrupted: when the run must leave
        :raises TaskError: when the task's verdict is in
        :raises ConvertError: ``convert_timeout``
        """
        self._stop.check()
        if time.monotonic() > self._deadline:
            raise exceptions.ConvertError(
                f"{self.program} took longer than"
                f" {self._limits.wall_seconds:g} s; expected a disk of this"
                " size to need less",
                code="convert_timeout",
                detail=self._detail("killed"),
            )

    def ended(self) -> bool:
        """Tell whether the program has ended, leaving it to be reaped."""
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return (
            self._popen.returncode is not None
            or os.waitid(os.P_PID, self.pid, flags) is not None
        )

    def wait(self, seconds: float) -> bool:
        """Wait for the program's end, at most that long; tell whether."""
        until = time.monotonic() + seconds
        while not self.ended():
            if time.monotonic() > until:
                return False
            time.sleep(0.005)
        return True

    def require_success(self) -> None:
        """Reap the program, which has ended or is about to.

        :raises ConvertError: with the limit it broke, or ``convert_failed``
        :raises DiskFull: when it found no room to write
        """
        while not self.wait(PAUSE):
            self.check()
        if self._reap() != 0:
            raise self.failure()

    def failure(self) -> exceptions.TaskError:
        """Make the error for a program that ended before its work was done."""
        if not self.ended():
            text = "gave no answer; expected one within seconds"
            return self._failed("convert_failed", text, "running")
        status, errors = self._reap(), self._stderr()
        if _NO_ROOM.search(errors) or self._device_is_full():
            return exceptions.DiskFull(
                "no space is left on the device that holds the work directory",
                detail=self._detail(status),
            )
        code, text = self._verdict(status, errors)
        return self._failed(code, text, status)

    def _verdict(self, status: int, errors: str) -> tuple[str, str]:
        """Give the failure's code, and what the program did."""
        limits = self._limits
        enough = "; expected a disk of this size to need less"
        if status == -signal.SIGXCPU:
            used = f"used {limits.processor_seconds:g} s of processor time"
            return "convert_cpu_limit", used + enough
        if (
            status == -signal.SIGXFSZ
            or "File too large" in errors
            or self._output_is_full()
        ):
            return "convert_size_limit", (
                f"wrote {limits.file_size} bytes{enough}"
            )
        if _NO_MEMORY.search(errors):
            return "convert_memory_limit", (
                f"took {limits.memory} bytes of memory{enough}"
            )
        return "convert_failed", (
            f"ended with status {status}; expected 0 at the image's end"
        )

    # qemu-img 7.2 says "Invalid argument" when it has no room for a VMDK that
    # it compresses.
    def _output_is_full(self) -> bool:
        return self._output is not None and (
            self._output.exists()
            and self._output.stat().st_size >= self._limits.file_size
        )

    def _device_is_full(self) -> bool:
        return self._output is not None and (
            self._output.exists()
            and shutil.disk_usage(self._output).free < _NO_ROOM_AT_ALL
        )

    def _failed(
        self, code: str, text: str, status: int | str
    ) -> exceptions.ConvertError:
        return exceptions.ConvertError(
            f"{self.program} {text}", code=code, detail=self._detail(status)
        )

    def _detail(self, status: int | str) -> Mapping[str, Any]:
        return {
            "program": self.program,
            "status": status,
            "stderr": self._stderr(),
        }

    def _stderr(self) -> str:
        size = os.fstat(self._errors.fileno()).st_size
        data = os.pread(self._errors.fileno(), _TAIL, max(0, size - _TAIL))
        return data.decode("utf-8", "replace").strip()

    def _reap(self) -> int:
        """Kill the whole session, the program's children too.

        :returns: its exit status, or the negative number of its signal
        """
        if self._popen.returncode is None:
            # Not reaped yet, so the number cannot be anybody else's.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        return self._popen.wait()

    def close(self) -> None:
        """Kill what still runs and let go of the rest; again is harmless."""
        self._reap()
        if self._popen.stdout is not None:
            self._popen.stdout.close()
        self._errors.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: types.TracebackType | None,
    ) -> None:
        self.close()
